"""Crystals in the symmetric subspace: space group, an element on each Wyckoff orbit, and what the symmetry leaves free.

A crystal and its `SymmetricCrystal` are the same thing within the tolerance at which the symmetry was found; only the
free coordinates and the free lattice parameters are numbers, so that no change of them can break the symmetry.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

from redoxa.data.errors import StructureError
from redoxa.data.records import Crystal
from redoxa.data.symmetry.wyckoff import (
    GENERIC,
    GRID,
    Floats,
    SpaceGroup,
    WyckoffPosition,
    distinct,
    first_distinct,
    space_group,
)

SITE_TOLERANCE_A = 0.02
"""How far an idealised atom may lie from the position it is assigned to (rounding, not distortion)."""

LAST_GROUP = {
    2: "triclinic",
    15: "monoclinic",
    74: "orthorhombic",
    142: "tetragonal",
    167: "trigonal",
    194: "hexagonal",
    230: "cubic",
}
"""Crystal systems by the last space group of each."""

ANGLES = {"triclinic": (0, 1, 2), "monoclinic": (1,)}
"""Angles (alpha, beta, gamma) that a crystal system leaves free."""

LENGTHS = {
    "cubic": (0, 0, 0),
    "tetragonal": (0, 0, 1),
    "trigonal": (0, 0, 1),
    "hexagonal": (0, 0, 1),
    "orthorhombic": (0, 1, 2),
    "monoclinic": (0, 1, 2),
    "triclinic": (0, 1, 2),
}
"""Which free length each of a, b, c takes."""


@dataclass(frozen=True)
class Orbit:
    """Equivalent sites: a Wyckoff letter, the atomic number on them, and the free coordinates of the representative."""

    letter: str
    number: int
    free: tuple[float, ...]


@dataclass(frozen=True)
class SymmetricCrystal:
    """A crystal in the standard setting of its space group.

    Attributes:
        group: number of the space group, 1 to 230.
        orbits: occupied Wyckoff orbits.
        lengths_A: free lengths of the conventional cell, 1 to 3 (see `LENGTHS`).
        angles_deg: free angles of the conventional cell, none, beta, or all three.
    """

    group: int
    orbits: tuple[Orbit, ...]
    lengths_A: tuple[float, ...]
    angles_deg: tuple[float, ...] = ()

    @property
    def conventional_lattice_A(self) -> Floats:
        """Row vectors [3,3], a along x and b in the xy plane."""
        from ase.geometry import cellpar_to_cell

        return np.asarray(cellpar_to_cell(cell_parameters(self.group, np.array([*self.lengths_A, *self.angles_deg]))))

    def to_crystal(self) -> Crystal:
        """The crystal in a primitive cell.

        Raises:
            StructureError: two sites in one place.
        """
        primitive = _primitive_vectors(self.group)
        numbers: list[int] = []
        placed: list[Floats] = []
        for orbit in self.orbits:
            shifts, slopes = site_map(self.group, orbit.letter)
            placed.append(shifts + slopes @ np.array(orbit.free))
            numbers += [orbit.number] * len(shifts)
        coords = np.vstack(placed)
        if len(distinct(coords, 1e-4)) < len(coords):
            raise StructureError(f"space group {self.group}: two sites lie in one place")
        lattice = primitive @ self.conventional_lattice_A
        return Crystal(numbers=tuple(numbers), frac_coords=coords.tolist(), lattice_A=lattice.tolist())


def crystal_system(group: int) -> str:
    """Crystal system of a space group."""
    return next(system for last, system in LAST_GROUP.items() if group <= last)


def n_cell_parameters(group: int) -> int:
    """Lengths and angles that a space group leaves free."""
    system = crystal_system(group)
    return len(set(LENGTHS[system])) + len(ANGLES.get(system, ()))


def cell_parameters(group: int, free: Floats) -> Floats:
    """Lengths (Angstrom) and angles (degrees) [..., 6] of conventional cells from the k that are free [..., k]."""
    system = crystal_system(group)
    found = np.full((*free.shape[:-1], 6), 90.0)
    found[..., :3] = free[..., LENGTHS[system]]
    if system in ("trigonal", "hexagonal"):
        found[..., 5] = 120.0
    angles = ANGLES.get(system, ())
    found[..., [3 + i for i in angles]] = free[..., free.shape[-1] - len(angles) :]
    return found


def cell_volumes_A3(parameters: Floats) -> Floats:
    """Volumes [...] of cells from lengths and angles [..., 6]."""
    cosines = np.cos(np.radians(parameters[..., 3:]))
    gram = 1.0 + 2.0 * cosines.prod(-1) - (cosines**2).sum(-1)
    return np.asarray(parameters[..., :3].prod(-1) * np.sqrt(gram))


def primitive_vectors(group: SpaceGroup) -> Floats:
    """Primitive vectors [3,3] in units of the conventional ones, reduced to short ones."""
    return _primitive_vectors(group.number).copy()


@cache
def site_map(number: int, letter: str) -> tuple[Floats, Floats]:
    """Sites of a Wyckoff position in the primitive cell, as they depend on its k free coordinates.

    Returns:
        Shifts [m,3] and slopes [m,3,k]: a site lies at shift + slope @ free, in primitive coordinates.
    """
    group, inverse = space_group(number), np.linalg.inv(_primitive_vectors(number))
    space = group.position(letter).space
    free = GENERIC[: space.dimension]
    images = group.images(space.at(free)) @ inverse
    first = first_distinct(images, 1e-4)
    directions = np.array(space.directions, dtype=float).reshape(-1, 3)
    slopes = np.swapaxes(directions @ np.swapaxes(group.rotations[first], 1, 2) @ inverse, 1, 2)
    return images[first] - slopes @ free, slopes


@cache
def _primitive_vectors(number: int) -> Floats:
    group = space_group(number)
    identity = (group.rotations == np.eye(3)).all((1, 2))
    shifts = group.translations[identity]
    vectors = {tuple(np.rint((s + n) * GRID) / GRID) for s in shifts for n in product((-1, 0), (-1, 0), (-1, 0))}
    candidates = sorted(
        (np.array(v) for v in vectors | {(1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0)} if any(v)),
        key=lambda v: (round(float(v @ v), 6), tuple(-v)),
    )
    volume = 1.0 / len(shifts)
    for i, a in enumerate(candidates):
        for j, b in enumerate(candidates[:i]):
            for c in candidates[:j]:
                cell = np.array([c, b, a])
                if math.isclose(abs(np.linalg.det(cell)), volume, rel_tol=1e-3):
                    return cell if np.linalg.det(cell) > 0 else cell[[1, 0, 2]]
    raise StructureError(f"space group {group.number}: no primitive cell")


def symmetric(crystal: Crystal, symprec_A: float = 0.01) -> SymmetricCrystal:
    """The symmetric form of a crystal.

    Args:
        crystal: any cell of it.
        symprec_A: how far atoms may lie from their symmetric places.

    Raises:
        StructureError: no symmetry can be found, or an atom fits no position.
    """
    import spglib

    cell = (crystal.lattice_A, crystal.frac_coords, crystal.numbers)
    try:
        found = spglib.get_symmetry_dataset(cell, symprec=symprec_A)
    except spglib.SpglibError as error:
        raise StructureError(f"{crystal.formula}: no symmetry can be found ({error})") from None
    if found is None:
        raise StructureError(f"{crystal.formula}: no symmetry can be found")
    lattice = np.asarray(found.std_lattice)
    group = space_group(int(found.number))
    orbits = _orbits(group, lattice, np.asarray(found.std_positions), [int(z) for z in found.std_types])
    lengths, angles = free_parameters(group.number, lattice)
    return SymmetricCrystal(group.number, tuple(orbits), lengths, angles)


def free_parameters(group: int, lattice: Floats) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Free lengths and angles of a standardised conventional cell."""
    from ase.geometry import cell_to_cellpar

    parameters = cell_to_cellpar(lattice)
    system = crystal_system(group)
    lengths = [
        float(np.mean([parameters[i] for i in range(3) if LENGTHS[system][i] == k]))
        for k in sorted(set(LENGTHS[system]))
    ]
    return tuple(lengths), tuple(float(parameters[3 + i]) for i in ANGLES.get(system, ()))


