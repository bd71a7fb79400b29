"""Where a region of a periodic field begins to lead through the crystal in one, two and three dimensions.

The region below a level falls into connected parts. A part that meets its own image in the next cell goes on for ever
in that direction: the translations by which it meets itself span as many dimensions as it leads in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from redoxa.screening.mobility.hops import Edge, Network, network

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Threshold:
    """The lowest level at which a field percolates in `network.dimension` dimensions or more.

    Attributes:
        level: value of the field at the highest point that has to be passed.
        network: dimension, and direction [uvw] or plane (hkl), of what percolates there.
    """

    level: float
    network: Network

    def directions(self, lattice_A: FloatArray) -> FloatArray:
        """Cartesian unit vectors [n,3] along the channels, or normal to the planes; none in three dimensions."""
        axes = np.array(self.network.axes).reshape(-1, 3)
        vectors = axes @ (lattice_A if self.network.dimension == 1 else np.linalg.inv(lattice_A).T)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def percolation(field: FloatArray, axes: IntArray | None = None, step: float = 0.0) -> dict[int, Threshold]:
    """Thresholds of percolation by dimension; one that is never reached is left out.

    Args:
        field: values [a,b,c] at the points (i/a, j/b, k/c) of a cell; infinite where nothing passes. Points are
            neighbours where all their indices differ by at most one.
        axes: vectors [3,3] of this cell in units of those in which directions and planes are wanted.
        step: thresholds are looked for among multiples of it only, which saves time; 0 means among all values.
    """
    axes = np.eye(3, dtype=np.int64) if axes is None else axes
    if step:
        field = np.ceil(field / step) * step
    levels = np.unique(field[np.isfinite(field)])
    seen: dict[int, Network] = {}

    def at(index: int) -> Network:
        if index not in seen:
            seen[index] = _network(field <= levels[index], axes)
        return seen[index]

    found: dict[int, Threshold] = {}
    for dimension in (1, 2, 3):
        below = max((i for i, n in seen.items() if n.dimension < dimension), default=-1)
        above = min((i for i, n in seen.items() if n.dimension >= dimension), default=len(levels))
        while above - below > 1:
            middle = (below + above) // 2
            below, above = (below, middle) if at(middle).dimension >= dimension else (middle, above)
        if above == len(levels):
            break
        found[dimension] = Threshold(float(levels[above]), at(above))
    return found


def _network(inside: npt.NDArray[np.bool_], axes: IntArray) -> Network:
    """How far the parts of a region lead: parts within the cell are nodes, contacts across its faces are edges."""
    from scipy.ndimage import label

    parts, _ = label(inside, structure=np.ones((3, 3, 3)))
    return network(sorted(_contacts(parts, axes)))


def _contacts(parts: npt.NDArray[np.int32], axes: IntArray) -> set[Edge]:
    """Edges between the parts that touch across a face, an edge or a corner of the cell, each once."""
    found: set[Edge] = set()
    bases = (int(parts.max()) + 1, int(parts.max()) + 1, 3, 3)
    for axis in range(3):
        layers = np.moveaxis(parts, axis, 0)
        i, j = np.nonzero(layers[-1])
        # The nine neighbours [n,3,3] of each point of the last layer, and beside which cell they lie: 0, 1 or 2.
        others = sliding_window_view(np.pad(layers[0], 1, mode="wrap"), (3, 3))[i, j]
        row, column = ((x[:, None] + np.arange(-1, 2)) // n + 1 for x, n in zip((i, j), layers[0].shape, strict=True))
        pairs = np.broadcast_arrays(layers[-1][i, j, None, None], others, row[:, :, None], column[:, None, :])
        codes = np.unique(np.ravel_multi_index(tuple(x[others > 0] for x in pairs), bases))
        start, end, down, right = (x.tolist() for x in np.unravel_index(codes, bases))
        cells = np.insert(np.stack([down, right], axis=1).reshape(-1, 2) - 1, axis, 1, axis=1) @ axes
        found.update(Edge(n, m, (a, b, c)) for n, m, (a, b, c) in zip(start, end, cells.tolist(), strict=True))
    return found
