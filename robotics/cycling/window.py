"""Between which voltages a cell is cycled, and what capacity lies between them, from the predicted voltages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm

from redoxa.data.errors import RecipeError
from redoxa.data.lab.laboratory import Cycler
from redoxa.data.records import Estimate, VoltageStep, WorkingIon
from redoxa.data.synthesis.formula import molar_mass_g_mol
from redoxa.data.units import FARADAY_MAH_PER_MOL, ION_VALENCE
from redoxa.robotics.cycling.cells import CellSystem, choose_system, voltage_window_V

Amounts = Mapping[str, Fraction]

AVERAGE_ONLY = "no partly charged states were computed"
USABLE, THEORY = "usable_capacity", "capacity_grav"
DEFINITIONS = {USABLE: "predicted reversible capacity", THEORY: "theoretical, as far as redox pays"}


@dataclass(frozen=True)
class Window:
    """Cut-off voltages with what they follow from, and the capacity by active mass between them.

    `reached_fraction` is that capacity as part of the capacity of all predicted plateaus.
    """

    low_V: float
    high_V: float
    text: str
    capacity_mAh_g: float
    capacity_definition: str
    reached_fraction: float = 1.0


@dataclass(frozen=True)
class Plateau:
    """A plateau of the predicted voltage, with its capacity by the mass of the discharged phase."""

    voltage_V: float
    capacity_mAh_g: float


def plan_window(
    amounts: Amounts,
    ion: WorkingIon,
    predictions: Mapping[str, Estimate],
    profile: Sequence[VoltageStep] = (),
    cyclers: Sequence[Cycler] = (),
) -> tuple[CellSystem, Window, tuple[Cycler, ...]]:
    """The cell, its window, and the cyclers that hold it, the preferred first.

    Cut-offs are the lowest and the highest plateau, sigma of the voltage and `WINDOW_MARGIN_V` beyond, inside what
    electrolyte and cycler stand. What a limit cuts off does not count to the capacity.

    Args:
        amounts: atoms of the discharged phase.
        ion: that moves.
        predictions: `average_voltage`, and capacities where there are any.
        profile: computed plateaus; one or none leaves the average voltage as the only plateau.
        cyclers: of the laboratory.

    Raises:
        RecipeError: no voltage is predicted, or none that electrolyte and cycler stand.
    """
    average = _average(predictions)
    computed = len(profile) > 1
    plateaus = _plateaus(amounts, ion, profile) if computed else ()
    voltages_V = [p.voltage_V for p in plateaus] or [average.value]
    lowest_V, highest_V = min(voltages_V) - average.sigma, max(voltages_V) + average.sigma
    system = choose_system(ion, highest_V)
    if min(voltages_V) > system.max_V:
        kind = "lowest plateau" if computed else "average"
        raise RecipeError(
            f"predicted {kind} of {min(voltages_V):.2f} V is above the {system.max_V:g} V that "
            f"{system.electrolyte} stands: the cell cannot be charged"
        )
    usable = _by_window(system, lowest_V, highest_V, cyclers)
    low_V, high_V = voltage_window_V(system, lowest_V, highest_V, usable[0] if usable else None)
    within = [p for p in plateaus if low_V <= p.voltage_V <= high_V]
    if computed and not within:
        raise RecipeError(f"no predicted plateau lies within {low_V:g} to {high_V:g} V: the cell cannot be cycled")
    if not computed and not low_V <= average.value <= high_V:
        raise RecipeError(
            f"predicted average of {average.value:.2f} V is outside {low_V:g} to {high_V:g} V of the cell"
        )
    text = _text(plateaus, within, average, "max_voltage_step" in predictions)
    capacity, definition = _capacity(amounts, ion, predictions, within)
    reached = sum(p.capacity_mAh_g for p in within) / sum(p.capacity_mAh_g for p in plateaus) if computed else 1.0
    return system, Window(low_V, high_V, text, capacity, definition, reached), usable


def theoretical_capacity_mAh_g(amounts: Amounts, ion: WorkingIon) -> float:
    """Capacity per gram of the discharged phase if every working ion left: n z F / M."""
    return FARADAY_MAH_PER_MOL * float(amounts[ion]) * ION_VALENCE[ion] / molar_mass_g_mol(amounts)


def _average(predictions: Mapping[str, Estimate]) -> Estimate:
    average = predictions.get("average_voltage")
    if average is None:
        raise RecipeError("no predicted average_voltage, so the voltage window cannot be set")
    if average.value <= 0:
        raise RecipeError(f"predicted average voltage {average.value:.2f} V is not above zero")
    return average


def _plateaus(amounts: Amounts, ion: WorkingIon, profile: Sequence[VoltageStep]) -> tuple[Plateau, ...]:
    """Voltages and capacities; a step counts ions by formula unit of the host, that is, of all but the ion, reduced."""
    common = lcm(*(n.denominator for n in amounts.values()))
    units = Fraction(gcd(*(int(n * common) for e, n in amounts.items() if e != ion)), common)
    by_ion = FARADAY_MAH_PER_MOL * ION_VALENCE[ion] * float(units) / molar_mass_g_mol(amounts)
    return tuple(Plateau(s.voltage_V, by_ion * abs(s.x_discharge - s.x_charge)) for s in profile)


def _by_window(system: CellSystem, lowest_V: float, highest_V: float, cyclers: Sequence[Cycler]) -> tuple[Cycler, ...]:
    """Cyclers that hold the window of the cell; where none does, the one that reaches highest."""
    if not cyclers:
        return ()
    low_V, high_V = voltage_window_V(system, lowest_V, highest_V)
    holding = tuple(c for c in cyclers if c.min_V <= low_V and high_V <= c.max_V)
    return holding or (max(cyclers, key=lambda c: c.max_V),)


def _text(plateaus: Sequence[Plateau], within: Sequence[Plateau], average: Estimate, single: bool) -> str:
    """What the window follows from."""
    if not plateaus:
        if single:
            return f"computed profile of 1 plateau, {average.value:.2f} V"
        return f"average voltage only, {average.value:.2f} V: {AVERAGE_ONLY}"
    voltages_V = [p.voltage_V for p in plateaus]
    text = f"computed profile of {len(plateaus)} plateaus, {min(voltages_V):.2f} to {max(voltages_V):.2f} V"
    return text if len(within) == len(plateaus) else f"{text}, of which the cell reaches {len(within)}"


def _capacity(
    amounts: Amounts, ion: WorkingIon, predictions: Mapping[str, Estimate], within: Sequence[Plateau]
) -> tuple[float, str]:
    """Capacity that sets the currents, and what it is.

    Of a profile: the plateaus within reach, times the share that is usable in practice where it is predicted.
    """
    known = {name: predictions[name].value for name in DEFINITIONS if name in predictions}
    known = {name: value for name, value in known.items() if value > 0}
    if within:
        reached = sum(p.capacity_mAh_g for p in within)
        where = f"of {len(within)} plateau{'s' if len(within) > 1 else ''} within the window"
        if known.keys() >= {USABLE, THEORY}:
            share = min(1.0, known[USABLE] / known[THEORY])
            return share * reached, f"{100 * share:.0f} % of the {reached:.0f} mAh/g {where}"
        return reached, f"theoretical, {where}"
    for name, definition in DEFINITIONS.items():
        if name in known:
            return known[name], definition
    return theoretical_capacity_mAh_g(amounts, ion), "theoretical, all working ions"
