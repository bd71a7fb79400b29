"""Draw several, make the best: what a crystal is thought to be before it is made, and how the best of them is told."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from redoxa.data.errors import GenerationError
from redoxa.data.records import Crystal


@dataclass(frozen=True)
class Foreseen:
    """What is thought of a crystal before it is made.

    Attributes:
        content: atoms in its cell by symbol.
        values: of properties, with sigma, in the units of `generators.base.TARGETS`; those that can be told.
    """

    content: Mapping[str, int]
    values: Mapping[str, tuple[float, float]]


def nearness(foreseen: Sequence[Foreseen]) -> list[float]:
    """The nearer to the hull, the better.

    Raises:
        GenerationError: no distance from the hull is foreseen.
    """
    try:
        return [-one.values["stability_discharge"][0] for one in foreseen]
    except KeyError:
        raise GenerationError(
            "these weights cannot choose the best of several; train them again, or use the shipped"
        ) from None


@dataclass(frozen=True)
class Choice:
    """Of several draws only the best is made into a crystal.

    Attributes:
        best_of: so many.
        worth: the larger the better.
        took: is told of each crystal that came of the choice; drawing goes on where some cannot be made.
    """

    best_of: int
    worth: Callable[[Sequence[Foreseen]], Sequence[float]] = nearness
    took: Callable[[Crystal], None] = lambda _: None

    def best(self, foreseen: Sequence[Foreseen]) -> list[int]:
        """Places of the best, the best first; of what is worth as much the first is taken, on every machine."""
        worth = np.round(np.array(self.worth(foreseen), dtype=float), 6)
        return [int(place) for place in np.argsort(-worth, kind="stable")[: math.ceil(len(worth) / self.best_of)]]
