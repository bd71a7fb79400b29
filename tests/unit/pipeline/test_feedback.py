"""Calibration from measurements, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from data.lab import Measurement, Outcome
from data.records import Estimate
from generators.base import Target
from pipeline.campaign import CampaignSpec, Goal
from pipeline.feedback import Calibration, Comparison, calibrate, calibrated, compare
from pipeline.stages import condition_of
from screening.settings import Range
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


def test_generators_aim_at_a_theory_no_less_than_what_is_to_be_usable() -> None:
    goal = Goal(objectives={"usable_capacity": Range(min=120, max=200), "average_voltage": Range(min=3)})
    spec = CampaignSpec(name="x", goal=goal)
    aims = frozenset({"average_voltage", "capacity_grav"})
    assert condition_of(spec, aims).targets == (Target("average_voltage", 3, None), Target("capacity_grav", 120, None))
    assert condition_of(spec, frozenset({"average_voltage"})).targets == (Target("average_voltage", 3, None),)
    both = Goal(objectives={"usable_capacity": Range(min=120), "capacity_grav": Range(min=200)})
    assert condition_of(CampaignSpec(name="x", goal=both), aims).targets == (Target("capacity_grav", 200, None),)
