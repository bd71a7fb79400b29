"""Where one more ion fits into a crystal: the empty places of its space group, as further Wyckoff orbits.

The points of a grid that lie farthest from all atoms are drawn onto the most special position nearby, so that the
crystal keeps its symmetry. Which of the places an ion would take is for others to say.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from redoxa.data.symmetry.symmetric import Orbit, SymmetricCrystal, primitive_vectors
from redoxa.data.symmetry.wyckoff import Floats, SpaceGroup, centring, distinct, space_group

GRID_A = 0.3
"""Spacing of the points that are looked at."""

CLEARANCE_A = 1.6
"""Least distance of an inserted ion from all atoms (Li-O is 1.8 to 2.2) and from its own images."""

SNAP_A = 0.6
"""How far a point is moved, at most, to lie on a special position."""

MOST_SITES = 12
"""Inserted ions in the primitive cell, at most."""


def insertions(host: SymmetricCrystal, ion: int) -> list[SymmetricCrystal]:
    """The host with one more orbit of the ion, each way once, the roomiest places first.

    Args:
        host: a crystal.
        ion: atomic number of what is inserted.
    """
    group = space_group(host.group)
    primitive = primitive_vectors(group)
    cell = _Cell(primitive @ host.conventional_lattice_A, np.asarray(np.linalg.inv(primitive)))
    atoms = np.vstack([group.images(group.position(o.letter).space.at(np.array(o.free))) for o in host.orbits])
    atoms = cell.distinct(atoms)
    points = cell.grid() @ primitive
    room = cell.distances_A(points, atoms).min(1)
    found: list[SymmetricCrystal] = []
    while room.max() >= CLEARANCE_A:
        point = points[int(np.round(room, 6).argmax())]
        placed = _snapped(group, cell, point, atoms)
        taken = point[None]
        if placed is not None:
            letter, free = placed
            found.append(replace(host, orbits=(*host.orbits, Orbit(letter, ion, tuple((free % 1.0).tolist())))))
            taken = cell.distinct(np.vstack([taken, group.images(group.position(letter).space.at(free))]))
        room[cell.distances_A(points, taken).min(1) < 2 * SNAP_A] = 0.0
    return found


@dataclass(frozen=True)
class _Cell:
    """A primitive cell: points are given in conventional coordinates.

    Attributes:
        lattice_A: row vectors [3,3].
        inverse: turns conventional into primitive coordinates [3,3].
    """

    lattice_A: Floats
    inverse: Floats

    def grid(self) -> Floats:
        """Primitive coordinates [n,3] of a grid."""
        axes = [np.arange(k) / k for k in np.ceil(np.linalg.norm(self.lattice_A, axis=1) / GRID_A).astype(int)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)

    def distinct(self, points: Floats) -> Floats:
        """Points [n,3] without those that lattice vectors bring onto others."""
        return distinct(points @ self.inverse, 1e-4) @ np.linalg.inv(self.inverse)

    def distances_A(self, points: Floats, others: Floats) -> Floats:
        """Shortest distances [n,m]."""
        from pymatgen.core import Lattice

        return np.asarray(Lattice(self.lattice_A).get_all_distances(points @ self.inverse, others @ self.inverse))


def _snapped(group: SpaceGroup, cell: _Cell, point: Floats, atoms: Floats) -> tuple[str, Floats] | None:
    """Letter and free coordinates of the most special place near a point that leaves enough room."""
    images = group.images(point)
    for position in group.positions:
        if position.multiplicity > MOST_SITES * centring(group.number):
            continue
        free, rest = position.space.free(images)
        apart_A = np.linalg.norm(rest @ cell.inverse @ cell.lattice_A, axis=-1)
        best = int(np.round(apart_A, 6).argmin())
        place = position.space.at(free[best])
        own_A = cell.distances_A(place[None], cell.distinct(group.images(place)))[0]
        clear_A = min(cell.distances_A(place[None], atoms).min(), own_A[own_A > 1e-3].min(initial=np.inf))
        if apart_A[best] <= SNAP_A and clear_A >= CLEARANCE_A:
            return position.letter, free[best]
    return None
