"""Which site of a symmetric crystal each operation of its space group carries to which.

The table holds at all free numbers: it is worked out once, at generic coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from redoxa.data.errors import StructureError
from redoxa.data.symmetry.symmetric import SymmetricCrystal, primitive_vectors, site_map
from redoxa.data.symmetry.wyckoff import GENERIC, Floats, Integers, space_group

TOLERANCE = 1e-5
"""In primitive coordinates: rounding, not distortion."""


@dataclass(frozen=True)
class SiteSymmetry:
    """G operations, one of each rotation, on the N sites of a primitive cell in the order of `FreeNumbers`.

    Attributes:
        rotations: a row of primitive coordinates x goes to x @ rotation + shift, int [G,3,3].
        shifts: float [G,3].
        places: the site that each site is carried to, int [G,N].
        orbits: orbit of each site, ascending, int [N].
    """

    rotations: Integers
    shifts: Floats
    places: Integers
    orbits: Integers

    @property
    def representatives(self) -> Integers:
        """The first site of each orbit [O]."""
        return np.asarray(np.unique(self.orbits, return_index=True)[1])

    def images(self, coords: Floats) -> Integers:
        """The cell in which each site [N,3] lies where each operation carries it [G,N,3].

        Raises:
            StructureError: sites that do not have the symmetry.
        """
        apart = coords @ self.rotations + self.shifts[:, None] - coords[self.places]
        images = np.rint(apart).astype(np.int64)
        if np.abs(apart - images).max(initial=0.0) > TOLERANCE:
            raise StructureError("the sites do not have the symmetry that they should have")
        return images

    def averaged(self, forces: Floats, stress: Floats, lattice: Floats) -> tuple[Floats, Floats]:
        """The part of forces [N,3] and of a stress [3,3] that every operation leaves as it is.

        Where an energy is written with some of the equivalent atoms only, it is the gradient of the whole energy.
        """
        turns = np.linalg.solve(lattice, self.rotations @ lattice)  # of Cartesian rows
        carried = np.zeros_like(forces)
        np.add.at(carried, self.places, forces @ turns)
        return carried / len(turns), np.asarray((np.swapaxes(turns, 1, 2) @ stress @ turns).mean(0))


def site_symmetry(form: SymmetricCrystal) -> SiteSymmetry:
    """The operations on the sites of a symmetric crystal.

    Raises:
        StructureError: the sites of an orbit are not carried to one another.
    """
    places: list[Integers] = []
    orbits: list[int] = []
    for index, orbit in enumerate(form.orbits):
        carried = _places(form.group, orbit.letter)
        places.append(carried + len(orbits))
        orbits += [index] * carried.shape[1]
    return SiteSymmetry(*_operations(form.group), np.concatenate(places, 1), np.array(orbits))


@cache
def _operations(number: int) -> tuple[Integers, Floats]:
    """Rotations [G,3,3] and shifts [G,3] of rows of primitive coordinates, one of each rotation."""
    group, vectors = space_group(number), primitive_vectors(space_group(number))
    rotations, first = np.unique(group.rotations, axis=0, return_index=True)
    inverse = np.linalg.inv(vectors)
    turned = np.rint(vectors @ np.swapaxes(rotations, 1, 2) @ inverse).astype(np.int64)
    return turned, group.translations[first] @ inverse


@cache
def _places(number: int, letter: str) -> Integers:
    """Which site of a Wyckoff position each operation carries each of its m sites to [G,m]."""
    rotations, shifts = _operations(number)
    base, slopes = site_map(number, letter)
    sites = base + slopes @ GENERIC[: slopes.shape[2]]
    apart = (sites @ rotations + shifts[:, None])[:, :, None] - sites
    rest = np.abs(apart - np.rint(apart)).max(-1)
    places = rest.argmin(-1)
    if rest.min(-1).max() > TOLERANCE or (np.sort(places) != np.arange(len(sites))).any():
        raise StructureError(f"space group {number}: the sites of {letter} do not close")
    return np.asarray(places)
