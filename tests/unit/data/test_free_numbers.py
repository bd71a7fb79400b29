"""Free numbers: along them no symmetry breaks, all of the symmetric crystals are reached, and slopes are right."""

from __future__ import annotations

import numpy as np
import pytest

from redoxa.data.errors import StructureError
from redoxa.data.records import Crystal
from redoxa.data.symmetry.free_numbers import FreeNumbers
from redoxa.data.symmetry.normaliser import canonical
from redoxa.data.symmetry.site_symmetry import SiteSymmetry, found_symmetry, site_symmetry
from redoxa.data.symmetry.symmetric import Orbit, SymmetricCrystal, n_cell_parameters, symmetric
from redoxa.data.tables.prototypes import load_prototypes, prototype

FORMS = {entry.name: canonical(symmetric(entry.crystal)) for entry in load_prototypes()[::6]}


def free_of(form: SymmetricCrystal) -> FreeNumbers:
    return FreeNumbers(form.to_crystal(), site_symmetry(form))


def doubled(crystal: Crystal) -> Crystal:
    """A cell twice as long along its third vector."""
    lattice, coords = np.array(crystal.lattice_A), np.array(crystal.frac_coords)
    both = [coords * [1, 1, 0.5], coords * [1, 1, 0.5] + [0, 0, 0.5]]
    lattice[2] *= 2
    return Crystal(numbers=2 * crystal.numbers, frac_coords=np.vstack(both).tolist(), lattice_A=lattice.tolist())


@pytest.mark.parametrize("name", FORMS)
def test_there_are_as_many_as_the_positions_and_the_crystal_system_leave(name: str) -> None:
    form, free = FORMS[name], free_of(FORMS[name])
    assert len(free.moves) == sum(len(orbit.free) for orbit in form.orbits)
    assert len(free.strains) == n_cell_parameters(form.group)
    start = free.crystal(np.zeros(len(free)))
    assert start.numbers == form.to_crystal().numbers
    np.testing.assert_allclose(start.lattice_A, form.to_crystal().lattice_A, atol=1e-6)
    np.testing.assert_allclose(start.frac_coords, form.to_crystal().frac_coords, atol=1e-6)


@pytest.mark.parametrize("name", FORMS)
def test_no_change_of_the_numbers_breaks_the_symmetry(name: str) -> None:
    free = free_of(FORMS[name])
    found = symmetric(free.crystal(np.random.default_rng(1).normal(scale=0.01, size=len(free))))
    assert found.group == FORMS[name].group
    assert len(found.orbits) == len(FORMS[name].orbits)


@pytest.mark.parametrize("name", list(FORMS)[::3])
def test_the_slope_is_the_derivative_of_an_energy(name: str) -> None:
    """Of a made-up energy: a spring between every site and the origin of its cell, and a pressure."""
    free = free_of(FORMS[name])
    x = np.random.default_rng(2).normal(scale=0.02, size=len(free))

    def energy(y: np.ndarray) -> float:
        return float(((free.coords(y) @ free.lattice_A(y)) ** 2).sum() / 2)

    lattice, sites = free.lattice_A(x), free.coords(x) @ free.lattice_A(x)
    slope = free.gradient(x, -sites, sites.T @ sites / abs(np.linalg.det(lattice)))
    for k in range(len(x)):
        step = np.zeros(len(x))
        step[k] = 1e-5
        # At fixed fractional coordinates a strain moves the sites with the cell, as the stress says.
        assert slope[k] == pytest.approx((energy(x + step) - energy(x - step)) / 2e-5, rel=1e-4, abs=1e-4)


def test_rock_salt_can_only_breathe() -> None:
    free = free_of(SymmetricCrystal(225, (Orbit("a", 11, ()), Orbit("b", 17, ())), (5.64,)))
    assert len(free.moves) == 0
    np.testing.assert_allclose(np.abs(free.strains), [np.eye(3) / np.sqrt(3)], atol=1e-12)
    assert free.largest_move(np.array([0.03])) == (0.0, pytest.approx(0.03 / np.sqrt(3)))


@pytest.mark.parametrize("name", list(FORMS)[::2])
def test_operations_found_leave_what_the_positions_leave(name: str) -> None:
    crystal = FORMS[name].to_crystal()
    even, symmetry = found_symmetry(crystal)
    assert even.numbers == crystal.numbers
    np.testing.assert_allclose(even.lattice_A, crystal.lattice_A, atol=1e-4)
    assert len(FreeNumbers(even, symmetry)) == len(free_of(FORMS[name]))


@pytest.mark.parametrize("name", list(FORMS)[::2])
def test_a_supercell_keeps_its_translations(name: str) -> None:
    crystal = doubled(FORMS[name].to_crystal())
    even, symmetry = found_symmetry(crystal)
    free = FreeNumbers(even, symmetry)
    moved = free.crystal(np.random.default_rng(3).normal(scale=0.01, size=len(free)))
    coords, half = np.array(moved.frac_coords), crystal.n_atoms // 2
    np.testing.assert_allclose(coords[half:] - coords[:half], np.tile([0, 0, 0.5], (half, 1)), atol=3e-6)


@pytest.mark.parametrize("name", list(FORMS)[::2])
def test_atoms_that_lie_a_little_off_are_put_in_place_in_the_cell_as_it_is(name: str) -> None:
    crystal = FORMS[name].to_crystal()
    turn = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
    lattice = np.array(crystal.lattice_A) @ turn
    off = np.random.default_rng(5).normal(scale=0.001, size=(crystal.n_atoms, 3)) @ np.linalg.inv(lattice)
    shaken = Crystal(
        numbers=crystal.numbers, frac_coords=(np.array(crystal.frac_coords) + off).tolist(), lattice_A=lattice.tolist()
    )
    even, symmetry = found_symmetry(shaken)
    assert symmetric(even, 1e-4).group == symmetric(crystal).group
    np.testing.assert_allclose(even.lattice_A, lattice, atol=1e-4)
    apart = np.array(even.frac_coords) - np.array(shaken.frac_coords)
    assert np.linalg.norm((apart - np.rint(apart)) @ lattice, axis=1).max() < 0.01
    symmetry.images(np.array(even.frac_coords))


def test_an_asymmetric_crystal_is_free_in_everything() -> None:
    crystal = prototype("O3 NaCoO2").crystal
    off = np.random.default_rng(6).normal(scale=0.05, size=(crystal.n_atoms, 3))
    lattice = np.array(crystal.lattice_A) @ (np.eye(3) + 0.02 * np.random.default_rng(7).normal(size=(3, 3)))
    even, symmetry = found_symmetry(
        Crystal(
            numbers=crystal.numbers,
            frac_coords=(np.array(crystal.frac_coords) + off).tolist(),
            lattice_A=lattice.tolist(),
        )
    )
    assert len(FreeNumbers(even, symmetry)) == 3 * crystal.n_atoms + 6


def test_sites_without_the_symmetry_are_refused() -> None:
    crystal = prototype("O3 NaCoO2").crystal
    even, symmetry = found_symmetry(crystal)
    coords = np.array(even.frac_coords)
    coords[0] += 0.01
    with pytest.raises(StructureError, match="do not have the symmetry"):
        symmetry.images(coords)
    assert isinstance(symmetry, SiteSymmetry)
