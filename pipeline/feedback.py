"""What measurements teach: how far the predictions of each property are off, and how honest their sigmas are."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from data.lab import ExperimentRequest, Measurement, Outcome
from data.records import Estimate

PRIOR_COUNT = 4.0
"""The uncalibrated prediction counts as much as this many measurements, so that one cell does not overturn it."""


PREDICTED_BY = {"capacity_grav": "usable_capacity", "energy_grav": ""}
"""What is measured -> the property that predicts it, where the names differ: a cell gives the reversible capacity, and
an energy that follows from it. The predicted ones of these names are theory, which no cell can contradict."""


@dataclass(frozen=True)
class Comparison:
    """A predicted and a measured value of one property of one candidate."""

    candidate_id: str
    formula: str
    name: str
    predicted: Estimate
    measured: Estimate
    simulated: bool

    @property
    def residual(self) -> float:
        """Measured less predicted."""
        return self.measured.value - self.predicted.value


@dataclass(frozen=True)
class Calibration:
    """Correction of a property: add `bias`, multiply sigma by `scale`; learned from `count` measurements."""

    bias: float
    scale: float
    count: int


def compare(pairs: Iterable[tuple[ExperimentRequest, Measurement]]) -> list[Comparison]:
    """Predicted against measured for every property of every cell that worked, under the name of the prediction."""
    return [
        Comparison(
            request.candidate_id, request.formula, name, request.predictions[name], measured, measurement.simulated
        )
        for request, measurement in pairs
        if measurement.outcome is Outcome.SUCCESS
        for name, measured in ((PREDICTED_BY.get(key, key), value) for key, value in measurement.values.items())
        if name in request.predictions
    ]


def calibrate(comparisons: Iterable[Comparison]) -> dict[str, Calibration]:
    """Shrunken bias and sigma scale of each property.

    With n residuals r of mean m, bias = n/(n+k) m, and scale^2 = (k + sum((r - bias)^2 / s^2)) / (k + n) where s^2 is
    the sum of the predicted and the measured variance and k = `PRIOR_COUNT`: the posterior means of a normal model
    whose prior says that the prediction is unbiased and its sigma right.
    """
    by_name: dict[str, list[Comparison]] = defaultdict(list)
    for comparison in comparisons:
        by_name[comparison.name].append(comparison)
    learned = {}
    for name, rows in by_name.items():
        n = len(rows)
        bias = sum(row.residual for row in rows) / (n + PRIOR_COUNT)
        squares = 0.0
        for row in rows:
            variance = row.predicted.sigma**2 + row.measured.sigma**2
            if variance > 0:
                squares += (row.residual - bias) ** 2 / variance
        learned[name] = Calibration(bias, math.sqrt((PRIOR_COUNT + squares) / (PRIOR_COUNT + n)), n)
    return learned


def calibrated(estimate: Estimate, calibration: Calibration | None) -> Estimate:
    """The estimate with its property's correction applied, and saying so."""
    if calibration is None:
        return estimate
    return estimate.model_copy(
        update={
            "value": estimate.value + calibration.bias,
            "sigma": estimate.sigma * calibration.scale,
            "method": f"{estimate.method}; calibrated on {calibration.count} measurements",
        }
    )
