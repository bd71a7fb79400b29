"""Match rates on a toy set whose numbers can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from redoxa.data.crystal import CrystalBatch
from redoxa.data.errors import GenerationError
from redoxa.data.records import Crystal
from redoxa.generators.base import Condition
from redoxa.generators.evaluate.answers import ask
from redoxa.generators.evaluate.matching import compare, match_values
from tests.unit.generators.evaluate.crystals import caesium_chloride, layers, rocksalt, shaken

LI, O, NA, CL = 3, 8, 11, 17


def test_match_rates_metre_and_crmse() -> None:
    salt, cscl = rocksalt(NA, CL, 5.6), caesium_chloride(NA, CL, 3.4)
    truths = [salt, cscl, rocksalt(LI, CL, 5.1), layers(NA, CL)]
    answers: list[list[Crystal | None]] = [
        [salt, None],  # exact at once
        [salt, cscl],  # the polymorph first, itself second
        [caesium_chloride(LI, CL, 3.2), None],  # wrong
        [cscl, salt],  # a polymorph, twice
    ]
    values = match_values(compare(truths, answers), 2)
    assert values["match_at_1"].value == 0.25
    assert values["match_at_2"].value == 0.5
    assert values["metre"].value == 0.5  # two polymorphs are met, the layers and LiCl by nobody's answer
    assert values["rmse_at_2"].value == pytest.approx(0.0, abs=1e-6)
    assert values["crmse"].value == pytest.approx((0 + 0 + 0.5 + 0.5) / 4, abs=1e-6)
    assert values["match_at_1"].of == 4
    assert values["rmse_at_2"].of == 2


def test_metre_sees_answers_that_were_given_for_another_truth() -> None:
    salt, cscl = rocksalt(NA, CL, 5.6), caesium_chloride(NA, CL, 3.4)
    values = match_values(compare([salt, cscl], [[cscl], [salt]]), 1)
    assert values["match_at_1"].value == 0.0
    assert values["metre"].value == 1.0


def test_rms_is_that_of_a_known_displacement() -> None:
    """Opposite shifts of d of both sublattices: rms = d over (V/N)^(1/3)."""
    salt = rocksalt(NA, CL, 5.6)
    frac = np.array(salt.frac_coords)
    d_A = 0.1
    frac[:4, 0] += d_A / 5.6
    frac[4:, 0] -= d_A / 5.6
    moved = Crystal(numbers=salt.numbers, frac_coords=frac.tolist(), lattice_A=salt.lattice_A)
    (prediction,) = compare([salt], [[moved]])
    assert prediction.rms[0] == pytest.approx(d_A / (5.6**3 / 8) ** (1 / 3), rel=1e-3)


def test_filtered_asks_both_for_validity() -> None:
    salt = rocksalt(NA, CL, 5.6)
    odd = salt.model_copy(update={"numbers": (NA,) * 5 + (CL,) * 3})  # Na5Cl3: no oxidation states balance it
    values = match_values(compare([salt, odd], [[salt], [odd]]), 1)
    assert (values["match_at_1"].value, values["match_at_1_filtered"].value) == (1.0, 0.5)
    assert (values["rmse_at_1"].of, values["rmse_at_1_filtered"].of) == (2, 1)


def test_a_missing_or_other_answer_is_a_miss() -> None:
    salt = rocksalt(NA, CL, 5.6)
    missing, other = compare([salt, salt], [[None], [rocksalt(LI, CL, 5.1)]])
    assert (missing.rms, missing.counts, missing.answered, missing.best) == ((None,), (False,), False, None)
    assert (other.rms, other.answered) == ((None,), True)


class Picky:
    """Answers NaCl up to three times, LiCl once, nothing else; refuses the whole call otherwise."""

    name = "picky"
    summary = ""
    checkpoint_sha256 = None
    most = {frozenset({NA: 4, CL: 4}.items()): 3, frozenset({LI: 4, CL: 4}.items()): 1}

    def __init__(self) -> None:
        self.calls = 0

    def sample(self, n, condition: Condition, rng, on_step=None):
        self.calls += 1
        asked = [frozenset(c.items()) for c in condition.contents]
        for content in set(asked):
            if asked.count(content) > self.most.get(content, 0):
                raise GenerationError("no")
        out = [shaken(rocksalt(min(set(dict(c)) - {CL}), CL, 5.5), i, 0.0) for i, c in enumerate(asked)]
        return CrystalBatch.from_crystals(out), [str(i) for i in range(n)]


def test_one_content_that_cannot_be_answered_does_not_spoil_the_rest() -> None:
    requests = [({NA: 4, CL: 4}, 2), ({O: 8}, 2), ({LI: 4, CL: 4}, 3)]
    seen = []
    answers = ask(Picky(), requests, 0, lambda done, total: seen.append((done, total)))
    assert [len(a) for a in answers] == [2, 0, 1]
    assert all(crystal.formula == "NaCl" for crystal, _ in answers[0])
    assert answers[2][0][0].formula == "LiCl"
    assert seen[-1] == (7, 7)


def test_where_all_can_be_answered_there_is_one_call() -> None:
    generator = Picky()
    ask(generator, [({NA: 4, CL: 4}, 3), ({LI: 4, CL: 4}, 1)], 0)
    assert generator.calls == 1
