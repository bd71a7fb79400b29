"""What tables know of formulas, and the lattice systems of cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from redoxa.data.errors import InputError
from redoxa.data.tables.lattice_system import SYSTEMS, lattice_systems
from redoxa.data.tables.materials import (
    ENERGY,
    GAP,
    LATTICE,
    NAMES,
    VOLTAGE,
    VOLUME,
    Modality,
    known_of,
    load_materials,
    modalities_of,
    prepare_materials,
)

NAN = float("nan")
ROTATED = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
ANGLES = np.array([[4, 0, 0], [-0.7, 5, 0], [0.6, 1.1, 6]], float)
CELLS = {
    "triclinic": [ANGLES],
    "monoclinic": [np.array([[4, 0, 0], [0, 5, 0], [1, 0, 6]]), np.array([[2, 2.5, 0], [-2, 2.5, 0], [1, 0, 6]])],
    "orthorhombic": [np.diag([3.0, 4.0, 5.0]), np.array([[0, 2, 2.5], [1.5, 0, 2.5], [1.5, 2, 0]])],
    "rhombohedral": [np.full((3, 3), 0.7) + 3 * np.eye(3)],
    "tetragonal": [np.diag([3.0, 3.0, 5.0]), np.array([[-1.5, 1.5, 2.5], [1.5, -1.5, 2.5], [1.5, 1.5, -2.5]])],
    "hexagonal": [np.array([[3, 0, 0], [-1.5, 1.5 * 3**0.5, 0], [0, 0, 5]])],
    "cubic": [3 * np.eye(3), 2 * (1 - np.eye(3)), np.full((3, 3), 2) - 4 * np.eye(3)],
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_lattice_system_is_that_of_the_lattice_whatever_its_vectors(system: str) -> None:
    change = np.array([[1, 1, 0], [0, 1, 2], [0, 0, 1]])
    cells = [
        form for cell in CELLS[system] for form in (cell, cell @ ROTATED, change @ cell, change.T @ cell @ ROTATED)
    ]
    assert [SYSTEMS[i] for i in lattice_systems(np.stack(cells))] == [system] * len(cells)


def test_it_is_the_one_of_spglib_where_nothing_is_on_the_edge() -> None:
    import spglib

    orders = {2: 0, 10: 1, 12: 1, 47: 2, 65: 2, 69: 2, 71: 2, 166: 3, 123: 4, 139: 4, 191: 5, 221: 6, 225: 6, 229: 6}
    cells = np.stack([change @ cell for kind in CELLS.values() for cell in kind for change in (np.eye(3), ROTATED)])
    told = [spglib.get_symmetry_dataset((cell, [[0, 0, 0]], [1]), symprec=0.01) for cell in cells]
    assert lattice_systems(cells).tolist() == [orders[one.number] for one in told]


def tables(folder: Path) -> list[Path]:
    """Two of crystals and one of electrodes, which know different things."""
    cubic, long = (3 * np.eye(3)).ravel().tolist(), np.diag([3.0, 3.0, 8.0]).ravel().tolist()
    energies = {
        "atomic_numbers": [[3, 8, 3, 8], [3, 8], [26, 8], [26, 9]],
        "cell": [cubic, long, cubic, [1.0]],
        "formation_energy_per_atom": [-1.0, -2.0, -3.0, NAN],
        "band_gap": [1.0, NAN, 0.0, 2.0],
    }
    voltages = {"formula": ["LiO", "LiFeO2"], "li_voltage_V_vs_Li": [3.3, 4.1]}
    far = {"formula": ["NaCl"], "energy_above_hull": [0.5], "band_gap": [5.0]}
    paths = []
    for i, columns in enumerate((energies, voltages, far)):
        paths.append(folder / f"{i}.parquet")
        pd.DataFrame(columns).to_parquet(paths[-1])
    return paths


def test_each_value_is_of_the_lowest_crystal_that_has_it(tmp_path: Path) -> None:
    known = known_of(tables(tmp_path))
    oxide = dict(zip(NAMES, known[(3, 1), (8, 1)].tolist(), strict=True))
    assert oxide == {ENERGY: -2.0, GAP: 1.0, VOLUME: 36.0, LATTICE: SYSTEMS.index("tetragonal"), VOLTAGE: 3.3}
    np.testing.assert_equal(known[(8, 1), (26, 1)], [-3.0, 0.0, 13.5, SYSTEMS.index("cubic"), NAN])
    np.testing.assert_equal(known[(9, 1), (26, 1)], [NAN, 2.0, NAN, NAN, NAN])
    np.testing.assert_equal(known[(3, 1), (8, 2), (26, 1)], [NAN, NAN, NAN, NAN, 4.1])
    assert len(known) == 4


def test_it_is_prepared_and_read(tmp_path: Path) -> None:
    notes: list[str] = []
    made = prepare_materials(tables(tmp_path), tmp_path / "materials.safetensors", on_note=notes.append)
    read = load_materials(tmp_path / "materials.safetensors")
    np.testing.assert_array_equal(read.values, made.values)
    assert (
        list(read.formulas) == list(made.formulas) == [{3: 1, 8: 1}, {3: 1, 8: 2, 26: 1}, {8: 1, 26: 1}, {9: 1, 26: 1}]
    )
    assert "known: 2 formation_energy_eV_per_atom, 3 band_gap_eV" in notes[-1]
    assert any("above the hull" in note for note in notes)
    with pytest.raises(InputError, match="is no prepared file of formulas"):
        load_materials(Path(__file__).parents[3] / "data" / "assets" / "composition_rbm.safetensors")
    pd.DataFrame({"formula": ["LiO"], "band_gap": ["wide"]}).to_parquet(tmp_path / "bad.parquet")
    with pytest.raises(InputError, match="band_gap_eV is no number"):
        known_of([tmp_path / "bad.parquet"])


def test_bins_are_quantiles_and_metals_are_one() -> None:
    values = np.full((100, len(NAMES)), NAN)
    values[:, 0] = np.arange(100)
    values[:60, 1] = [0.0] * 10 + list(range(1, 51))
    values[:, 3] = 2
    energy, gap = modalities_of(values)
    assert np.bincount(energy.bins_of(values[:, 0])).tolist() == [10] * 10
    assert np.bincount(gap.bins_of(values[:, 1]) + 1).tolist() == [40, 10, 10, 10, 10, 10, 10]
    assert energy.between(9.0, 30.0) == {1, 2}
    assert 0 in energy.between(-np.inf, 30.0)
    assert 0 not in energy.between(9.0, np.inf)
    with pytest.raises(InputError, match=r"no bin lies from 200 to 300; the edges are 9\.9, "):
        energy.between(200.0, 300.0)
    assert modalities_of(np.full((5, len(NAMES)), NAN)) == ()


def test_kinds_have_names() -> None:
    lattice = Modality(LATTICE, kinds=SYSTEMS)
    assert lattice.kind("cubic") == {6}
    assert lattice.bins_of(np.array([NAN, 2.0])).tolist() == [-1, 2]
    with pytest.raises(InputError, match="cubik is none of triclinic"):
        lattice.kind("cubik")
