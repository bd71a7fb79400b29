"""Selection: fronts, probabilities, diversity and the sentence."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from redoxa.data.records import Crystal, Estimate, Reason, ScreeningResult, Verdict
from redoxa.pipeline.campaign.select import choose, pareto_fronts, probability_within, score, why_not
from redoxa.pipeline.campaign.spec import Select
from redoxa.screening.settings import Range

OBJECTIVES = {"average_voltage": Range(min=3.0, max=4.0), "capacity_grav": Range(min=100)}


def result(
    name: str, formula: str, voltage: float, capacity: float, verdict: Verdict = Verdict.PASS, sigma: float = 0.3
) -> ScreeningResult:
    def estimate(value: float, s: float, unit: str) -> Estimate:
        return Estimate(value=value, sigma=s, unit=unit, method="m", model="x")

    return ScreeningResult(
        candidate_id=name,
        formula=formula,
        working_ion="Li",
        verdict=verdict,
        settings_hash="s",
        estimates={"average_voltage": estimate(voltage, sigma, "V"), "capacity_grav": estimate(capacity, 1, "mAh/g")},
    )


def test_probabilities_are_those_of_the_normal_distribution() -> None:
    estimate = Estimate(value=3.5, sigma=0.5, unit="V", method="m", model="x")
    assert probability_within(estimate, Range(min=3.0, max=4.0)) == pytest.approx(0.682689, abs=1e-6)
    assert probability_within(estimate, Range(min=3.5)) == pytest.approx(0.5)
    assert probability_within(estimate, Range(max=4.5)) == pytest.approx(0.977250, abs=1e-6)
    exact = estimate.model_copy(update={"sigma": 0.0})
    assert probability_within(exact, Range(min=3.5, max=3.5)) == 1.0
    assert probability_within(exact, Range(min=3.6)) == 0.0


def test_fronts_of_a_hand_made_set() -> None:
    points = np.array([[1, 5], [3, 3], [5, 1], [2, 2], [3, 3], [0, 0]], dtype=float)
    assert pareto_fronts(points).tolist() == [1, 1, 1, 2, 1, 3]


@given(arrays(np.float64, st.tuples(st.integers(1, 25), st.integers(1, 3)), elements=st.integers(0, 4).map(float)))
def test_no_point_of_the_first_front_is_dominated_and_all_others_are(points: np.ndarray) -> None:
    fronts = pareto_fronts(points)
    for i, point in enumerate(points):
        dominated = any((other >= point).all() and (other > point).any() for other in points)
        assert dominated == (fronts[i] > 1)


def test_only_passing_complete_results_are_scored() -> None:
    rows = [
        result("a", "LiFePO4", 3.4, 170),
        result("b", "LiCoO2", 3.4, 270, Verdict.FAIL),
        result("c", "LiMnO2", 3.4, 280).model_copy(update={"estimates": {}}),
    ]
    assert [s.result.candidate_id for s in score(rows, OBJECTIVES)] == ["a"]


def test_the_batch_is_diverse_and_says_why() -> None:
    rows = [
        result("a", "LiFePO4", 3.5, 170),
        result("b", "Li2FeP2O7", 3.5, 160),
        result("c", "LiFePO3", 3.5, 150),
        result("d", "LiCoO2", 3.9, 270),
        result("e", "LiTiS2", 1.0, 225, sigma=0.1),
    ]
    chosen = choose(score(rows, OBJECTIVES), Select(batch_size=4, max_per_chemical_system=2))
    assert [c.scored.result.candidate_id for c in chosen] == ["a", "d", "b"]
    assert chosen[0].why == (
        "On the Pareto front: voltage 3.50 ± 0.30 V, capacity 170.0 ± 1.0 mAh/g. It has a 90 % chance of meeting every "
        "objective and is the best of the Fe-Li-O-P system."
    )
    assert "number 2 of the Fe-Li-O-P system" in chosen[2].why


def test_candidates_that_relaxed_into_one_crystal_are_chosen_once() -> None:
    def cell(a: float) -> Crystal:
        return Crystal(
            numbers=[3, 8], frac_coords=[(0, 0, 0), (0.5, 0.5, 0.5)], lattice_A=[(a, 0, 0), (0, a, 0), (0, 0, 4)]
        )

    rows = [
        result(name, "LiO", voltage, 150).model_copy(update={"crystals": {"discharged": cell(a)}})
        for name, voltage, a in (("a", 3.5, 3.0), ("b", 3.4, 3.01), ("c", 3.3, 4.5))
    ]
    scored = score(rows, OBJECTIVES)
    config = Select(batch_size=3, max_per_chemical_system=3)
    assert [c.scored.result.candidate_id for c in choose(scored, config)] == ["a", "c"]
    assert [c.scored.result.candidate_id for c in choose(scored[1:], config, rows[:1])] == ["c"]


def test_order_of_results_does_not_matter() -> None:
    rows = [result(str(i), f"LiFeP{i}O4", 3.0 + 0.1 * i, 150) for i in range(1, 8)]
    config = Select(batch_size=3)
    forward = [c.scored.result.candidate_id for c in choose(score(rows, OBJECTIVES), config)]
    assert forward == [c.scored.result.candidate_id for c in choose(score(rows[::-1], OBJECTIVES), config)]


def test_one_of_a_family_comes_before_the_second_of_any_on_a_front() -> None:
    """LiCoO2, LiNiO2 and LiMnO2 differ by their metal alone; the pyrophosphate is the better experiment."""
    rows = [
        result("a", "LiCoO2", 3.5, 140),
        result("b", "LiNiO2", 3.6, 150),
        result("c", "LiMnO2", 3.7, 160),
        result("d", "Li2FeP2O7", 3.9, 170),
    ]
    scored = score(rows, OBJECTIVES)
    chosen = choose(scored, Select(batch_size=3))
    assert [c.scored.result.candidate_id for c in chosen] == ["a", "d", "b"]
    assert "Another of the family" not in chosen[1].why
    assert chosen[2].why.endswith("Another of the family Li1M1O2 (M any transition metal) was chosen before it.")
    later = choose(scored[1:], Select(batch_size=3), before=rows[:1])
    assert [c.scored.result.candidate_id for c in later] == ["d", "b", "c"]


def test_a_better_front_comes_before_a_new_family() -> None:
    rows = [result("a", "LiCoO2", 3.5, 170), result("b", "LiNiO2", 3.5, 170), result("c", "LiTiS2", 3.9, 110)]
    scored = score(rows, OBJECTIVES)
    assert [s.front for s in scored] == [1, 1, 2]
    assert [c.scored.result.candidate_id for c in choose(scored, Select(batch_size=2))] == ["a", "b"]


def test_a_doubt_halves_the_chance_in_the_ranking_and_is_told() -> None:
    doubt = Reason(
        stage="oxidation", code="anion_redox", text="the cations give 35 % of the charge", verdict=Verdict.PASS
    )
    plain = result("b", "LiFePO4", 3.5, 170)
    doubtful = result("a", "LiMnO3", 3.5, 170).model_copy(update={"reasons": (doubt,)})
    scored = score([doubtful, plain], OBJECTIVES)
    assert {s.front for s in scored} == {1}
    first, second = choose(scored, Select(batch_size=2))
    assert (first.scored.result.candidate_id, second.scored.result.candidate_id) == ("b", "a")
    assert "In doubt" not in first.why
    assert second.why.endswith("In doubt, which halves its chance in the ranking: the cations give 35 % of the charge.")
    unlikely = result("c", "LiTiS2", 3.05, 170.5, sigma=1.0)  # a chance of 0.34, against half of 0.90
    order = choose(score([unlikely, doubtful], OBJECTIVES), Select(batch_size=2))
    assert [c.scored.result.candidate_id for c in order] == ["a", "c"]


def test_why_one_was_not_chosen() -> None:
    rows = [result(str(i), "LiFePO4", 3.5, 170 - i) for i in range(3)]
    config = Select(batch_size=2, max_per_chemical_system=2, min_probability=0.05)
    scored = {s.result.candidate_id: s for s in score(rows, OBJECTIVES)}
    taken = Counter({"Fe-Li-O-P": 2})
    text = why_not(rows[2], scored["2"], config, OBJECTIVES, taken)
    assert "front 3 with a 90 % chance" in text
    assert "2 of the Fe-Li-O-P system were chosen" in text
    unlikely = result("u", "LiTiS2", 1.0, 225, sigma=0.1)
    (low,) = score([unlikely], OBJECTIVES)
    assert "below the 5 %" in why_not(unlikely, low, config, OBJECTIVES, Counter())
    bare = unlikely.model_copy(update={"estimates": {}})
    assert "Nothing is known of its voltage, capacity" in why_not(bare, None, config, OBJECTIVES, Counter())
