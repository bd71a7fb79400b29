"""Calibration from measurements, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from redoxa.data.lab.measurement import Measurement, Outcome
from redoxa.data.records import Estimate
from redoxa.generators.base import Target
from redoxa.pipeline.campaign.feedback import Calibration, Comparison, calibrate, calibrated, compare, noted
from redoxa.pipeline.campaign.spec import CampaignSpec, Goal
from redoxa.pipeline.campaign.stages import condition_of
from redoxa.screening.settings import Range
from tests.unit.robotics.samples import estimate as made
from tests.unit.robotics.samples import make_request


def comparison(predicted: float, measured: float, sigma: float = 0.3, noise: float = 0.0) -> Comparison:
    def estimate(value: float, s: float) -> Estimate:
        return Estimate(value=value, sigma=s, unit="V", method="m", model="x")

    return Comparison("c", "LiFePO4", "average_voltage", estimate(predicted, sigma), estimate(measured, noise), True)


def test_one_measurement_moves_a_fifth_of_the_way() -> None:
    learned = calibrate([comparison(3.0, 3.5)])["average_voltage"]
    assert learned.bias == pytest.approx(0.1)
    assert learned.scale == pytest.approx(math.sqrt((4 + (0.4 / 0.3) ** 2) / 5))
    assert learned.count == 1


def test_many_measurements_find_the_true_bias_and_sigma() -> None:
    rng = np.random.default_rng(0)
    truth = 3.0 + 0.4 + 0.15 * rng.standard_normal(4000)
    learned = calibrate([comparison(3.0, x) for x in truth])["average_voltage"]
    assert learned.bias == pytest.approx(0.4, abs=0.01)
    assert 0.3 * learned.scale == pytest.approx(0.15, rel=0.05)


def capacity(predicted: float, measured: float, sigma: float = 30, noise: float = 0) -> Comparison:
    values = made(predicted, sigma, "mAh/g"), made(measured, noise, "mAh/g")
    return Comparison("c", "LiFePO4", "usable_capacity", *values, simulated=True)


def test_a_capacity_is_learned_as_a_factor() -> None:
    # one measurement of half: exp(ln(0.5) / 5) = 0.8706; relative sigma 30 / 150 = 0.2, ln 0.5 less a fifth is -0.5545
    learned = calibrate([capacity(150, 75)])["usable_capacity"]
    assert (learned.bias, learned.factor, learned.count) == (0, pytest.approx(0.87055, abs=1e-5), 1)
    assert learned.scale == pytest.approx(math.sqrt((4 + (0.55452 / 0.2) ** 2) / 5), abs=1e-4)
    large, small = (calibrated(made(value, 0.2 * value, "mAh/g"), learned) for value in (300, 50))
    assert large.value / small.value == pytest.approx(6)  # an offset would leave a small one nothing
    assert large.sigma / large.value == pytest.approx(0.2 * learned.scale)


def test_many_capacities_find_the_true_factor_and_its_spread() -> None:
    rng = np.random.default_rng(1)
    predicted = rng.uniform(60, 300, 4000)
    rows = [
        capacity(p, p * 0.8 * math.exp(0.1 * z), 0.2 * p)
        for p, z in zip(predicted, rng.standard_normal(4000), strict=True)
    ]
    learned = calibrate(rows)["usable_capacity"]
    assert learned.factor == pytest.approx(0.8, abs=0.005)
    assert 0.2 * learned.scale == pytest.approx(0.1, rel=0.05)


def test_a_dead_cell_teaches_a_twentieth_and_not_minus_infinity() -> None:
    learned = calibrate([capacity(150, 0, noise=3)])["usable_capacity"]
    assert learned.factor == pytest.approx(math.exp(math.log(0.05) / 5))
    assert math.isfinite(learned.scale)
    assert calibrate([capacity(0, 100)]) == {}


def test_requests_keep_what_was_predicted_and_say_what_the_recipe_counts_with() -> None:
    predictions = {"average_voltage": made(3.4, 0.2), "max_delta_volume": made(0.1, 0.02, "")}
    found = noted(predictions, {"average_voltage": Calibration(bias=0.1, scale=0.5, count=1)})
    assert found["max_delta_volume"] == predictions["max_delta_volume"]
    voltage = found["average_voltage"]
    assert (voltage.value, voltage.sigma) == (3.4, 0.2)  # a correction of a correction would be learned otherwise
    assert voltage.method == "test; the recipe counts with 3.50 ± 0.10 V, calibrated on 1 measurement"


def test_calibrated_estimates_say_so_and_nothing_learned_changes_nothing() -> None:
    estimate = comparison(3.0, 3.5).predicted
    assert calibrated(estimate, None) is estimate
    moved = calibrated(estimate, Calibration(bias=0.4, scale=0.5, count=7))
    assert (moved.value, moved.sigma) == (pytest.approx(3.4), pytest.approx(0.15))
    assert moved.method.endswith("calibrated on 7 measurements")
    assert calibrate([]) == {}


def test_a_cell_tells_of_the_usable_capacity_not_of_theory() -> None:
    predictions = {name: made(value, 20, "mAh/g") for name, value in (("capacity_grav", 170), ("usable_capacity", 150))}
    request = make_request(predictions=predictions | {"energy_grav": made(590, 90, "Wh/kg")})
    values = {"capacity_grav": made(140, 3, "mAh/g"), "energy_grav": made(480, 9, "Wh/kg")}
    measured = Measurement(request_id="r", candidate_id="c", outcome=Outcome.SUCCESS, values=values, simulated=True)
    (row,) = compare([(request, measured)])  # the energy follows from it
    assert (row.name, row.residual) == ("usable_capacity", -10)
    assert set(calibrate([row])) == {"usable_capacity"}


def test_where_a_cell_reaches_half_of_the_plateaus_half_the_capacity_counts_and_no_voltage() -> None:
    request = make_request(predictions={"average_voltage": made(4.4), "usable_capacity": made(200, 20, "mAh/g")})
    cut = request.recipe.cycling.model_copy(update={"reached_fraction": 0.5})
    request = request.model_copy(update={"recipe": request.recipe.model_copy(update={"cycling": cut})})
    values = {"capacity_grav": made(100, 3, "mAh/g"), "average_voltage": made(3.6, 0.01)}
    measured = Measurement(request_id="r", candidate_id="c", outcome=Outcome.SUCCESS, values=values, simulated=True)
    (row,) = compare([(request, measured)])
    assert (row.name, row.predicted.value, row.predicted.sigma, row.residual) == ("usable_capacity", 100, 10, 0)
    assert calibrate([row])["usable_capacity"].factor == 1


def test_generators_aim_at_a_theory_no_less_than_what_is_to_be_usable() -> None:
    goal = Goal(objectives={"usable_capacity": Range(min=120, max=200), "average_voltage": Range(min=3)})
    spec = CampaignSpec(name="x", goal=goal)
    aims = frozenset({"average_voltage", "capacity_grav"})
    assert condition_of(spec, aims).targets == (Target("average_voltage", 3, None), Target("capacity_grav", 120, None))
    assert condition_of(spec, frozenset({"average_voltage"})).targets == (Target("average_voltage", 3, None),)
    both = Goal(objectives={"usable_capacity": Range(min=120), "capacity_grav": Range(min=200)})
    assert condition_of(CampaignSpec(name="x", goal=both), aims).targets == (Target("capacity_grav", 200, None),)
