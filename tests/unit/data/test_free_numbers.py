"""Free numbers: the crystal they describe is the symmetric one, and forces turn into the right slope."""

from __future__ import annotations

import numpy as np
import pytest

from redoxa.data.errors import StructureError
from redoxa.data.fingerprint import distance, fingerprint
from redoxa.data.symmetry.free_numbers import FreeNumbers
from redoxa.data.symmetry.normaliser import canonical
from redoxa.data.symmetry.symmetric import Orbit, SymmetricCrystal, symmetric
from redoxa.data.tables.prototypes import load_prototypes, prototype

FORMS = {entry.name: canonical(symmetric(entry.crystal)) for entry in load_prototypes()[::6]}


@pytest.mark.parametrize("name", FORMS)
def test_the_start_is_the_crystal_itself(name: str) -> None:
    form = FORMS[name]
    free = FreeNumbers(form)
    crystal = free.crystal(free.start)
    assert sorted(crystal.numbers) == sorted(form.to_crystal().numbers)
    assert crystal.lattice_A == pytest.approx(np.array(form.to_crystal().lattice_A))
    assert distance(fingerprint(crystal), fingerprint(form.to_crystal())) < 1e-6
    back = free.form(free.start)
    assert back.lengths_A == pytest.approx(form.lengths_A)
    assert [o.free for o in back.orbits] == [pytest.approx(o.free) for o in form.orbits]


@pytest.mark.parametrize("name", FORMS)
def test_no_change_of_the_numbers_breaks_the_symmetry(name: str) -> None:
    free = FreeNumbers(FORMS[name])
    moved = free.start + np.random.default_rng(1).normal(scale=0.004, size=len(free.start))
    found = symmetric(free.crystal(moved))
    assert found.group == FORMS[name].group
    assert len(found.orbits) == len(FORMS[name].orbits)


@pytest.mark.parametrize("name", list(FORMS)[::3])
def test_the_slope_is_the_derivative_of_an_energy(name: str) -> None:
    """Of a made-up energy: a spring between every site and the origin of its cell, and a pressure."""
    free = FreeNumbers(FORMS[name])
    x = free.start + 0.01

    def energy(y: np.ndarray) -> float:
        return float(((free.coords(y) @ free.lattice_A(y)) ** 2).sum() / 2)

    lattice, sites = free.lattice_A(x), free.coords(x) @ free.lattice_A(x)
    forces = -sites
    stress = sites.T @ sites / np.linalg.det(lattice)
    slope = free.gradient(x, forces, stress)
    for k in range(len(x)):
        step = np.zeros(len(x))
        step[k] = 1e-5
        # At fixed fractional coordinates a strain moves the sites with the cell, as the stress says.
        assert slope[k] == pytest.approx((energy(x + step) - energy(x - step)) / 2e-5, rel=1e-4, abs=1e-4)


def test_squares_and_moves_of_rock_salt() -> None:
    free = FreeNumbers(SymmetricCrystal(225, (Orbit("a", 11, ()), Orbit("b", 17, ())), (5.64,)))
    moves, strains = free.squares(free.start)
    assert len(moves) == 0
    assert strains == pytest.approx([3.0])  # a logarithm of a length is a strain of one along each axis
    assert free.largest_move(free.start, np.array([0.02])) == (0.0, pytest.approx(0.02))


def test_two_sites_in_one_place_are_refused() -> None:
    form = canonical(symmetric(prototype("O3 NaCoO2").crystal))
    doubled = SymmetricCrystal(form.group, (*form.orbits, form.orbits[0]), form.lengths_A)
    with pytest.raises(StructureError, match="one place"):
        FreeNumbers(doubled)
