"""Whether reported values can be true: by physics, by the compound, and, as a question only, by the prediction.

What cannot be true is refused; people write millivolts for volts, 1.234 for 1,234, and leave a zero where nothing was
measured. What is far from the prediction is a finding, or a slip: it is taken, and flagged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from redoxa.data.errors import RecipeError
from redoxa.data.lab.measurement import Measurement
from redoxa.data.lab.request import ExperimentRequest
from redoxa.data.records import Crystal, Estimate
from redoxa.data.synthesis.formula import molar_mass_g_mol, parse_formula
from redoxa.data.units import G_PER_CM3_PER_AMU_PER_A3
from redoxa.robotics.cycling.window import theoretical_capacity_mAh_g

PURITY: Final = "phase_purity"
VOLTAGE: Final = "average_voltage"
CAPACITY: Final = "capacity_grav"
MAX_VOLTAGE_V: Final = 6.0

RANGES: Final[Mapping[str, tuple[str, float, float]]] = {
    VOLTAGE: ("V", -0.5, MAX_VOLTAGE_V),
    CAPACITY: ("mAh/g", 0, 5000),
    "capacity_vol": ("mAh/cm3", 0, 12000),
    "energy_grav": ("Wh/kg", 0, 12000),
    "energy_vol": ("Wh/l", 0, 30000),
    "max_delta_volume": ("", 0, 10),
    PURITY: ("", 0, 1),
}
"""Properties that can be reported: unit, and the range outside which a value is a slip (millivolts for volts)."""

MAY_BE_ZERO: Final = frozenset({"max_delta_volume", PURITY})
MAX_SIGMA: Final = 10.0
MIN_SIGMA: Final = 1e-6
"""Sigma as a part of the value, at most and at least: beyond, it says nothing, or more than anybody can know."""
CAPACITY_MARGIN: Final = 1.2
"""Capacity at most, as a part of the charge of all working ions; carbon and electrolyte may give some of their own."""
SURPRISE: Final = 4.0
"""Combined sigmas between prediction and measurement from which it is flagged."""
PREDICTED_BY: Final[Mapping[str, str]] = {VOLTAGE: VOLTAGE, CAPACITY: "usable_capacity"}
"""Which prediction a measured value is held against; a theoretical capacity predicts no measured one."""


def why_impossible(name: str, value: float, sigma: float | None) -> str:
    """Why no compound has this value; empty where one may.

    Args:
        name: of a property in `RANGES`.
        value: in its unit.
        sigma: its uncertainty; None where none was given.
    """
    unit, low, high = RANGES[name]
    if not low <= value <= high:  # also what is no number at all
        return f"{name} {value:g} {unit} is not plausible ({low:g} to {high:g} {unit})"
    if value == 0 and name not in MAY_BE_ZERO:
        return f"{name} is 0: leave out what was not measured"
    if sigma is None:
        return ""
    if not sigma > 0:
        return f"sigma of {name} is {sigma:g}; it is above 0, or left out where it is not known"
    if value != 0 and not MIN_SIGMA <= sigma / abs(value) <= MAX_SIGMA:
        return f"sigma {sigma:g} of {name} {value:g} is not plausible ({MIN_SIGMA:g} to {MAX_SIGMA:g} of the value)"
    return ""


def why_beyond_theory(values: Mapping[str, float], request: ExperimentRequest) -> str:
    """Why this compound cannot have these values; empty where it may."""
    try:
        amounts = parse_formula(request.formula)
    except RecipeError:
        return ""
    if not amounts.get(request.working_ion):
        return ""
    theory = theoretical_capacity_mAh_g(amounts, request.working_ion)
    density = _density_g_cm3(request.crystal)
    for name, factor, unit in (
        (CAPACITY, 1.0, "mAh/g"),
        ("capacity_vol", density, "mAh/cm3"),
        ("energy_grav", MAX_VOLTAGE_V, "Wh/kg"),
        ("energy_vol", MAX_VOLTAGE_V * density, "Wh/l"),
    ):
        most = CAPACITY_MARGIN * theory * factor
        if values.get(name, 0) > most:
            return (
                f"{name} {values[name]:g} {unit} is more than {most:.0f} {unit}, {CAPACITY_MARGIN:g} times what all "
                f"{request.working_ion} of {request.formula} can give"
            )
    return ""


def _density_g_cm3(crystal: Crystal) -> float:
    """Density of the discharged crystal."""
    return molar_mass_g_mol(crystal.composition) / crystal.volume_A3 * G_PER_CM3_PER_AMU_PER_A3


def why_refused(measurement: Measurement, request: ExperimentRequest) -> str:
    """Why a measurement cannot be true; empty where it may."""
    purity = {} if measurement.phase_purity is None else {PURITY: measurement.phase_purity}
    for name, estimate in {**measurement.values, **purity}.items():
        if name in RANGES and (why := why_impossible(name, estimate.value, estimate.sigma)):
            return why
    return why_beyond_theory({name: estimate.value for name, estimate in measurement.values.items()}, request)


def surprises(measurement: Measurement, request: ExperimentRequest) -> list[str]:
    """A line for each value that is more than `SURPRISE` combined sigmas from its prediction."""
    lines = []
    for name, measured in sorted(measurement.values.items()):
        predicted = _predicted(name, request)
        if predicted is None:
            continue
        off, sigma = abs(measured.value - predicted.value), math.hypot(measured.sigma, predicted.sigma)
        if off > SURPRISE * sigma:
            how_far = f"{off / sigma:.1f} sigmas" if sigma > 0 else "any number of sigmas"
            lines.append(
                f"{name} {measured.value:.4g} {measured.unit} is {how_far} from the prediction, {predicted.text}: a "
                "finding or a slip?"
            )
    return lines


def flagged(measurement: Measurement, request: ExperimentRequest) -> Measurement:
    """The measurement with its surprises in its note; flagging it again changes nothing."""
    lines = [line for line in surprises(measurement, request) if line not in measurement.note]
    return measurement.model_copy(update={"note": "; ".join(filter(None, (measurement.note, *lines)))})


def _predicted(name: str, request: ExperimentRequest) -> Estimate | None:
    """What was predicted of the part of the profile that the cell goes through; as in `pipeline.campaign.feedback`."""
    predicted, reached = request.predictions.get(PREDICTED_BY.get(name, "")), request.recipe.cycling.reached_fraction
    if predicted is None or reached == 1:
        return predicted
    if name == VOLTAGE:
        return None
    return predicted.model_copy(update={"value": predicted.value * reached, "sigma": predicted.sigma * reached})
