from __future__ import annotations

import numpy as np
import pytest
import torch

from redoxa.data.errors import GenerationError, InputError
from redoxa.generators.base import Condition
from redoxa.generators.composition.baselines import IndependentFamily
from redoxa.generators.composition.boltzmann.ais import Anneal
from redoxa.generators.composition.boltzmann.softmax import SoftmaxConfig, SoftmaxFamily, log_sums
from redoxa.generators.composition.contract import check_family
from redoxa.generators.composition.grammar import Formula, Grammar, formula_of
from tests.unit.generators.composition.tiny import CONDITION, FORMULAS, GIVEN, TINY


def fitted(steps: int = 600) -> SoftmaxFamily:
    family = SoftmaxFamily(TINY, SoftmaxConfig(hidden=8, steps=steps), Anneal(chains=1000, temperatures=60))
    family.fit(FORMULAS, seed=0)
    return family


@pytest.fixture(scope="module")
def family() -> SoftmaxFamily:
    return fitted()


def test_it_keeps_the_contract(family: SoftmaxFamily) -> None:
    check_family(family, CONDITION, GIVEN)


def test_its_probabilities_add_up_to_one_but_for_the_error_of_the_estimate(family: SoftmaxFamily) -> None:
    told = family.log_probability(TINY.everything())
    assert told.kind == "AIS"
    assert np.exp(told.nats).sum() == pytest.approx(1, abs=0.05)


def test_the_sum_over_the_grammar_is_estimated_for_each_number_of_atoms(family: SoftmaxFamily) -> None:
    formulas = TINY.everything()
    weights = family.machine.log_weight(torch.from_numpy(TINY.counts(formulas)).float())
    atoms = np.array([sum(n for _, n in f) for f in formulas])
    told = log_sums(family.machine, TINY, Anneal(chains=2000, temperatures=100, seed=5))
    assert told[0] == -torch.inf
    for n in range(1, TINY.max_atoms + 1):
        assert float(told[n]) == pytest.approx(float(weights[torch.from_numpy(atoms == n)].logsumexp(0)), abs=0.1)


def test_a_learned_formula_is_likelier_than_another(family: SoftmaxFamily) -> None:
    everything = TINY.everything()
    nats = family.log_probability(everything).nats
    known = np.array([formula in FORMULAS for formula in everything])
    assert np.exp(nats[known]).mean() > 2 * np.exp(nats[~known]).mean()


@pytest.mark.parametrize("given", [{}, {8: 1, 3: None}, {26: None}, {3: 2}])
def test_formulas_come_as_often_as_they_are_likely_given_what_is_asked(
    family: SoftmaxFamily, given: dict[int, int | None]
) -> None:
    def has(formula: Formula) -> bool:
        return all(z in dict(formula) and n in (None, dict(formula)[z]) for z, n in given.items())

    holding = [formula for formula in TINY.everything() if has(formula)]
    chances = np.exp(family.log_probability(holding).nats)
    n = 4000
    found = family.complete(given, n, np.random.default_rng(1))
    shares = np.array([found.count(formula) for formula in holding]) / n
    assert shares.sum() == pytest.approx(1)
    assert np.abs(shares - chances / chances.sum()).max() < 0.04


def test_hidden_units_tell_what_goes_together() -> None:
    """Salts of two kinds that never mix."""
    kinds = [{3: 1, 9: 1}, {11: 1, 9: 1}, {12: 1, 8: 1}, {20: 1, 8: 1}] * 5
    formulas = [formula_of(kind) for kind in kinds]
    grammar = Grammar.of([3, 9, 11, 12, 8, 20], max_atoms=4)
    floor, family = IndependentFamily(grammar), SoftmaxFamily(grammar, SoftmaxConfig(hidden=8, steps=600))
    for each in (floor, family):
        each.fit(formulas, seed=0)
    nats = [each.log_probability(formulas).nats.mean() for each in (floor, family)]
    assert nats[1] > nats[0] + 1


def test_the_same_seed_learns_the_same() -> None:
    one, other = fitted(20), fitted(20)
    assert (one.log_probability(FORMULAS).nats == other.log_probability(FORMULAS).nats).all()


def test_what_cannot_be_is_refused(family: SoftmaxFamily) -> None:
    with pytest.raises(GenerationError, match="no number of atoms that this model knows"):
        family.complete({3: 4, 8: 4}, 1, np.random.default_rng(0))
    with pytest.raises(GenerationError, match="no number of atoms that this model knows"):
        SoftmaxFamily(TINY).sample(1, Condition(n_atoms=(1, 20)), np.random.default_rng(0))
    for ask in (lambda some: family.fit(some, 0), family.log_probability):
        with pytest.raises(InputError, match="not a formula of this grammar"):
            ask([((9, 1),)])