def _orbits(group: SpaceGroup, lattice: Floats, positions: Floats, numbers: Sequence[int]) -> list[Orbit]:
    """Assign atoms of a standardised cell to positions."""
    left = list(range(len(numbers)))
    orbits = []
    while left:
        position, free = _place(group, lattice, positions[left[0]])
        points = group.images(position.space.at(free))
        delta = positions[left][:, None] - points[None]
        apart = np.linalg.norm((delta - np.round(delta)) @ lattice, axis=-1).min(1)
        members = [i for i, d in zip(left, apart, strict=True) if d < 2 * SITE_TOLERANCE_A]
        if len(members) != position.multiplicity or len({numbers[i] for i in members}) > 1:
            raise StructureError(
                f"space group {group.number}: {len(members)} atoms found on a site of {position.multiplicity}"
            )
        orbits.append(Orbit(position.letter, numbers[left[0]], tuple(float(x) % 1.0 for x in free)))
        left = [i for i in left if i not in set(members)]
    return orbits


def _place(group: SpaceGroup, lattice: Floats, point: Floats) -> tuple[WyckoffPosition, Floats]:
    """The most special position that a point lies on, and the free coordinates of its representative."""
    images = group.images(point)
    for position in group.positions:
        free, rest = position.space.free(images)
        apart = np.linalg.norm(rest @ lattice, axis=-1)
        best = int(np.round(apart, 6).argmin())
        if apart[best] < SITE_TOLERANCE_A:
            return position, free[best]
    raise StructureError(f"space group {group.number}: an atom fits no position")  # the general one takes any point
