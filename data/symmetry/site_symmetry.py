"""Which site of a crystal each operation of its space group carries to which.

Of a symmetric form the table is worked out once, at generic coordinates, and holds at all free numbers; of any other
crystal the operations are found first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from redoxa.data.errors import StructureError
from redoxa.data.records import Crystal
from redoxa.data.symmetry.symmetric import SymmetricCrystal, primitive_vectors, site_map
from redoxa.data.symmetry.wyckoff import GENERIC, Floats, Integers, space_group

TOLERANCE = 1e-5
"""In primitive coordinates: rounding, not distortion."""


@dataclass(frozen=True)
class SiteSymmetry:
    """G operations on the N sites of a cell: of a primitive one, one of each rotation.

    Attributes:
        rotations: a row of fractional coordinates x goes to x @ rotation + shift, int [G,3,3].
        shifts: float [G,3].
        places: the site that each site is carried to, int [G,N].
        orbits: orbit of each site, from 0 on, int [N].
    """

    rotations: Integers
    shifts: Floats
    places: Integers
    orbits: Integers

    @property
    def representatives(self) -> Integers:
        """The first site of each orbit [O]."""
        return np.asarray(np.unique(self.orbits, return_index=True)[1])

    def turns(self, lattice: Floats) -> Floats:
        """What the operations do to Cartesian rows: a row v goes to v @ turn [G,3,3]."""
        return np.asarray(np.linalg.solve(lattice, self.rotations @ lattice))

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

    def evened(self, lattice: Floats, coords: Floats) -> tuple[Floats, Floats]:
        """The nearest lattice [3,3] and fractional coordinates [N,3] that have the symmetry; orientation stays."""
        metric = (self.rotations @ (lattice @ lattice.T) @ np.swapaxes(self.rotations, 1, 2)).mean(0)
        inverse = np.linalg.inv(lattice)
        squares, axes = np.linalg.eigh(inverse @ metric @ inverse.T)  # of the stretch between both
        apart = coords @ self.rotations + self.shifts[:, None] - coords[self.places]
        moves = np.zeros_like(coords)
        np.add.at(moves, self.places, apart - np.rint(apart))
        return lattice @ (axes * np.sqrt(squares)) @ axes.T, coords + moves / len(self.rotations)

    def averaged(self, forces: Floats, stress: Floats, lattice: Floats) -> tuple[Floats, Floats]:
        """The part of forces [N,3] and of a stress [3,3] that every operation leaves as it is.

        Where an energy is written with some of the equivalent atoms only, it is the gradient of the whole energy.
        """
        turns = self.turns(lattice)
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


def found_symmetry(crystal: Crystal, symprec_A: float = 0.01) -> tuple[Crystal, SiteSymmetry]:
    """The operations that a crystal has within a tolerance, and the crystal with all sites and its cell in place.

    Cell, orientation and order of the sites stay.

    Args:
        crystal: any cell of it; translations of a supercell are operations too.
        symprec_A: how far atoms may lie from their symmetric places.

    Raises:
        StructureError: no symmetry can be found, or one that the sites do not have after all.
    """
    import spglib

    lattice, coords, numbers = np.array(crystal.lattice_A), np.array(crystal.frac_coords), np.array(crystal.numbers)
    try:
        found = spglib.get_symmetry((lattice, coords, numbers), symprec=symprec_A)
    except spglib.SpglibError as error:
        raise StructureError(f"{crystal.formula}: no symmetry can be found ({error})") from None
    if found is None:
        raise StructureError(f"{crystal.formula}: no symmetry can be found")
    rotations, shifts = np.swapaxes(found["rotations"], 1, 2).astype(np.int64), np.asarray(found["translations"])
    apart = (coords @ rotations + shifts[:, None])[:, :, None] - coords
    apart -= np.rint(apart)
    far = np.linalg.norm(apart @ lattice, axis=-1)
    far[:, numbers[:, None] != numbers] = np.inf
    places = far.argmin(-1)
    if (np.sort(places, axis=1) != np.arange(len(numbers))).any():
        raise StructureError(f"{crystal.formula}: the operations found do not carry sites to sites")
    orbits = np.unique(places.min(0), return_inverse=True)[1]
    symmetry = SiteSymmetry(rotations, shifts, places, orbits)
    lattice, coords = symmetry.evened(lattice, coords)
    symmetry.images(coords)  # raises where they are not
    return Crystal(numbers=crystal.numbers, frac_coords=coords.tolist(), lattice_A=lattice.tolist()), symmetry
