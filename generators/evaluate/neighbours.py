"""Do samples lie where real crystals lie, and everywhere there: by the k nearest neighbours in the descriptor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from redoxa.generators.evaluate.descriptor import Floats
from redoxa.generators.evaluate.values import Value, mean, share

NEAREST = 5
"""k, as in arXiv:2002.09797."""

_ROUNDING = 1.0 + 1e-9
"""A point on the edge of a ball is inside, whatever the last bit."""


def cover(samples: Floats, real: Floats, k: int = NEAREST) -> dict[str, Value]:
    """Precision and recall (arXiv:1904.06991), density and coverage (arXiv:2002.09797).

    The ball of a point reaches to its k-th nearest neighbour in its own cloud.

    Args:
        samples: vectors [n,D].
        real: vectors [m,D] in the same units.
        k: neighbours of a ball, the point itself not counted.

    Returns:
        By name; empty where a cloud has no more than k points. Shares have Wilson intervals, given the other cloud.
    """
    from scipy.spatial.distance import cdist

    if min(len(samples), len(real)) <= k:
        return {}
    between = cdist(samples, real)
    inside_real = between <= _radii(cdist(real, real), k)[None, :]
    inside_samples = between <= _radii(cdist(samples, samples), k)[:, None]
    return {
        "precision": share(inside_real.any(1).tolist()),
        "recall": share(inside_samples.any(0).tolist()),
        "density": mean((inside_real.sum(1) / k).tolist()),
        "coverage": share(inside_real.any(0).tolist()),
    }


def _radii(distances: Floats, k: int) -> NDArray[np.float64]:
    """Distance of each point to its k-th nearest other one, from all distances [n,n]."""
    return np.asarray(np.partition(distances, k, axis=1)[:, k] * _ROUNDING)
