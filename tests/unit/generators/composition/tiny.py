"""A grammar that can be enumerated, formulas of it, and conditions."""

from __future__ import annotations

import numpy as np

from redoxa.generators.base import Condition
from redoxa.generators.composition.family import LogProbability, collect
from redoxa.generators.composition.grammar import Demand, Formula, Given, Grammar, demand, formula_of

TINY = Grammar.of([8, 3, 26], max_atoms=6, slots=3)

FORMULAS = [
    formula_of(c)
    for c in ({3: 2, 8: 1}, {26: 2, 8: 3}, {26: 1, 8: 1}, {3: 1, 26: 1, 8: 2}, {3: 1}, {3: 1, 26: 1}, {26: 1})
]

CONDITION = Condition(allowed=frozenset({3, 8, 26}), required=frozenset({3}), n_atoms=(4, 8), charge_neutral=True)
GIVEN: Given = {8: 2, 26: None}


class Uniform:
    """Every formula alike: the simplest model that keeps the contract."""

    name = "uniform"

    def __init__(self, grammar: Grammar = TINY) -> None:
        self.grammar, self.everything = grammar, grammar.everything()

    def fit(self, formulas: list[Formula], seed: int) -> None:
        self.grammar.encode(formulas)

    def log_probability(self, formulas: list[Formula]) -> LogProbability:
        self.grammar.encode(formulas)
        return LogProbability(np.full(len(formulas), -np.log(len(self.everything))), "exact")

    def sample(self, n: int, condition: Condition, rng: np.random.Generator) -> list[Formula]:
        return self.drawn(n, demand(self.grammar, condition), rng)

    def complete(self, given: Given, n: int, rng: np.random.Generator) -> list[Formula]:
        return self.drawn(n, demand(self.grammar, None, given), rng)

    def drawn(self, n: int, wish: Demand, rng: np.random.Generator) -> list[Formula]:
        draw = lambda m: [self.everything[i] for i in rng.integers(len(self.everything), size=m)]  # noqa: E731
        return collect(n, wish, draw)
