"""The Wyckoff positions of all groups as one table of tensors, so that networks need no crystallography to read it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from redoxa.data.symmetry.symmetric import SymmetricCrystal
    from redoxa.data.symmetry.wyckoff import SpaceGroup, WyckoffPosition

Integers = npt.NDArray[np.int64]

N_GROUPS = 230

MOST_POSITIONS = 27
"""Positions of the group that has most (47)."""

N_FEATURES = 27
"""Numbers that describe a position, the same for all groups."""

SYSTEMS = ("triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic")


@dataclass(frozen=True)
class PositionTable:
    """The 1,731 positions, group after group, from the most special to the general one of each.

    Attributes:
        first: first position of each group and the end, int64 [232]; group 0 has none.
        atoms: sites in the primitive cell, int64 [P].
        free: free coordinates of a site, int64 [P].
        features: what is alike in all groups, of order one, float32 [P, N_FEATURES].
        centring: lattice points in the conventional cell of each group, int64 [231].
        lengths: free lengths of its cell, int64 [231].
        angles: free angles of its cell, int64 [231].
    """

    first: Integers
    atoms: Integers
    free: Integers
    features: npt.NDArray[np.float32]
    centring: Integers
    lengths: Integers
    angles: Integers

    def of(self, group: int) -> slice:
        """The positions of a group."""
        return slice(int(self.first[group]), int(self.first[group + 1]))

    def index(self, group: int, letter: str) -> int:
        """Place of a position in the table."""
        return int(self.first[group]) + _place(letter)

    def letter(self, position: int) -> str:
        """Wyckoff letter of a place in the table."""
        group = int(np.searchsorted(self.first, position, side="right")) - 1
        place = position - int(self.first[group])
        return "A" if place == 26 else chr(ord("a") + place)


def _place(letter: str) -> int:
    return 26 if letter == "A" else ord(letter) - ord("a")


@cache
def position_table() -> PositionTable:
    """The table, worked out from spglib's operations (1 s, once a process)."""
    from redoxa.data.symmetry.symmetric import ANGLES, LENGTHS, crystal_system
    from redoxa.data.symmetry.wyckoff import centring, space_group

    first, atoms, free, features = [0, 0], [], [], []
    for number in range(1, N_GROUPS + 1):
        group = space_group(number)
        for position in group.positions:
            atoms.append(position.multiplicity // centring(number))
            free.append(position.free)
            features.append(_features(group, position, crystal_system(number)))
        first.append(len(atoms))
    systems = ["triclinic", *(crystal_system(number) for number in range(1, N_GROUPS + 1))]
    return PositionTable(
        first=np.array(first),
        atoms=np.array(atoms),
        free=np.array(free),
        features=np.array(features, dtype=np.float32),
        centring=np.array([1, *(centring(number) for number in range(1, N_GROUPS + 1))]),
        lengths=np.array([len(set(LENGTHS[system])) for system in systems]),
        angles=np.array([len(ANGLES.get(system, ())) for system in systems]),
    )


def _features(group: SpaceGroup, position: WyckoffPosition, system: str) -> list[float]:
    """Size, freedom, site symmetry, where the representative lies and along which axes it may move, crystal system."""
    centring = int((group.rotations == np.eye(3)).all((1, 2)).sum())
    sites = position.multiplicity / centring
    point = 2 * np.pi * np.array(position.space.point)
    directions = np.array([*position.space.directions, *[(0, 0, 0)] * 3])[:3]
    return [
        np.log2(sites) / 4,
        1 / sites,
        *(float(position.free == d) for d in range(4)),
        np.log2(len(group.rotations) / position.multiplicity) / 4,
        np.log2(len(group.rotations) / centring) / 4,
        centring / 4,
        *np.sin(point),
        *np.cos(point),
        *np.abs(directions).max(0),
        *(float(i in position.space.pivots) for i in range(2)),
        *(float(system == each) for each in SYSTEMS),
    ]


def free_cell(form: SymmetricCrystal) -> npt.NDArray[np.float32]:
    """Logarithms of the free lengths (A), then the free angles (radians), padded with zeros, float32 [6]."""
    found = np.zeros(6, dtype=np.float32)
    numbers = [*np.log(form.lengths_A), *np.radians(form.angles_deg)]
    found[: len(numbers)] = numbers
    return found
