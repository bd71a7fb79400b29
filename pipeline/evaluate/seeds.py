"""How far numbers of a source scatter from seed to seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from redoxa.generators.evaluate.values import Value
from redoxa.pipeline.evaluate.scorecard import SourceCard


def _scatters(name: str) -> bool:
    """Whether a scatter means something: not of the number of a space group, nor of what real crystals alone give."""
    return name != "commonest_group" and not name.endswith(("_floor", "_real"))


def over_seeds(cards: Sequence[SourceCard]) -> SourceCard:
    """The card of the first seed, each value with its standard deviation over all seeds (n - 1 in the denominator).

    A value that some seed lacks, and one of a single seed, has none. Of a seed that failed, the reason is told.
    """
    first = next((card for card in cards if not card.failed), cards[0])
    values = {name: replace(value, deviation=_deviation(cards, name)) for name, value in first.values.items()}
    return replace(first, values=values, failed=next((card.failed for card in cards if card.failed), ""))


def _deviation(cards: Sequence[SourceCard], name: str) -> float | None:
    found = [card.values.get(name, Value(None, 0)).value for card in cards]
    numbers = [x for x in found if x is not None]
    if len(numbers) < len(cards) or len(numbers) < 2 or not _scatters(name):
        return None
    return float(np.std(numbers, ddof=1))
