"""A number of a scorecard: value, interval, and how many samples it rests on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

Z_95 = 1.959963984540054
"""Two-sided 95 % of a normal distribution."""


@dataclass(frozen=True)
class Value:
    """A metric of one source.

    Attributes:
        value: in the metric's unit; None where it cannot be said.
        of: samples it rests on; the denominator of a share.
        low: lower end of its 95 % interval, where it has one.
        high: upper end.
        deviation: standard deviation over seeds, where several were drawn.
    """

    value: float | None
    of: int
    low: float | None = None
    high: float | None = None
    deviation: float | None = None


def wilson(count: int, of: int, z: float = Z_95) -> tuple[float, float]:
    """Score interval of a share (E. B. Wilson, J. Am. Stat. Assoc. 22, 209 (1927), doi:10.1080/01621459.1927.10502953).

    Good at 0 and 1 as well, where shares of rare hits lie.
    """
    if of == 0:
        return 0.0, 1.0
    share = count / of
    middle = share + z * z / (2 * of)
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    scale = 1 + z * z / of
    low = 0.0 if count == 0 else (middle - half) / scale
    return low, 1.0 if count == of else (middle + half) / scale


def share(hits: Iterable[bool | None]) -> Value:
    """Share of True with its Wilson interval; None does not count at all."""
    known = [bool(hit) for hit in hits if hit is not None]
    if not known:
        return Value(None, 0)
    return Value(sum(known) / len(known), len(known), *wilson(sum(known), len(known)))


def mean(numbers: Sequence[float]) -> Value:
    """Mean with the normal interval of its standard error."""
    if not numbers:
        return Value(None, 0)
    middle = float(np.mean(numbers))
    if len(numbers) < 2:
        return Value(middle, 1)
    half = Z_95 * float(np.std(numbers, ddof=1)) / math.sqrt(len(numbers))
    return Value(middle, len(numbers), middle - half, middle + half)


def median(numbers: Sequence[float]) -> Value:
    """Median with the interval that order statistics give without any assumption (binomial, at least 95 %)."""
    from scipy.stats import binom

    if not numbers:
        return Value(None, 0)
    ordered = np.sort(np.asarray(numbers, dtype=float))
    n = len(ordered)
    rank = int(binom.ppf(0.025, n, 0.5))  # P(fewer than `rank` of n lie below the median) <= 2.5 %
    if rank < 1:
        return Value(float(np.median(ordered)), n)
    return Value(float(np.median(ordered)), n, float(ordered[rank - 1]), float(ordered[n - rank]))
