"""Each clause of the contract is broken by something."""

from __future__ import annotations

import numpy as np
import pytest

from redoxa.data.errors import ContractError, GenerationError
from redoxa.generators.base import Condition
from redoxa.generators.composition.contract import check_family
from redoxa.generators.composition.family import LogProbability, collect
from redoxa.generators.composition.grammar import Formula, Given, demand
from tests.unit.generators.composition.tiny import CONDITION, GIVEN, TINY, Uniform


class NotNormal(Uniform):
    def log_probability(self, formulas: list[Formula]) -> LogProbability:
        return LogProbability(super().log_probability(formulas).nats + 0.1, "exact")


class BoundAbove(NotNormal):
    def log_probability(self, formulas: list[Formula]) -> LogProbability:
        return LogProbability(super().log_probability(formulas).nats, "bound")


class NotANumber(Uniform):
    def log_probability(self, formulas: list[Formula]) -> LogProbability:
        return LogProbability(super().log_probability(formulas).nats * np.nan, "AIS")


class OtherSamples(Uniform):
    """Tells probabilities by the number of lithium atoms, and samples without regard to them."""

    def log_probability(self, formulas: list[Formula]) -> LogProbability:
        weights = lambda some: np.array([1.0 + 3 * dict(f).get(3, 0) for f in some])  # noqa: E731
        return LogProbability(np.log(weights(formulas) / weights(self.everything).sum()), "exact")


class Forgetful(Uniform):
    """Takes chance from elsewhere."""

    def sample(self, n: int, condition: Condition, rng: np.random.Generator) -> list[Formula]:
        return super().sample(n, condition, np.random.default_rng())


class ForgetfulCompletion(Uniform):
    def complete(self, given: Given, n: int, rng: np.random.Generator) -> list[Formula]:
        return super().complete(given, n, np.random.default_rng())


class Free(Uniform):
    def sample(self, n: int, condition: Condition, rng: np.random.Generator) -> list[Formula]:
        demand(self.grammar, condition)
        return self.drawn(n, demand(self.grammar), rng)


class TooFew(Uniform):
    def sample(self, n: int, condition: Condition, rng: np.random.Generator) -> list[Formula]:
        return super().sample(n, condition, rng)[1:]


class Losing(Uniform):
    """Completes what is like what was given."""

    def complete(self, given: Given, n: int, rng: np.random.Generator) -> list[Formula]:
        return self.drawn(n, demand(self.grammar, None, dict.fromkeys(given)), rng)


class Obliging(Uniform):
    def sample(self, n: int, condition: Condition, rng: np.random.Generator) -> list[Formula]:
        known = condition.required & self.grammar.codes.keys()
        return super().sample(
            n, Condition(condition.allowed, known, (), condition.n_atoms, condition.charge_neutral), rng
        )


def test_the_simplest_model_keeps_the_contract() -> None:
    check_family(Uniform(), CONDITION, GIVEN)


@pytest.mark.parametrize(
    ("family", "message"),
    [
        (NotNormal, "exact probabilities add up to 1.105"),
        (BoundAbove, "a lower bound of probabilities adds up to 1.105"),
        (NotANumber, "not a number"),
        (OtherSamples, "in the mean, it should be"),
        (Forgetful, "the same seed gave other samples"),
        (ForgetfulCompletion, "the same seed gave other completions"),
        (Free, "sample .* is not what was asked for"),
        (TooFew, "asked for 400, got 399"),
        (Losing, "completion .* is not what was asked for"),
        (Obliging, "sampled under a condition that cannot be met"),
    ],
)
def test_each_clause_can_be_broken(family: type[Uniform], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        check_family(family(), CONDITION, GIVEN)


def test_rejection_ends_where_nothing_is_accepted() -> None:
    with pytest.raises(GenerationError, match="0 of 3 formulas"):
        collect(3, demand(TINY, None, {8: 6}), lambda n: [((3, 1),)] * n)
