"""The lattice system of cells by their metric alone, so that it means one thing for rows with and without positions.

It is the symmetry of the empty lattice: a crystal may have less, by its atoms, and one that is cubic by accident counts
as cubic. The symmetries of a lattice are counted rather than found, which is a thousand times as fast as spglib's data
set of a lattice with one atom: in a reduced cell, each takes the three vectors to others of the 26 shortest sums.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt

SYSTEMS = ("triclinic", "monoclinic", "orthorhombic", "rhombohedral", "tetragonal", "hexagonal", "cubic")
"""By the number of symmetries of the lattice."""

ORDERS = (2, 4, 8, 12, 16, 24, 48)

TOLERANCE_A = 0.01

TOGETHER = 1000
"""Cells that are looked at at once."""


def lattice_systems(cells: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Places in `SYSTEMS` [n] of cells, row vectors in Angstrom [n,3,3]; -1 where a cell cannot be reduced."""
    import spglib

    reduced = [spglib.niggli_reduce(cell) for cell in cells]
    found = np.full(len(cells), -1, np.int64)
    known = np.array([i for i, cell in enumerate(reduced) if cell is not None], np.int64)
    for first in range(0, len(known), TOGETHER):
        some = known[first : first + TOGETHER]
        symmetries = _symmetries(np.stack([reduced[i] for i in some.tolist()]))
        found[some] = np.searchsorted(ORDERS, symmetries, side="right") - 1
    return found


def _symmetries(cells: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """How many triples of lattice vectors have the lengths and products of the cell's own, reduced [n,3,3]: [n]."""
    vectors = np.array(list(product((-1.0, 0.0, 1.0), repeat=3))) @ cells
    products, own = vectors @ vectors.mT, cells @ cells.mT
    lengths = np.linalg.norm(cells, axis=2)
    alike = np.abs(np.linalg.norm(vectors, axis=2)[:, None] - lengths[:, :, None]) < TOLERANCE_A

    def pairs(k: int, other: int) -> npt.NDArray[np.float64]:
        slack = TOLERANCE_A * (lengths[:, k] + lengths[:, other])[:, None, None]
        near = np.abs(products - own[:, k, other, None, None]) < slack
        return np.asarray(near & alike[:, k, :, None] & alike[:, other, None, :], np.float64)

    return np.asarray(((pairs(0, 1) @ pairs(1, 2)) * pairs(0, 2)).sum((1, 2)), np.int64)
