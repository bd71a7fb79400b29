"""The whole recipe of one candidate: synthesis, electrode, cell and cycling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from redoxa.data.errors import NoPrecursorError, RecipeError
from redoxa.data.lab.laboratory import Laboratory
from redoxa.data.lab.recipe import Recipe
from redoxa.data.records import Crystal, Estimate, VoltageStep, WorkingIon, reduced_formula
from redoxa.data.synthesis.formula import parse_formula
from redoxa.data.synthesis.route import Energies
from redoxa.robotics.cycling.cells import plan_cell, plan_electrode
from redoxa.robotics.cycling.currents import plan_currents
from redoxa.robotics.cycling.protocol import RATES, plan_cycling
from redoxa.robotics.cycling.window import plan_window, theoretical_capacity_mAh_g
from redoxa.robotics.planning.synthesis import plan_synthesis

__all__ = ["NoPrecursorError", "RecipeError", "plan_recipe", "theoretical_capacity_mAh_g"]


def plan_recipe(
    target: Crystal | str,
    working_ion: WorkingIon,
    predictions: Mapping[str, Estimate],
    target_mass_g: float,
    profile: Sequence[VoltageStep] = (),
    laboratory: Laboratory | None = None,
    energies: Energies | None = None,
) -> Recipe:
    """Plan how to make and test a candidate.

    Args:
        target: the discharged phase, as a crystal or as a formula; it is made with the working ion inside. A compound
            that takes ions up beyond those it is made with (Li4Ti5O12) is cycled all the same, but the charge that
            comes first moves nothing, and its capacity has to be predicted.
        working_ion: the ion that moves.
        predictions: by property name. `average_voltage` is needed, with its sigma; `usable_capacity` sets the currents,
            else `capacity_grav`, else theory.
        target_mass_g: powder that is wanted.
        profile: plateaus of the computed voltage, which set the window; without two of them the average does.
        laboratory: where; what is assumed of one by default.
        energies: of reactions on a hull, which help to choose the powders.

    Raises:
        CanBeBoughtError: nothing has to be made.
        NoPrecursorError: an element has no source.
        RecipeError: no route that the safety rules allow, no working ion, a voltage that no electrolyte or cycler
            stands, or currents that no cycler gives.
    """
    crystal = None if isinstance(target, str) else target
    formula = target if isinstance(target, str) else reduced_formula(target.composition)
    amounts = parse_formula(formula)
    if working_ion not in amounts:
        raise RecipeError(f"{formula}: holds no {working_ion}; the discharged phase is made, with its ions inside")
    laboratory = laboratory or Laboratory()
    try:
        system, window, cyclers = plan_window(amounts, working_ion, predictions, profile, laboratory.cyclers)
        electrode = plan_electrode(working_ion, system, window.high_V)
        limit = laboratory.max_loading_mg_cm2
        currents = plan_currents(electrode, window.capacity_mAh_g, RATES, cyclers, limit)
    except RecipeError as error:
        raise RecipeError(f"{formula}: {error}") from None
    return Recipe(
        synthesis=plan_synthesis(formula, target_mass_g, laboratory, energies, crystal),
        electrode=electrode.model_copy(update={"active_loading_mg_cm2": currents.active_loading_mg_cm2}),
        cell=plan_cell(system),
        cycling=plan_cycling(window, currents),
    )
