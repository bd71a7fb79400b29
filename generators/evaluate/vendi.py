"""How many different crystals a set amounts to: the Vendi score."""

from __future__ import annotations

import numpy as np

from redoxa.generators.evaluate.descriptor import Floats
from redoxa.generators.evaluate.values import Z_95, Value

KERNEL_WIDTH = 2.0
"""Width of the Gaussian kernel in units of the descriptor's spread: two crystals so far apart are 0.61 alike."""

HALVES = 10
"""Random halves of a set, whose scatter is the standard error of the whole (delete-half jackknife)."""


def vendi(vectors: Floats, width: float = KERNEL_WIDTH) -> float:
    """Exponential of the entropy of the eigenvalues of K/n (arXiv:2210.02410), K = exp(-d^2 / (2 width^2)).

    Between 1 for n equal crystals and n for crystals that have nothing in common.

    Args:
        vectors: [n,D].
        width: of the kernel, in the unit of the vectors.
    """
    from scipy.spatial.distance import cdist

    kernel = np.exp(cdist(vectors, vectors, "sqeuclidean") / (-2.0 * width**2))
    shares = np.linalg.eigvalsh(kernel / len(vectors))
    shares = shares[shares > 1e-12]
    return float(np.exp(-(shares @ np.log(shares))))


def vendi_values(samples: Floats, real: Floats, seed: int) -> dict[str, Value]:
    """The score of the samples, and its ratio to that of as many real crystals.

    The score grows with the number of crystals, so both sides have the lesser of the two numbers, drawn at random.

    Args:
        samples: vectors [n,D].
        real: vectors [m,D].
        seed: of the draws and halves; the order of vectors does not matter.
    """
    size = min(len(samples), len(real))
    if size < 4:
        return {}
    rng = np.random.default_rng(seed)
    ours, theirs = (_drawn(vectors, size, rng) for vectors in (samples, real))
    score, real_score = vendi(ours), vendi(theirs)
    error, real_error = _relative_error(ours, rng), _relative_error(theirs, rng)
    return {
        "vendi": _with_error(score, error, size),
        "vendi_real": _with_error(real_score, real_error, size),
        "vendi_ratio": _with_error(score / real_score, float(np.hypot(error, real_error)), size),
    }


def _drawn(vectors: Floats, size: int, rng: np.random.Generator) -> Floats:
    """So many of the vectors, sorted first, so that a draw does not hang on their order."""
    ordered = vectors[np.lexsort(vectors.T)]
    return np.asarray(ordered[np.sort(rng.choice(len(ordered), size, replace=False))])


def _relative_error(vectors: Floats, rng: np.random.Generator) -> float:
    halves = [vendi(vectors[rng.choice(len(vectors), len(vectors) // 2, replace=False)]) for _ in range(HALVES)]
    return float(np.std(halves, ddof=1) / np.mean(halves))


def _with_error(value: float, relative_error: float, of: int) -> Value:
    half = Z_95 * relative_error * value
    return Value(value, of, max(0.0, value - half), value + half)
