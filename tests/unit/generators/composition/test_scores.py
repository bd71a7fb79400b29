"""Scores of models of formulas, by numbers that can be counted by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from redoxa.data.errors import InputError
from redoxa.generators.base import Condition
from redoxa.generators.composition.family import LogProbability
from redoxa.generators.composition.grammar import Formula, Grammar, formula_of
from redoxa.generators.composition.scores import Judge, formula_numbers, spread_over_seeds
from tests.unit.generators.composition.tiny import TINY, Uniform

LI2O, FE2O3, FEO = (formula_of(c) for c in ({3: 2, 8: 1}, {26: 2, 8: 3}, {26: 1, 8: 1}))
EVERYTHING = TINY.everything()
LEARNED = [formula for i, formula in enumerate(EVERYTHING) if i % 3]
HELD_OUT = [formula for i, formula in enumerate(EVERYTHING) if not i % 3]


class Says:
    """Writes these formulas over and over, each alike."""

    name = "says"
    grammar: Grammar = TINY

    def __init__(self, formulas: Sequence[Formula]) -> None:
        self.formulas = list(formulas)

    def fit(self, formulas: Sequence[Formula], seed: int) -> None:
        raise AssertionError("a judge fits nothing")

    def log_probability(self, formulas: Sequence[Formula]) -> LogProbability:
        each = -np.log(len(self.formulas))
        return LogProbability(np.array([each if f in self.formulas else -np.inf for f in formulas]), "exact")

    def sample(self, n: int, condition: Condition, rng: np.random.Generator) -> list[Formula]:
        return [self.formulas[i % len(self.formulas)] for i in range(n)]

    def complete(self, given: object, n: int, rng: np.random.Generator) -> list[Formula]:
        raise AssertionError("a judge gives nothing")


def test_a_copy_of_the_data_is_memorised_and_covers_them() -> None:
    score = Judge(LEARNED, HELD_OUT).judge(Says(LEARNED), 2 * len(LEARNED))
    assert (score.samples, score.distinct, score.found) == (2 * len(LEARNED), len(LEARNED), 0)
    assert (score.memorised.value, score.novel.value, score.novel_family.value) == (1.0, 0.0, 0.0)
    assert score.hits.value is None  # nothing new was written, so no share of it can be told
    assert (score.cover["coverage"].value or 0) > 0.8
    assert score.missing == ()
    assert score.bias.over == score.bias.under == ()
    assert score.likelihood is not None
    assert (score.likelihood.nats, score.likelihood.error_nats, score.likelihood.nats_of_reached) == (None,) * 3
    assert score.likelihood.reached.value == 0.0


def test_one_formula_for_ever_is_a_collapse() -> None:
    score = Judge(LEARNED, HELD_OUT).judge(Says([LI2O]), 50)
    assert (score.distinct, score.commonest.value, score.elements) == (1, 1.0, 2)
    assert score.entropy_bits == pytest.approx(1.0)  # lithium and oxygen, half each
    assert score.missing == ("Fe",)
    assert score.neutral.value == 1.0
    assert score.vendi is not None
    assert score.vendi.value == pytest.approx(1.0)
    assert (score.cover["coverage"].value or 0) < 0.2
    assert score.portrait.presence == {"Li": 1.0, "O": 1.0}
    assert len(set(score.portrait.places)) == 1
    assert "Fe" in {ratio.symbol for ratio in score.bias.under}


def test_held_out_formulas_are_all_found_and_none_memorised() -> None:
    judge = Judge(LEARNED, HELD_OUT)
    score = judge.score(judge.held_out)
    assert (score.found, score.hits.value, score.memorised.value) == (len(HELD_OUT), 1.0, 0.0)
    assert score.frechet == pytest.approx(0.0, abs=1e-8)
    assert (score.cover["precision"].value, score.cover["recall"].value) == (1.0, 1.0)
    assert (score.likelihood, score.sample_cpu_s_per_1000) == (None, None)
    assert judge.score(judge.learned).memorised.value == 1.0


def test_nats_of_a_uniform_model_are_the_logarithm_of_how_many_formulas_there_are() -> None:
    score = Judge(LEARNED, HELD_OUT).judge(Uniform(), 300)
    assert score.likelihood is not None
    assert score.likelihood.nats == pytest.approx(np.log(len(EVERYTHING)))
    assert score.likelihood.error_nats == pytest.approx(0.0, abs=1e-9)
    assert (score.likelihood.kind, score.likelihood.reached.value) == ("exact", 1.0)
    assert (score.memorised.value or 0) + (score.novel.value or 0) == pytest.approx(1.0)
    assert (score.sample_cpu_s_per_1000 or 0) >= 0


def test_counts_by_hand() -> None:
    judge = Judge([LI2O, formula_of({3: 1})], [FE2O3, FEO])
    score = judge.score([LI2O, LI2O, FEO, formula_of({3: 1, 26: 1})])
    assert (score.distinct, score.found, score.hits.value, score.hits.of) == (3, 1, 0.5, 2)
    assert (score.memorised.value, score.novel.value, score.novel_family.value) == (0.5, 0.5, 0.5)
    assert score.neutral.value == 0.75  # Li2O twice and FeO; LiFe is an alloy
    # Li and O thrice each, Fe twice, of eight
    assert score.entropy_bits == pytest.approx(-(2 * 3 / 8 * np.log2(3 / 8) + 0.25 * np.log2(0.25)))
    assert score.cover == {}
    assert score.vendi is None


def test_an_exchange_of_transition_metals_is_no_new_family() -> None:
    judge = Judge([formula_of({27: 1, 8: 1})], [FE2O3, LI2O])
    score = judge.score([FEO, FEO, FE2O3, LI2O])
    assert (score.novel.value, score.novel_family.value) == (1.0, 0.5)


def test_half_of_what_is_held_out_outside_the_model() -> None:
    told = Judge([LI2O], [FE2O3, formula_of({11: 1, 8: 1}), FEO, formula_of({11: 2, 8: 1})]).likelihood(Uniform())
    assert (told.nats, told.error_nats, told.reached.value) == (None, None, 0.5)
    assert told.nats_of_reached == pytest.approx(np.log(len(EVERYTHING)))


def test_the_same_seed_gives_the_same() -> None:
    first, second = (Judge(LEARNED, HELD_OUT, seed=3).judge(Uniform(), 200) for _ in range(2))
    assert (first.portrait, first.cover, first.vendi) == (second.portrait, second.cover, second.vendi)


def test_what_cannot_judge_is_refused() -> None:
    with pytest.raises(InputError, match="too few"):
        Judge([LI2O], [])
    with pytest.raises(InputError, match="learned and held out as well"):
        Judge([LI2O, FEO], [FEO, FE2O3])
    with pytest.raises(InputError, match="too few"):
        Judge(LEARNED, HELD_OUT).score([LI2O])


def test_ten_numbers() -> None:
    numbers = formula_numbers([LI2O, formula_of({3: 1})])
    assert numbers.shape == (2, 10)
    assert numbers[0, 8:].tolist() == [2.0, pytest.approx(2 / 3)]
    assert numbers[1, 4:8].tolist() == [0.0] * 4  # one element has no spread


def test_spread_over_seeds() -> None:
    assert spread_over_seeds([1.0, 3.0]) == (2.0, pytest.approx(2**0.5))
    assert spread_over_seeds([5.0]) == (5.0, 0.0)
