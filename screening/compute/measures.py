"""How large forces are, and how near atoms."""

from __future__ import annotations

import numpy as np

from redoxa.screening.potentials.base import FloatArray


def max_norm(vectors: FloatArray | None) -> float:
    """Largest length among row vectors [N,3]; 0 for none."""
    return 0.0 if vectors is None or not len(vectors) else float(np.linalg.norm(vectors, axis=1).max())


def min_distance_A(frac: FloatArray, lattice: FloatArray) -> float:
    """Shortest distance between two atoms, periodic images included (27 cells around; for reduced enough cells)."""
    shifts = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    delta = frac[:, None] - frac[None, :]
    delta -= np.rint(delta)
    squared = np.sum(((delta[:, :, None] + shifts) @ lattice) ** 2, axis=-1)
    squared[np.arange(len(frac)), np.arange(len(frac)), 13] = np.inf
    return float(np.sqrt(squared.min()))
