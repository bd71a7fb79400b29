"""Wyckoff positions against the International Tables, and crystals to and from their symmetric form."""

from __future__ import annotations

import numpy as np
import pytest

from redoxa.data.errors import InputError, StructureError
from redoxa.data.fingerprint import distance, fingerprint
from redoxa.data.records import Crystal
from redoxa.data.symmetry.symmetric import Orbit, SymmetricCrystal, crystal_system, primitive_vectors, symmetric
from redoxa.data.symmetry.wyckoff import space_group
from redoxa.data.tables.datasets import shared_dir
from redoxa.data.tables.prototypes import load_prototypes, prototype

TABLES = {
    2: "1a 1b 1c 1d 1e 1f 1g 1h 2i",
    14: "2a 2b 2c 2d 4e",
    62: "4a 4b 4c 8d",
    136: "2a 2b 4c 4d 4e 4f 4g 8h 8i 8j 16k",
    166: "3a 3b 6c 9d 9e 18f 18g 18h 36i",
    194: "2a 2b 2c 2d 4e 4f 6g 6h 12i 12j 12k 24l",
    225: "4a 4b 8c 24d 24e 32f 48g 48h 48i 96j 96k 192l",
    227: "8a 8b 16c 16d 32e 48f 96g 96h 192i",
    230: "16a 16b 24c 24d 32e 48f 48g 96h",
}
"""Multiplicities and letters of the International Tables for Crystallography, volume A."""


@pytest.mark.parametrize("number", TABLES)
def test_positions_are_those_of_the_international_tables(number: int) -> None:
    assert " ".join(f"{p.multiplicity}{p.letter}" for p in space_group(number).positions) == TABLES[number]


def test_there_are_1731_positions_and_each_orbit_has_its_multiplicity() -> None:
    count = 0
    for number in range(1, 231):
        group = space_group(number)
        count += len(group.positions)
        for position in group.positions:
            point = position.space.at(np.array([0.1234, 0.2718, 0.3141])[: position.free])
            orbit = group.orbit(point)
            assert len(orbit) == position.multiplicity
            assert len(np.unique(np.round(orbit, 5), axis=0)) == len(orbit)
            _, rest = position.space.free(orbit[0])
            assert np.abs(rest).max() < 1e-9
    assert count == 1731


def test_no_such_group() -> None:
    with pytest.raises(InputError, match="231"):
        space_group(231)


@pytest.mark.parametrize("number", [1, 5, 43, 70, 88, 146, 166, 196, 227, 229, 230])
def test_the_primitive_cell_has_its_share_of_the_volume(number: int) -> None:
    group = space_group(number)
    centring = int((group.rotations == np.eye(3)).all((1, 2)).sum())
    assert np.linalg.det(primitive_vectors(group)) == pytest.approx(1 / centring)


def test_rocksalt_by_hand() -> None:
    salt = SymmetricCrystal(225, (Orbit("a", 11, ()), Orbit("b", 17, ())), (5.64,))
    crystal = salt.to_crystal()
    assert sorted(crystal.numbers) == [11, 17]
    assert crystal.volume_A3 == pytest.approx(5.64**3 / 4, rel=1e-6)
    assert symmetric(crystal).group == 225


@pytest.mark.parametrize("entry", load_prototypes(), ids=lambda e: e.name)
def test_every_electrode_survives_the_round_trip(entry) -> None:
    form = symmetric(entry.crystal)
    back = form.to_crystal()
    assert distance(fingerprint(entry.crystal), fingerprint(back)) < 0.005
    assert symmetric(back).group == form.group
    cell = back.volume_A3 / back.n_atoms
    assert cell == pytest.approx(entry.crystal.volume_A3 / entry.crystal.n_atoms, rel=1e-4)


def test_free_parameters_can_take_any_value_without_breaking_the_symmetry() -> None:
    form = symmetric(prototype("olivine LiFePO4").crystal)
    rng = np.random.default_rng(0)
    moved = SymmetricCrystal(
        form.group,
        tuple(Orbit(o.letter, o.number, tuple(x + rng.normal(0, 0.01) for x in o.free)) for o in form.orbits),
        tuple(x * (1 + rng.normal(0, 0.02)) for x in form.lengths_A),
    )
    assert symmetric(moved.to_crystal()).group == form.group


def test_sites_on_top_of_one_another_are_refused() -> None:
    with pytest.raises(StructureError, match="one place"):
        SymmetricCrystal(225, (Orbit("a", 11, ()), Orbit("a", 17, ())), (5.6,)).to_crystal()


def test_overlapping_atoms_have_no_form() -> None:
    crystal = Crystal(numbers=[3, 3], frac_coords=[[0, 0, 0], [0, 0, 1e-6]], lattice_A=(4 * np.eye(3)).tolist())
    with pytest.raises(StructureError):
        symmetric(crystal)


@pytest.mark.skipif(shared_dir() is None, reason="needs ../shared/datasets")
def test_real_crystals_survive_the_round_trip() -> None:
    """Every hundredth of the shared structures; `docs/measurements/generators.md` has the figures for all."""
    from redoxa.screening.tables.tasks import dataset_tasks

    folder = shared_dir()
    assert folder is not None
    for task in list(dataset_tasks(folder / "datasets" / "mp_structures.parquet"))[::100]:
        back = symmetric(task.crystal).to_crystal()
        assert distance(fingerprint(task.crystal), fingerprint(back)) < 0.02, task.name


@pytest.mark.slow
@pytest.mark.skipif(shared_dir() is None, reason="needs ../shared/datasets")
def test_all_real_crystals_survive_the_round_trip() -> None:
    """None is lost or changed; the symmetric form of 7 in 20,158 lies within the tolerance of a supergroup."""
    from redoxa.screening.tables.tasks import dataset_tasks

    folder = shared_dir()
    assert folder is not None
    raised = []
    for task in dataset_tasks(folder / "datasets" / "mp_structures.parquet"):
        form = symmetric(task.crystal)
        back = form.to_crystal()
        assert distance(fingerprint(task.crystal), fingerprint(back)) < 0.01, task.name
        if (group := symmetric(back).group) != form.group:
            raised.append((form.group, group))
    assert len(raised) <= 7
    assert all(before < after for before, after in raised)


def test_crystal_systems() -> None:
    names = [crystal_system(n) for n in (1, 2, 3, 15, 16, 74, 75, 142, 143, 167, 168, 194, 195, 230)]
    assert names == [
        "triclinic", "triclinic", "monoclinic", "monoclinic", "orthorhombic", "orthorhombic", "tetragonal",
        "tetragonal", "trigonal", "trigonal", "hexagonal", "hexagonal", "cubic", "cubic",
    ]  # fmt: skip
