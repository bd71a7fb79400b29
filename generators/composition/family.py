"""What a model of formulas is, and what can be asked of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from redoxa.data.errors import GenerationError
from redoxa.generators.base import Condition
from redoxa.generators.composition.grammar import Demand, Formula, Given, Grammar

Kind = Literal["exact", "AIS", "bound"]
"""How a log probability is known: exactly, estimated by annealed importance sampling, or from below."""


@dataclass(frozen=True)
class LogProbability:
    """Of formulas, in nats [n]: natural logarithms of probabilities that add up to 1 over the grammar."""

    nats: NDArray[np.float64]
    kind: Kind


class Family(Protocol):
    """A model of formulas. Everything random in it comes from the seed or `rng`, so the same ones give the same.

    Attributes:
        name: in tables.
        kind: how it knows its log probabilities.
        grammar: of what it learns and samples.
    """

    name: str
    kind: ClassVar[Kind]
    grammar: Grammar

    def fit(self, formulas: Sequence[Formula], seed: int) -> None:
        """Learn from formulas of the grammar, each counting once.

        Raises:
            data.errors.InputError: a formula outside the grammar.
        """
        ...

    def log_probability(self, formulas: Sequence[Formula]) -> LogProbability:
        """Of formulas of the grammar, with no condition; minus infinity for what it never samples.

        Raises:
            data.errors.InputError: a formula outside the grammar.
        """
        ...

    def sample(self, n: int, condition: Condition, rng: np.random.Generator) -> list[Formula]:
        """Exactly n formulas that satisfy the condition, equal ones among them (`grammar.demand`).

        Raises:
            data.errors.GenerationError: the condition cannot be met, or is not met by chance.
        """
        ...

    def complete(self, given: Given, n: int, rng: np.random.Generator) -> list[Formula]:
        """Exactly n formulas that hold what is given: elements, with or without their counts.

        Raises:
            data.errors.GenerationError: no formula holds it, or none of this model.
        """
        ...


@runtime_checkable
class Aiming(Protocol):
    """A `Family` whose `sample` aims at targets of the properties `aims`; the others look at none."""

    aims: ClassVar[frozenset[str]]

    def aimed(self, condition: Condition) -> Mapping[str, Collection[int]]:
        """What of its own is to be in which bins.

        Raises:
            data.errors.GenerationError: it cannot aim at a target.
            data.errors.InputError: no bin lies in the range.
        """
        ...


class StoredFamily(Family, Protocol):
    """A `Family` in one file: safetensors, never pickle.

    Its header says ``checkpoint_format("composition-NAME")``, NAME being that in `families.FAMILIES`.
    """

    def save(self, path: Path) -> None:
        """Write what it has learned."""
        ...

    @classmethod
    def load(cls, path: Path) -> Self:
        """One that has learned what was written.

        Raises:
            data.errors.InputError: not a file of this model.
        """
        ...


ROUND = 4096
"""Formulas that are drawn at once, at most."""

EMPTY_ROUNDS = 30
"""Rounds, each twice the last up to `ROUND`, that may bring nothing before sampling gives up: what is rarer than 1 in
100,000 is hardly found."""


def collect(n: int, wish: Demand, draw: Callable[[int], list[Formula]]) -> list[Formula]:
    """The first n drawn formulas that the demand accepts.

    Args:
        n: how many.
        wish: what they must satisfy.
        draw: so many formulas, right or wrong.

    Raises:
        GenerationError: hardly any is accepted.
    """
    found: list[Formula] = []
    empty = 0
    while len(found) < n:
        drawn = draw(min(ROUND, (2 * (n - len(found)) + 64) << empty))
        kept = [formula for formula in drawn if wish.accepts(formula)]
        empty = 0 if kept else empty + 1
        if empty > EMPTY_ROUNDS:
            raise GenerationError(f"{len(found)} of {n} formulas satisfy the condition; ask for less of them")
        found += kept
    return found[:n]
