"""Symmetric crystals as graphs of their orbits: what the network that puts elements on orbits sees of a geometry.

A node is an orbit, and an edge says how many sites of another orbit lie around one of its sites, shell by shell.
Lengths are in units of the edge of a cube that holds one atom, so that a graph says nothing of how large its atoms are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from redoxa.data.symmetry.symmetric import LAST_GROUP, SymmetricCrystal
from redoxa.data.symmetry.wyckoff import Floats, Integers, centring, space_group

SHELLS = np.linspace(0.7, 2.2, 13)
"""Centres of the shells around a site; each reaches one and a half spacings to either side."""

SITE_FEATURES = 8
"""Of an orbit: logarithm of its atoms, their share of the cell, freedom none to full (4), logarithm of its site
symmetry, logarithm of the orbits in the crystal."""

CRYSTAL_FEATURES = len(LAST_GROUP) + 2
"""Crystal system (7), logarithm of the atoms in the primitive cell, whether the group holds inversion."""


@dataclass(frozen=True)
class OrbitGraph:
    """Orbits of a crystal.

    Attributes:
        atoms: in the primitive cell, of each orbit [o].
        sites: float32 [o, SITE_FEATURES].
        shells: sites of orbit j around a site of orbit i, float32 [o, o, shells].
        crystal: float32 [CRYSTAL_FEATURES].
    """

    atoms: Integers
    sites: Floats
    shells: Floats
    crystal: Floats

    @classmethod
    def of(cls, form: SymmetricCrystal) -> OrbitGraph:
        """The graph of a symmetric crystal; its elements play no part.

        Raises:
            StructureError: two sites in one place.
        """
        crystal, group, count = form.to_crystal(), space_group(form.group), len(form.orbits)
        atoms = np.array([group.position(orbit.letter).multiplicity for orbit in form.orbits]) // centring(form.group)
        orbits = np.repeat(np.arange(count), atoms)
        freedom = [len(orbit.free) for orbit in form.orbits]
        symmetry = [len(group.rotations) / group.position(orbit.letter).multiplicity for orbit in form.orbits]
        sites = np.zeros((count, SITE_FEATURES))
        sites[:, 0], sites[:, 1] = np.log(atoms), atoms / atoms.sum()
        sites[np.arange(count), 2 + np.array(freedom)] = 1.0
        sites[:, 6], sites[:, 7] = np.log(symmetry), np.log(count)
        whole = np.zeros(CRYSTAL_FEATURES)
        whole[sum(form.group > last for last in LAST_GROUP)] = 1.0
        whole[-2] = np.log(atoms.sum())
        whole[-1] = float((group.rotations == -np.eye(3)).all((1, 2)).any())
        lattice = np.array(crystal.lattice_A) * (crystal.n_atoms / crystal.volume_A3) ** (1 / 3)
        shells = _shells(np.array(crystal.frac_coords), lattice, orbits)
        return cls(atoms, sites.astype(np.float32), shells, whole.astype(np.float32))


def _shells(coords: Floats, lattice: Floats, orbits: Integers) -> Floats:
    """Shells [o,o,s] around the first site of each orbit."""
    from pymatgen.optimization.neighbors import find_points_in_spheres

    first = np.unique(orbits, return_index=True)[1]
    spacing = float(SHELLS[1] - SHELLS[0])
    points = np.ascontiguousarray((coords % 1.0) @ lattice)
    reach, periodic = float(SHELLS[-1]) + 1.5 * spacing, np.ones(3, dtype=np.int64)
    centre, neighbour, _, distance = find_points_in_spheres(
        points, points[first], reach, periodic, np.ascontiguousarray(lattice), 1e-8
    )
    kept = distance > 1e-6
    centre, neighbour, distance = centre[kept], neighbour[kept], distance[kept]
    bumps = np.maximum(1.0 - ((distance[:, None] - SHELLS) / (1.5 * spacing)) ** 2, 0.0) ** 2
    found = np.zeros((len(first), len(first), len(SHELLS)))
    np.add.at(found, (centre, orbits[neighbour]), bumps)
    return found.astype(np.float32)


@dataclass(frozen=True)
class GraphBatch:
    """Graphs of equally many orbits: atoms [b,o], sites [b,o,f], shells [b,o,o,s], crystal [b,c]."""

    atoms: torch.Tensor
    sites: torch.Tensor
    shells: torch.Tensor
    crystal: torch.Tensor

    @classmethod
    def of(cls, graphs: Sequence[OrbitGraph]) -> GraphBatch:
        """Stack graphs."""
        names = ("atoms", "sites", "shells", "crystal")
        return cls(*(torch.from_numpy(np.stack([getattr(g, name) for g in graphs])).float() for name in names))

    def __getitem__(self, rows: torch.Tensor) -> GraphBatch:
        return GraphBatch(self.atoms[rows], self.sites[rows], self.shells[rows], self.crystal[rows])
