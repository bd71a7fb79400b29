"""Operations on sites: of every position of every group, each is a permutation that keeps the crystal."""

from __future__ import annotations

import numpy as np
import pytest

from redoxa.data.errors import StructureError
from redoxa.data.symmetry.free_numbers import FreeNumbers
from redoxa.data.symmetry.site_symmetry import site_symmetry
from redoxa.data.symmetry.symmetric import ANGLES, LENGTHS, Orbit, SymmetricCrystal, crystal_system, site_map
from redoxa.data.symmetry.wyckoff import GENERIC, space_group


def occupied(number: int) -> SymmetricCrystal:
    """A crystal with atoms on every kind of site of a group, each kind once."""
    system = crystal_system(number)
    lengths = tuple(6.0 + i for i in range(len(set(LENGTHS[system]))))
    angles = tuple(97.0 + i for i in range(len(ANGLES.get(system, ()))))
    positions = space_group(number).positions
    orbits = tuple(Orbit(p.letter, 8, tuple((GENERIC[: p.free] + 0.011 * i).tolist())) for i, p in enumerate(positions))
    return SymmetricCrystal(number, orbits, lengths, angles)


@pytest.mark.parametrize("number", [1, 2, 15, 43, 62, 88, 122, 141, 146, 148, 160, 167, 176, 194, 205, 220, 227, 230])
def test_operations_carry_sites_to_sites(number: int) -> None:
    form = occupied(number)
    free, symmetry = FreeNumbers(form), site_symmetry(form)
    assert (symmetry.orbits == free.orbits).all()
    assert (np.sort(symmetry.places, axis=1) == np.arange(len(free.orbits))).all()
    assert (symmetry.orbits[symmetry.places] == symmetry.orbits).all()
    assert (np.unique(symmetry.places[:, symmetry.representatives]) == np.arange(len(free.orbits))).all()
    coords = free.coords(free.start + 0.003)
    carried = coords @ symmetry.rotations + symmetry.shifts[:, None]
    np.testing.assert_allclose(carried, coords[symmetry.places] + symmetry.images(coords), atol=1e-9)
    # A turn of the lattice is a turn of space: lengths and angles of the primitive vectors stay.
    lattice = free.lattice_A(free.start)
    turns = np.linalg.solve(lattice, symmetry.rotations @ lattice)
    np.testing.assert_allclose(turns @ np.swapaxes(turns, 1, 2), np.broadcast_to(np.eye(3), turns.shape), atol=1e-9)


def test_sites_of_every_group_close() -> None:
    for number in range(1, 231):
        form = occupied(number)
        places = site_symmetry(form).places
        assert places.shape[1] == sum(len(site_map(number, o.letter)[0]) for o in form.orbits)


def test_a_crystal_without_the_symmetry_is_refused() -> None:
    form = occupied(15)
    free = FreeNumbers(form)
    coords = free.coords(free.start)
    coords[-1] += 0.01
    with pytest.raises(StructureError, match="do not have the symmetry"):
        site_symmetry(form).images(coords)
