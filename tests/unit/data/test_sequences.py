from __future__ import annotations

import numpy as np
import pytest

from redoxa.data.errors import InputError
from redoxa.data.fingerprint import distance, fingerprint
from redoxa.data.symmetry.normaliser import canonical, equal_forms
from redoxa.data.symmetry.positions import position_table
from redoxa.data.symmetry.sequences import (
    capacity_of,
    element_ranks,
    load_sequences,
    prepare_sequences,
    sequence_of,
)
from redoxa.data.symmetry.symmetric import Orbit, SymmetricCrystal
from redoxa.data.tables.datasets import CrystalData

FACE = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
RUTILE = SymmetricCrystal(136, (Orbit("a", 22, ()), Orbit("f", 8, (0.305,))), (4.594, 2.959))


def crystals() -> CrystalData:
    """Rock salt MgO in its conventional cell, and rutile."""
    salt = ([12] * 4 + [8] * 4, np.vstack([FACE, FACE + np.array([0.5, 0, 0])]), 4.21 * np.eye(3))
    rutile = RUTILE.to_crystal()
    rows = [salt, (rutile.numbers, np.array(rutile.frac_coords), np.array(rutile.lattice_A))]
    return CrystalData(
        np.concatenate([np.array(numbers) for numbers, _, _ in rows]),
        np.vstack([coords for _, coords, _ in rows]).astype(np.float32) % 1.0,
        np.stack([cell for _, _, cell in rows]).astype(np.float32),
        np.array([0, 8, 14]),
        np.array([False, True]),
        np.full((2, 4), np.nan, dtype=np.float32),
    )


def test_sequences_read_back_with_orbits_from_cation_to_anion(tmp_path):
    path = tmp_path / "sequences.safetensors"
    made = prepare_sequences(crystals(), path)
    read = load_sequences(path)
    assert read.groups.tolist() == [225, 136]
    assert read.crystals.held_out.tolist() == [False, True]
    first = read.orbits(int(read.first_form[1]))
    assert read.numbers[first].tolist() == [22, 8]
    assert [read.table.letter(p) for p in read.positions[first]] == ["a", "f"]
    assert read.free[first][1].tolist() == pytest.approx([0.305, 0, 0], abs=1e-4)
    assert np.exp(read.cells[int(read.first_form[1])][:2]).tolist() == pytest.approx([4.594, 2.959], abs=1e-3)
    assert (made.positions == read.positions).all()


def test_rock_salt_has_two_equal_forms(tmp_path):
    read = prepare_sequences(crystals(), tmp_path / "sequences.safetensors")
    letters = {
        tuple(read.table.letter(p) for p in read.positions[read.orbits(form)])
        for form in range(*read.first_form[:2].tolist())
    }
    assert letters == {("a", "b"), ("b", "a")}


@pytest.mark.parametrize(
    "form",
    [RUTILE, SymmetricCrystal(166, (Orbit("a", 3, ()), Orbit("b", 27, ()), Orbit("c", 8, (0.26,))), (2.816, 14.05))],
)
def test_equal_forms_are_the_same_crystal(form):
    others = equal_forms(canonical(form), 8, np.random.default_rng(0))
    assert others
    mark = fingerprint(form.to_crystal())
    for other in others:
        assert other != canonical(form)
        assert canonical(other) == canonical(form)
        assert distance(fingerprint(other.to_crystal()), mark) < 1e-3


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"none\.safetensors"):
        load_sequences(tmp_path / "none.safetensors")


def test_elements_are_ordered_by_electronegativity():
    ranks = element_ranks()
    assert ranks[55] < ranks[3] < ranks[26] < ranks[15] < ranks[8] < ranks[9]
    assert sorted(ranks[1:]) == list(range(1, 104))
    olivine = SymmetricCrystal(
        62, (Orbit("c", 8, (0.1, 0.7)), Orbit("a", 3, ()), Orbit("c", 26, (0.28, 0.97))), (10.3, 6.0, 4.7)
    )
    assert [number for _, number, _ in sequence_of(olivine, position_table())] == [3, 26, 8]


def test_capacity_of_lithium_cobalt_oxide_and_of_a_crystal_without_ions():
    # One Li of LiCoO2 (97.87 g/mol): 26801.5 / 97.87 = 273.8 mAh/g.
    assert capacity_of([3, 27, 8, 8]) == pytest.approx(273.8, abs=0.3)
    assert capacity_of([3, 12, 8]) == 0.0
    assert np.isnan(capacity_of([26, 8]))
