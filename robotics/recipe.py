"""The whole recipe of one candidate: synthesis, electrode, cell and cycling."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from data.errors import NoPrecursorError, RecipeError
from data.lab import Recipe
from data.records import Crystal, Estimate, WorkingIon, reduced_formula
from data.station import Station
from data.synthesis.formula import molar_mass_g_mol, parse_formula
from data.synthesis.route import Energies
from data.units import FARADAY_MAH_PER_MOL, ION_VALENCE
from robotics.cells import choose_system, plan_cell, plan_electrode, voltage_window_V
from robotics.cycling import plan_cycling
from robotics.synthesis import plan_synthesis

__all__ = ["NoPrecursorError", "RecipeError", "plan_recipe", "theoretical_capacity_mAh_g"]


def plan_recipe(
    target: Crystal | str,
    working_ion: WorkingIon,
    predictions: Mapping[str, Estimate],
    target_mass_g: float,
    station: Station | None = None,
    energies: Energies | None = None,
) -> Recipe:
    """Plan how to make and test a candidate.

    Args:
        target: the discharged phase, as a crystal or as a formula; it is made with the working ion inside.
        working_ion: the ion that moves.
        predictions: by property name. `average_voltage` is needed; its sigma, and `max_voltage` and `min_voltage`
            where given, widen the window; `usable_capacity` sets the currents, else `capacity_grav`, else theory.
        target_mass_g: powder that is wanted.
        station: the laboratory; what is assumed of one by default.
        energies: of reactions on a hull, which help to choose the powders.

    Raises:
        CanBeBoughtError: nothing has to be made.
        NoPrecursorError: an element has no source.
        RecipeError: no route that the safety rules allow, no working ion, or a voltage that no electrolyte stands.
    """
    crystal = None if isinstance(target, str) else target
    formula = target if isinstance(target, str) else reduced_formula(target.composition)
    amounts = parse_formula(formula)
    if working_ion not in amounts:
        raise RecipeError(f"{formula}: holds no {working_ion}; the discharged phase is made, with its ions inside")
    lowest_V, average_V, highest_V = _predicted_range_V(formula, predictions)
    system = choose_system(working_ion, highest_V)
    if average_V > system.max_V:
        raise RecipeError(
            f"{formula}: predicted average of {average_V:.2f} V is above the {system.max_V:g} V that "
            f"{system.electrolyte} stands: the cell cannot be charged"
        )
    low_V, high_V = voltage_window_V(system, lowest_V, highest_V)
    given = {"usable_capacity": "predicted reversible capacity", "capacity_grav": "theoretical, as far as redox pays"}
    known = [name for name in given if name in predictions and predictions[name].value > 0]
    if known:
        capacity, definition = predictions[known[0]].value, given[known[0]]
    else:
        capacity, definition = theoretical_capacity_mAh_g(amounts, working_ion), "theoretical, all working ions"
    return Recipe(
        synthesis=plan_synthesis(formula, target_mass_g, station, energies, crystal),
        electrode=plan_electrode(working_ion, system, high_V),
        cell=plan_cell(system),
        cycling=plan_cycling(low_V, high_V, capacity, definition),
    )


def _predicted_range_V(formula: str, predictions: Mapping[str, Estimate]) -> tuple[float, float, float]:
    """Lowest, average and highest voltage within one sigma of the predictions."""
    if "average_voltage" not in predictions:
        raise RecipeError(f"{formula}: no predicted average_voltage, so the voltage window cannot be set")
    average = predictions["average_voltage"]
    if average.value <= 0:
        raise RecipeError(f"{formula}: predicted average voltage {average.value:.2f} V is not above zero")
    known = [predictions[k] for k in ("min_voltage", "average_voltage", "max_voltage") if k in predictions]
    return min(e.value - e.sigma for e in known), average.value, max(e.value + e.sigma for e in known)


def theoretical_capacity_mAh_g(amounts: Mapping[str, Fraction], ion: WorkingIon) -> float:
    """Capacity per gram of the discharged phase if every working ion left: n z F / M."""
    return FARADAY_MAH_PER_MOL * float(amounts[ion]) * ION_VALENCE[ion] / molar_mass_g_mol(amounts)
