from __future__ import annotations

import numpy as np
import pytest

from redoxa.data.errors import GenerationError, InputError
from redoxa.generators.base import Condition
from redoxa.generators.composition.autoregressive import MarkovFamily
from redoxa.generators.composition.baselines import ExchangeFamily, IndependentFamily, MixtureFamily
from redoxa.generators.composition.contract import check_family
from redoxa.generators.composition.family import Family
from redoxa.generators.composition.grammar import Grammar, formula_of
from tests.unit.generators.composition.tiny import CONDITION, FORMULAS, TINY

FAMILIES = {
    "independent": lambda: IndependentFamily(TINY),
    "mixture": lambda: MixtureFamily(TINY, 4),
    "exchange": lambda: ExchangeFamily(TINY),
    "markov": lambda: MarkovFamily(TINY, 4),
}
KNOWN = [*FORMULAS, formula_of({3: 1, 8: 2}), formula_of({3: 1, 26: 2}), formula_of({3: 2, 26: 1})]
ANY = Condition(n_atoms=(1, 10**6))


@pytest.fixture(scope="module", params=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> Family:
    made = FAMILIES[request.param]()
    made.fit(KNOWN, seed=0)
    return made


def test_it_keeps_the_contract(family: Family) -> None:
    exchanged = isinstance(family, ExchangeFamily)  # no exchange of one element gives three different ones here
    check_family(family, CONDITION, {8: 2, 26: None} if not exchanged else {26: 1, 3: None})


def test_a_learned_formula_is_likelier_than_another(family: Family) -> None:
    nats = family.log_probability(TINY.everything()).nats
    known = np.isin(np.arange(len(nats)), [TINY.everything().index(f) for f in KNOWN])
    assert np.exp(nats[known]).mean() > 2 * np.exp(nats[~known]).mean()


def test_the_same_seed_learns_the_same(family: Family) -> None:
    again = type(family)(TINY) if isinstance(family, IndependentFamily | ExchangeFamily) else type(family)(TINY, 4)  # type: ignore[call-arg]
    again.fit(KNOWN, seed=0)
    assert (again.log_probability(KNOWN).nats == family.log_probability(KNOWN).nats).all()


def test_a_formula_outside_the_grammar_is_refused(family: Family) -> None:
    for ask in (lambda some: family.fit(some, 0), family.log_probability):
        with pytest.raises(InputError, match="not a formula of this grammar"):
            ask([((9, 1),)])


@pytest.mark.parametrize("name", ["independent", "mixture"])
def test_a_mixture_completes_by_its_exact_conditional(name: str) -> None:
    family = FAMILIES[name]()
    family.fit(KNOWN, seed=0)
    holding = [f for f in TINY.everything() if dict(f).get(8) == 1 and 3 in dict(f)]
    chances = np.exp(family.log_probability(holding).nats)
    n = 4000
    found = family.complete({8: 1, 3: None}, n, np.random.default_rng(1))
    counts = np.array([found.count(f) for f in holding])
    expected = n * chances / chances.sum()
    assert counts.sum() == n
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected) + 2).all()


def test_a_mixture_is_better_than_independent_elements() -> None:
    """Salts of two kinds that never mix."""
    kinds = [{3: 1, 9: 1}, {11: 1, 9: 1}, {12: 1, 8: 1}, {20: 1, 8: 1}] * 5
    formulas = [formula_of(kind) for kind in kinds]
    grammar = Grammar.of([3, 9, 11, 12, 8, 20])
    nats = {}
    for family in (IndependentFamily(grammar), MixtureFamily(grammar, 4)):
        family.fit(formulas, seed=0)
        nats[family.name] = family.log_probability(formulas).nats.mean()
    assert nats["mixture"] > nats["independent"] + 1


def test_exchange_gives_what_differs_by_one_element() -> None:
    grammar = Grammar.of([3, 11, 19, 9, 17, 8])
    family = ExchangeFamily(grammar)
    family.fit([formula_of({3: 2, 8: 1})], seed=0)
    found = set(family.sample(500, ANY, np.random.default_rng(0)))
    assert {formula_of({11: 2, 8: 1}), formula_of({3: 2, 9: 1})} <= found
    assert all(len(f) == 2 and sum(n for _, n in f) == 3 and ((3, 2) in f) != ((8, 1) in f) for f in found)
    nats = family.log_probability([formula_of({11: 2, 8: 1}), formula_of({9: 2, 8: 1}), formula_of({11: 1, 8: 1})]).nats
    assert nats[0] > nats[1] > nats[2] == -np.inf
    with pytest.raises(GenerationError, match="no exchange of one element"):
        family.complete({3: 1, 11: 1, 19: 1}, 1, np.random.default_rng(0))


def test_markov_learns_an_order() -> None:
    """After lithium comes fluorine, after magnesium oxygen."""
    formulas = [formula_of(c) for c in ({3: 1, 9: 1}, {12: 1, 8: 1})] * 10
    family = MarkovFamily(Grammar.of([3, 9, 12, 8]), 16)
    family.fit(formulas, seed=0)
    assert -family.log_probability(formulas).nats.mean() < 1.0
    assert family.complete({3: None}, 5, np.random.default_rng(0)).count(formulas[0]) >= 4


def test_what_the_grammar_leaves_of_a_mixture_is_computed_for_every_number_of_atoms() -> None:
    """Divisors up to 30, 21 and 30 among them."""
    grammar = Grammar.of([3, 8], max_atoms=31)
    family = MixtureFamily(grammar, 2)
    family.fit([formula_of({3: n, 8: 30 - n}) for n in (1, 7, 11, 13)] + [formula_of({3: 1})], seed=0)
    assert np.exp(family.log_probability(grammar.everything()).nats).sum() == pytest.approx(1, abs=1e-9)


def test_exchange_that_knows_nothing_gives_nothing() -> None:
    family = ExchangeFamily(TINY)
    assert (family.log_probability(FORMULAS).nats == -np.inf).all()
    with pytest.raises(GenerationError, match="no exchange of one element"):
        family.sample(1, ANY, np.random.default_rng(0))
