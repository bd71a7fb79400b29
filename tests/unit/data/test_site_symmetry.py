"""Operations on sites: of every position of every group, each is a permutation that keeps the crystal."""

from __future__ import annotations

import numpy as np
import pytest

from redoxa.data.errors import StructureError
from redoxa.data.symmetry.site_symmetry import site_symmetry
from redoxa.data.symmetry.symmetric import (
    ANGLES,
    LENGTHS,
    Orbit,
    SymmetricCrystal,
    crystal_system,
    primitive_vectors,
    site_map,
)
from redoxa.data.symmetry.wyckoff import GENERIC, space_group


def occupied(number: int, shift: float = 0.0) -> SymmetricCrystal:
    """A crystal with atoms on every kind of site of a group, each kind once; free coordinates shifted."""
    system = crystal_system(number)
    lengths = tuple(6.0 + i for i in range(len(set(LENGTHS[system]))))
    angles = tuple(97.0 + i for i in range(len(ANGLES.get(system, ()))))
    positions = space_group(number).positions
    orbits = tuple(
        Orbit(p.letter, 8, tuple((GENERIC[: p.free] + 0.011 * i + shift).tolist())) for i, p in enumerate(positions)
    )
    return SymmetricCrystal(number, orbits, lengths, angles)


def sites(form: SymmetricCrystal) -> np.ndarray:
    """Fractional coordinates in the primitive cell, not rounded."""
    maps = [(*site_map(form.group, orbit.letter), np.array(orbit.free)) for orbit in form.orbits]
    return np.vstack([shifts + slopes @ free for shifts, slopes, free in maps])


@pytest.mark.parametrize("number", [1, 2, 15, 43, 62, 88, 122, 141, 146, 148, 160, 167, 176, 194, 205, 220, 227, 230])
def test_operations_carry_sites_to_sites(number: int) -> None:
    form = occupied(number)
    symmetry, sizes = site_symmetry(form), [len(site_map(number, orbit.letter)[0]) for orbit in form.orbits]
    assert symmetry.orbits.tolist() == [i for i, size in enumerate(sizes) for _ in range(size)]
    assert (np.sort(symmetry.places, axis=1) == np.arange(sum(sizes))).all()
    assert (symmetry.orbits[symmetry.places] == symmetry.orbits).all()
    assert (np.unique(symmetry.places[:, symmetry.representatives]) == np.arange(sum(sizes))).all()
    coords = sites(occupied(number, 0.003))
    carried = coords @ symmetry.rotations + symmetry.shifts[:, None]
    np.testing.assert_allclose(carried, coords[symmetry.places] + symmetry.images(coords), atol=1e-9)
    # A turn of the lattice is a turn of space: lengths and angles of the primitive vectors stay.
    turns = symmetry.turns(primitive_vectors(space_group(number)) @ form.conventional_lattice_A)
    np.testing.assert_allclose(turns @ np.swapaxes(turns, 1, 2), np.broadcast_to(np.eye(3), turns.shape), atol=1e-9)


def test_sites_of_every_group_close() -> None:
    for number in range(1, 231):
        form = occupied(number)
        places = site_symmetry(form).places
        assert places.shape[1] == sum(len(site_map(number, o.letter)[0]) for o in form.orbits)


def test_a_crystal_without_the_symmetry_is_refused() -> None:
    form = occupied(15)
    coords = sites(form)
    coords[-1] += 0.01
    with pytest.raises(StructureError, match="do not have the symmetry"):
        site_symmetry(form).images(coords)
