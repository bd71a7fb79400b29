"""Which elements samples hold more often, and less often, than real crystals do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from redoxa.data.symmetry.skeletons import HEAVIEST
from redoxa.generators.evaluate.descriptor import Floats
from redoxa.generators.evaluate.values import Z_95, Value

SHOWN = 3
"""Elements shown on either side."""


@dataclass(frozen=True)
class ElementRatio:
    """How much more often an element is drawn than it should be.

    Attributes:
        symbol: of the element.
        ratio: share of samples that hold it over the share of real crystals.
        low: lower end of the 95 % interval of the ratio.
        high: upper end.
    """

    symbol: str
    ratio: float
    low: float
    high: float


@dataclass(frozen=True)
class ElementBias:
    """The elements that are surely drawn too often and too seldom, the surest first; at most `SHOWN` each."""

    over: tuple[ElementRatio, ...] = ()
    under: tuple[ElementRatio, ...] = ()


def presence(crystals: Sequence[frozenset[int]]) -> Floats:
    """Which elements the crystals hold, by atomic number [n, HEAVIEST + 1], 0 or 1."""
    held = np.zeros((len(crystals), HEAVIEST + 1))
    for row, elements in zip(held, crystals, strict=True):
        row[list(elements)] = 1.0
    return held


def element_divergence(samples: Floats, real: Floats) -> Value:
    """Jensen-Shannon divergence in bits of how often elements occur, each once by crystal (doi:10.1109/18.61115).

    The interval is that of the linear error propagation of both sides; it does not tell the bias of few samples.

    Args:
        samples: what `presence` gives [n,E].
        real: the same of real crystals [m,E].
    """
    p, q = (x.sum(0) / x.sum() for x in (samples, real))
    middle = (p + q) / 2
    slopes = [0.5 * np.log2(np.where(x > 0, x, 1.0) / np.where(x > 0, middle, 1.0)) for x in (p, q)]
    value = float(p @ slopes[0] + q @ slopes[1])
    variance = sum(_variance(x, side, slope) for x, side, slope in zip((samples, real), (p, q), slopes, strict=True))
    half = Z_95 * math.sqrt(variance)
    return Value(max(0.0, value), len(samples), max(0.0, value - half), min(1.0, value + half))


def _variance(held: Floats, frequencies: Floats, slope: Floats) -> float:
    """Of the sum of slope times frequency, the crystals being independent draws."""
    size = held.sum(1)
    influence = (held @ slope - size * (frequencies @ slope)) / size.mean()
    return float(influence.var() / len(held))


def element_ratios(samples: Floats, real: Floats) -> list[ElementRatio]:
    """Of every element, by atomic number from hydrogen on.

    Ratios and intervals add half a crystal to each count (S. D. Walter, Biometrika 62, 371 (1975),
    doi:10.1093/biomet/62.2.371), so that an element that one side lacks has a ratio.

    Args:
        samples: what `presence` gives [n,E].
        real: the same of real crystals [m,E].
    """
    from ase.data import chemical_symbols

    counts = [x.sum(0) + 0.5 for x in (samples, real)]
    sizes = [len(x) + 0.5 for x in (samples, real)]
    logs = np.log(counts[0] / sizes[0]) - np.log(counts[1] / sizes[1])
    halves = Z_95 * np.sqrt(1 / counts[0] - 1 / sizes[0] + 1 / counts[1] - 1 / sizes[1])
    return [
        ElementRatio(chemical_symbols[z], *(math.exp(log + step * half) for step in (0, -1, 1)))
        for z, (log, half) in enumerate(zip(logs.tolist(), halves.tolist(), strict=True))
        if z > 0
    ]


def element_bias(samples: Floats, real: Floats) -> ElementBias:
    """The elements whose ratio is surest to differ from 1: those whose 95 % interval leaves out 1 by most.

    Args:
        samples: what `presence` gives [n,E].
        real: the same of real crystals [m,E].
    """
    ratios = element_ratios(samples, real)
    over = sorted((r for r in ratios if r.low > 1.0), key=lambda r: -r.low)
    under = sorted((r for r in ratios if r.high < 1.0), key=lambda r: r.high)
    return ElementBias(tuple(over[:SHOWN]), tuple(under[:SHOWN]))
