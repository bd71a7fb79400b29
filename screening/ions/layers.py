"""Hosts that fall into layers, chains or molecules once their ions are gone: their parts, and how to move them apart.

A potential trained on PBE knows no dispersion and does not hold such parts together: moved apart, they lie lower than
where a relaxation happens to stop, so that its volume says little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.data import covalent_radii
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from redoxa.data.records import Crystal
from redoxa.screening.potentials.base import FloatArray

BOND = 1.25
"""Longest bond over the sum of the covalent radii (B. Cordero et al., doi:10.1039/b801115j)."""

APART = 1.0
"""Growth of the volume at which parts no longer touch: their gap has widened by more than half a layer."""


@dataclass(frozen=True)
class Loose:
    """A crystal whose bonds are endless in less than three directions.

    Attributes:
        crystal: the crystal.
        part: number of the part that an atom belongs to [N].
        coords_A: atoms in Cartesian coordinates, those of one part beside one another [N,3].
        across: projector on the directions in which no part is endless [3,3].
    """

    crystal: Crystal
    part: np.ndarray
    coords_A: FloatArray
    across: FloatArray

    def opened(self, growth: float) -> Crystal:
        """Move the parts apart, each as it is, until the volume has grown by this share."""
        stretch = (1 + growth) ** (1 / round(np.trace(self.across))) - 1
        lattice = np.array(self.crystal.lattice_A)
        lattice += stretch * lattice @ self.across
        counts = np.bincount(self.part)
        centres = np.stack([np.bincount(self.part, weights=x) / counts for x in self.coords_A.T], axis=1)
        coords = self.coords_A + stretch * (centres @ self.across)[self.part]
        frac = np.linalg.solve(lattice.T, coords.T).T
        return self.crystal.model_copy(update={"lattice_A": _rows(lattice), "frac_coords": _rows(frac)})


def loose_parts(crystal: Crystal) -> Loose | None:
    """Find layers, chains or molecules; None for frameworks, which bonds hold in all directions."""
    from pymatgen.optimization.neighbors import find_points_in_spheres

    lattice, frac = np.array(crystal.lattice_A), np.array(crystal.frac_coords)
    radii, points = covalent_radii[list(crystal.numbers)], np.ascontiguousarray(frac @ lattice)
    reach_A = 2 * BOND * float(radii.max())
    i, j, image, distance = find_points_in_spheres(points, points, reach_A, np.ones(3, np.int64), lattice, 1e-8)
    bonded = (distance > 1e-6) & (distance < BOND * (radii[i] + radii[j]))
    i, j, image = i[bonded], j[bonded], image[bonded]
    graph = coo_array((np.ones(len(i)), (i, j)), shape=(len(frac), len(frac))).tocsr()
    part = connected_components(graph)[1]
    shift = np.zeros_like(frac)
    first_bond = {(a, b): v for a, b, v in zip(i.tolist(), j.tolist(), image, strict=True)}
    for start in np.unique(part, return_index=True)[1]:
        order, parents = breadth_first_order(graph, start)
        for atom in order[1:].tolist():
            parent = int(parents[atom])
            shift[atom] = shift[parent] + first_bond[parent, atom]
    loops_A = np.vstack([np.zeros((3, 3)), (shift[i] + image - shift[j]) @ lattice])
    _, sizes, axes = np.linalg.svd(loops_A, full_matrices=False)
    endless = axes[sizes > 1e-6]
    if len(endless) == 3:
        return None
    return Loose(crystal, part, (frac + shift) @ lattice, np.eye(3) - endless.T @ endless)


def _rows(matrix: FloatArray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())
