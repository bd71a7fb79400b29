"""Calibration from measurements, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from data.records import Estimate
from pipeline.feedback import Calibration, Comparison, calibrate, calibrated


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
