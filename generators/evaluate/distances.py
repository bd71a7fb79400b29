"""Distances between the distribution of samples and that of real crystals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def wasserstein(samples: Sequence[float], real: Sequence[float]) -> float:
    """First Wasserstein distance (earth mover's), in the unit of the numbers."""
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(samples, real))


def frechet(samples: Floats, real: Floats) -> float:
    """Frechet distance of two clouds of vectors [n,D], [m,D] taken as Gaussians.

    ``|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))`` (D. C. Dowson, B. V. Landau, J. Multivar. Anal. 12, 450 (1982),
    doi:10.1016/0047-259X(82)90077-X): zero for equal clouds, and the larger the fewer samples there are.
    """
    means = samples.mean(0) - real.mean(0)
    first, second = (np.cov(x, rowvar=False).reshape(x.shape[1], -1) for x in (samples, real))
    # The trace of the root: singular values of the product of the two symmetric roots.
    cross = np.linalg.svd(_root(first) @ _root(second), compute_uv=False).sum()
    return max(0.0, float(means @ means + np.trace(first) + np.trace(second) - 2.0 * cross))


def _root(matrix: Floats) -> Floats:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T)


def jensen_shannon(samples: Sequence[object], real: Sequence[object]) -> float:
    """Jensen-Shannon divergence of two distributions over categories, in bits: 0 for equal, 1 for disjoint ones."""
    keys = sorted({*samples, *real}, key=str)
    place = {key: i for i, key in enumerate(keys)}
    p, q = (np.bincount([place[x] for x in side], minlength=len(keys)) / len(side) for side in (samples, real))
    middle = (p + q) / 2
    return float(sum(0.5 * np.sum(x[x > 0] * np.log2(x[x > 0] / middle[x > 0])) for x in (p, q)))
