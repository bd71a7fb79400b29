"""CHGNet's graphs of a symmetric crystal: one of all equivalent atoms, bonds and angles, and how many it stands for.

All that the network computes is equal on equivalent parts, so each is computed once. Which parts are equivalent is
found in whole numbers: an operation carries an edge from a site to a site of a cell to another such edge.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from redoxa.data.symmetry.site_symmetry import SiteSymmetry
from redoxa.screening.potentials.base import FloatArray
from redoxa.screening.potentials.chgnet_network import Counts, EdgeIndex

IntArray = npt.NDArray[np.int64]
Edges = tuple[IntArray, IntArray, IntArray, FloatArray]
"""Directed edges: centre [E], neighbour [E], image of the neighbour [E,3], distance [E]."""


def symmetric_edges(symmetry: SiteSymmetry, frac: FloatArray, edges: Edges, bond_cutoff_A: float) -> EdgeIndex:
    """Graphs whose nodes are orbits.

    Args:
        symmetry: operations on the sites.
        frac: fractional coordinates of the sites [N,3].
        edges: all that start at a representative; centres and neighbours are sites.
        bond_cutoff_A: longest bond that takes part in angles.

    Raises:
        StructureError: the sites do not have the symmetry.
    """
    center, neighbor, image, distance = edges
    forward, backward = _codes(symmetry, symmetry.images(frac), edges)
    there, back = forward.min(0), backward.min(0)
    _, once, of_edge, counts = np.unique(there, return_index=True, return_inverse=True, return_counts=True)
    _, first, bonds = np.unique(np.minimum(there, back), return_index=True, return_inverse=True)
    short = np.flatnonzero(distance[first] <= bond_cutoff_A)
    rank = np.full(len(first), -1)
    rank[short] = np.arange(len(short))
    legs = np.flatnonzero(rank[bonds] >= 0)
    leading = np.flatnonzero(once[of_edge[legs]] == legs)
    left, right, angles = _angles(symmetry, center[legs], forward[:, legs], leading)
    # A bond has the angles at both of its ends. Where an operation turns it round, they are the same angles.
    angles *= np.where(there == back, 2, 1)[legs[left]]
    leg_bond = rank[bonds[legs]]
    return EdgeIndex(
        center=torch.as_tensor(symmetry.orbits[center[once]]),
        neighbor=torch.as_tensor(symmetry.orbits[neighbor[once]]),
        undirected=torch.as_tensor(bonds[once]),
        bond_center=torch.as_tensor(center[first]),
        bond_neighbor=torch.as_tensor(neighbor[first]),
        bond_image=torch.as_tensor(image[first], dtype=torch.float32),
        short=torch.as_tensor(short),
        leg_node=torch.as_tensor(symmetry.orbits[center[legs]]),
        leg_center=torch.as_tensor(center[legs]),
        leg_neighbor=torch.as_tensor(neighbor[legs]),
        leg_image=torch.as_tensor(image[legs], dtype=torch.float32),
        leg_bond=torch.as_tensor(leg_bond),
        angle_leg=torch.as_tensor(left),
        angle_other=torch.as_tensor(right),
        angle_i=torch.as_tensor(leg_bond[left]),
        angle_j=torch.as_tensor(leg_bond[right]),
        counts=Counts(*(_column(x) for x in (np.bincount(symmetry.orbits), counts, angles))),
    )


def _column(counts: IntArray) -> torch.Tensor:
    return torch.as_tensor(counts, dtype=torch.float32)[:, None]


def _codes(symmetry: SiteSymmetry, images: IntArray, edges: Edges) -> tuple[IntArray, IntArray]:
    """A number [G,E] for what each operation makes of each edge, up to translations, and for the reverse of that."""
    center, neighbor, image, _ = edges
    reach = 2 * int(np.abs(images).max(initial=0))
    reach += int(np.abs(symmetry.rotations).sum(1).max()) * int(np.abs(image).max(initial=0))
    digits = (2 * reach + 1) ** np.array([2, 1, 0])
    shifts = images @ digits
    cells = shifts[:, neighbor] - shifts[:, center] + (symmetry.rotations @ digits) @ image.T
    sites = symmetry.places * (2 * reach + 1) ** 3
    start, end, n = sites[:, center], sites[:, neighbor], len(symmetry.orbits)
    return n * start + end + cells, n * end + start - cells


def _angles(
    symmetry: SiteSymmetry, center: IntArray, codes: IntArray, leading: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Of the angles whose first leg is leading, one of each kind: first leg [A], second leg [A], how many are like it.

    Args:
        symmetry: operations on the sites.
        center: site of each leg [L].
        codes: of each leg under each operation [G,L].
        leading: legs of which no two are equivalent.
    """
    together = center[leading][:, None] == center
    together[np.arange(len(leading)), leading] = False
    which, right = np.nonzero(together)
    left = leading[which]
    identity = int((symmetry.rotations == np.eye(3)).all((1, 2)).argmax())
    stays = codes[:, leading] == codes[identity, leading]
    second = np.where(stays[:, which], codes[:, right], np.iinfo(np.int64).max).min(0)
    ranks = np.unique(second, return_inverse=True)[1]
    _, first, counts = np.unique(which * (len(ranks) + 1) + ranks, return_index=True, return_counts=True)
    return left[first], right[first], counts
