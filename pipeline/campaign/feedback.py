"""What measurements teach: how far the predictions of each property are off, and how honest their sigmas are."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from redoxa.data.lab.measurement import Measurement, Outcome
from redoxa.data.lab.request import ExperimentRequest
from redoxa.data.records import Estimate

PRIOR_COUNT = 4.0
"""The uncalibrated prediction counts as much as this many measurements, so that one cell does not overturn it."""


PREDICTED_BY = {"capacity_grav": "usable_capacity", "energy_grav": ""}
"""What is measured -> the property that predicts it, where the names differ: a cell gives the reversible capacity, and
an energy that follows from it. The predicted ones of these names are theory, which no cell can contradict."""


FACTORS = frozenset({"usable_capacity", "capacity_grav", "capacity_vol", "energy_grav", "energy_vol"})
"""Properties that are off by a factor: 10 % too much of 250 mAh/g is another error than 10 % of 80. Others are off by a
number of volts or of eV."""

LEAST_RATIO = 0.05
"""A measured value counts as at least this part of the predicted one: the logarithm of a dead cell is infinite."""


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

    @property
    def log_ratio(self) -> float:
        """Logarithm of measured over predicted, of a prediction above zero."""
        return math.log(max(self.measured.value / self.predicted.value, LEAST_RATIO))


@dataclass(frozen=True)
class Calibration:
    """Correction of a property: multiply by `factor`, add `bias`; learned from `count` measurements.

    Attributes:
        bias: in the unit of the property; 0 where a factor was learned.
        factor: of value and sigma; 1 where a bias was learned.
        scale: what sigma is multiplied by; of a factor, the relative sigma.
        count: measurements.
    """

    bias: float = 0.0
    scale: float = 1.0
    count: int = 0
    factor: float = 1.0


def compare(pairs: Iterable[tuple[ExperimentRequest, Measurement]]) -> list[Comparison]:
    """Predicted against measured for every property of every cell that worked, under the name of the prediction.

    Where a cell could not reach all plateaus, the capacity is compared with that of those within reach, and the average
    voltage, which is of other plateaus than the predicted one, not at all.
    """
    return [
        Comparison(request.candidate_id, request.formula, name, predicted, measured, measurement.simulated)
        for request, measurement in pairs
        if measurement.outcome is Outcome.SUCCESS
        for name, measured in ((PREDICTED_BY.get(key, key), value) for key, value in measurement.values.items())
        if (predicted := _within_reach(request, name)) is not None
    ]


def _within_reach(request: ExperimentRequest, name: str) -> Estimate | None:
    """What was predicted of the part of the profile that the cell goes through."""
    predicted, reached = request.predictions.get(name), request.recipe.cycling.reached_fraction
    if predicted is None or reached == 1:
        return predicted
    if name not in FACTORS:
        return None if name == "average_voltage" else predicted
    return predicted.model_copy(
        update={
            "value": predicted.value * reached,
            "sigma": predicted.sigma * reached,
            "method": f"{predicted.method}; {reached:.0%} of it within the window",
        }
    )


def calibrate(comparisons: Iterable[Comparison]) -> dict[str, Calibration]:
    """Shrunken bias, or factor (see `FACTORS`), and sigma scale of each property.

    With n residuals r of mean m, bias = n/(n+k) m, and scale^2 = (k + sum((r - bias)^2 / s^2)) / (k + n) where s^2 is
    the sum of the predicted and the measured variance and k = `PRIOR_COUNT`: the posterior means of a normal model
    whose prior says that the prediction is unbiased and its sigma right. A factor is learned the same way from
    logarithms: r = ln(measured / predicted), with relative sigmas, and exp(bias) is the factor.
    """
    by_name: dict[str, list[Comparison]] = defaultdict(list)
    for comparison in comparisons:
        by_name[comparison.name].append(comparison)
    learned = {}
    for name, rows in by_name.items():
        if name not in FACTORS:
            bias, scale = _shrunken([(r.residual, r.predicted.sigma**2 + r.measured.sigma**2) for r in rows])
            learned[name] = Calibration(bias=bias, scale=scale, count=len(rows))
        elif above := [r for r in rows if r.predicted.value > 0]:
            bias, scale = _shrunken([(r.log_ratio, _relative_variance(r)) for r in above])
            learned[name] = Calibration(factor=math.exp(bias), scale=scale, count=len(above))
    return learned


def _shrunken(residuals: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Bias and sigma scale of residuals that come with their variances."""
    n = len(residuals)
    bias = sum(r for r, _ in residuals) / (n + PRIOR_COUNT)
    squares = sum((r - bias) ** 2 / variance for r, variance in residuals if variance > 0)
    return bias, math.sqrt((PRIOR_COUNT + squares) / (PRIOR_COUNT + n))


def _relative_variance(row: Comparison) -> float:
    measured = max(row.measured.value, LEAST_RATIO * row.predicted.value)
    return (row.predicted.sigma / row.predicted.value) ** 2 + (row.measured.sigma / measured) ** 2


def calibrated(estimate: Estimate, calibration: Calibration | None) -> Estimate:
    """The estimate with its property's correction applied, and saying so."""
    if calibration is None:
        return estimate
    return estimate.model_copy(
        update={
            "value": estimate.value * calibration.factor + calibration.bias,
            "sigma": estimate.sigma * calibration.factor * calibration.scale,
            "method": f"{estimate.method}; calibrated on {_measurements(calibration.count)}",
        }
    )


def noted(predictions: Mapping[str, Estimate], learned: Mapping[str, Calibration]) -> dict[str, Estimate]:
    """Predictions as they were made, each saying what the recipe counts with where measurements correct it.

    The numbers stay: what is learned next is learned from what the screening says, not from corrected values.
    """
    return {name: _noted(estimate, learned.get(name)) for name, estimate in predictions.items()}


def _noted(estimate: Estimate, calibration: Calibration | None) -> Estimate:
    if calibration is None:
        return estimate
    used = calibrated(estimate, calibration)
    text = f"the recipe counts with {used.text} {used.unit}, calibrated on {_measurements(calibration.count)}"
    return estimate.model_copy(update={"method": f"{estimate.method}; {text}"})


def _measurements(count: int) -> str:
    return f"{count} measurement{'' if count == 1 else 's'}"
