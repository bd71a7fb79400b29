"""Safety rules about procedures: furnace, amounts, electrode, cell, cycling."""

from __future__ import annotations

from fractions import Fraction
from math import pi

from redoxa.data.lab.recipe import ConstantCurrent, ConstantVoltage, Firing
from redoxa.data.synthesis.formula import molar_mass_g_mol, same_compound
from redoxa.data.units import FARADAY_MAH_PER_MOL, ION_VALENCE
from redoxa.robotics.cycling.cells import CELL_SYSTEMS, find_system
from redoxa.robotics.cycling.currents import current_problems
from redoxa.robotics.cycling.protocol import all_steps, check_steps, longest_time_s
from redoxa.robotics.safety.subject import RequestSubject, Subject, read_formula

BINDERS = frozenset({"PVDF", "CMC", "CMC/SBR", "PAA", "PTFE"})
SOLVENTS = {"NMP": 130.0, "water": 120.0, "isopropanol": 80.0}
"""Highest drying temperature in C for each solvent."""

ROOM_C = 15.0
MAX_ELECTROLYTE_UL = 500.0
ROUNDING = 1.01
MAX_GRINDING_MIN = 24 * 60.0
MAX_DIE_MPa = 1000.0
"""A hardened steel die yields at about twice this."""


def furnace(subject: Subject) -> list[str]:  # noqa: C901  (one rule read as one: a line for each limit of a furnace)
    """S006."""
    limits, steps, name = subject.furnace, subject.synthesis.steps, subject.synthesis.furnace_name
    problems = [] if steps else ["there are no furnace steps"]
    if name and name not in subject.laboratory.by_name:
        problems.append(f"there is no furnace '{name}' here, but {', '.join(sorted(subject.laboratory.by_name))}")
    if len(steps) > limits.max_steps:
        problems.append(f"{len(steps)} furnace steps, limit {limits.max_steps}")
    for firing in subject.synthesis.firings:
        problems += _grinding_and_pressing(firing)
        if not firing.steps:
            problems.append("a firing has no steps")
        elif (end_C := firing.steps[-1].temperature_C) > limits.max_end_C:
            problems.append(f"the furnace is left at {end_C:g} C, limit {limits.max_end_C:g} C")
    hours = sum(firing.programme_h for firing in subject.synthesis.firings)
    if hours > limits.max_programme_h:
        problems.append(f"the programme takes {hours:.4g} h, limit {limits.max_programme_h:g} h")
    for i, step in enumerate(steps, start=1):
        if not ROOM_C <= step.temperature_C <= limits.max_temperature_C:
            problems.append(f"step {i}: {step.temperature_C:g} C, limit {limits.max_temperature_C:g} C")
        if step.ramp_C_per_min > limits.max_ramp_C_per_min:
            problems.append(f"step {i}: ramp {step.ramp_C_per_min:g} C/min, limit {limits.max_ramp_C_per_min:g}")
        if step.ramp_C_per_min < limits.min_ramp_C_per_min:
            problems.append(f"step {i}: ramp {step.ramp_C_per_min:g} C/min, at least {limits.min_ramp_C_per_min:g}")
        if step.dwell_h > limits.max_dwell_h:
            problems.append(f"step {i}: dwell {step.dwell_h:g} h, limit {limits.max_dwell_h:g} h")
    return problems


def _grinding_and_pressing(firing: Firing) -> list[str]:
    problems = []
    if firing.grinding_min > MAX_GRINDING_MIN:
        problems.append(f"{firing.grinding_min:g} min of grinding, limit {MAX_GRINDING_MIN:g} min")
    if (press := firing.pressing) is not None:
        pressure_MPa = 1e3 * press.load_kN / (pi * press.die_mm**2 / 4)
        if pressure_MPa > MAX_DIE_MPa:
            problems.append(f"{pressure_MPa:.0f} MPa on a {press.die_mm:g} mm die, limit {MAX_DIE_MPa:g} MPa")
    return problems


def amounts(subject: RequestSubject) -> list[str]:
    """S007."""
    limits, recipe = subject.laboratory, subject.request.recipe
    problems = []
    if recipe.synthesis.target_mass_g > limits.max_target_g:
        problems.append(f"target of {recipe.synthesis.target_mass_g:g} g, limit {limits.max_target_g:g} g")
    powder_g = sum(p.mass_g for p in recipe.synthesis.precursors)
    if powder_g > subject.furnace.max_powder_g:
        problems.append(f"{powder_g:.1f} g of powder in one vessel, limit {subject.furnace.max_powder_g:g} g")
    if recipe.cell.replicates > limits.max_replicates:
        problems.append(f"{recipe.cell.replicates} cells, limit {limits.max_replicates}")
    if recipe.cell.electrolyte_uL > MAX_ELECTROLYTE_UL:
        problems.append(f"{recipe.cell.electrolyte_uL:g} uL of electrolyte per cell, limit {MAX_ELECTROLYTE_UL:g} uL")
    loading = recipe.electrode.active_loading_mg_cm2
    if loading > limits.max_loading_mg_cm2:
        problems.append(f"loading {loading:g} mg/cm2, limit {limits.max_loading_mg_cm2:g}")
    return problems


def voltage_window(subject: RequestSubject) -> list[str]:
    """S008."""
    request = subject.request
    cycling, electrolyte = request.recipe.cycling, request.recipe.cell.electrolyte
    system = find_system(request.working_ion, electrolyte)
    if system is None:
        return [f"no limits are known for '{electrolyte}' with {request.working_ion}"]
    problems = []
    # The steps too, not the stated window alone: S009, which compares the two, may be overridden.
    steps_V = [step.until_voltage_V for _, step in all_steps(cycling) if isinstance(step, ConstantCurrent)]
    steps_V += [step.voltage_V for _, step in all_steps(cycling) if isinstance(step, ConstantVoltage)]
    highest_V, lowest_V = max([cycling.max_voltage_V, *steps_V]), min([cycling.min_voltage_V, *steps_V])
    if highest_V > system.max_V:
        problems.append(f"charged to {highest_V:g} V, {electrolyte} stands {system.max_V:g} V")
    if lowest_V < system.min_V:
        problems.append(f"discharged to {lowest_V:g} V, {electrolyte} stands {system.min_V:g} V")
    return problems


def cycling_steps(subject: RequestSubject) -> list[str]:
    """S009."""
    cycling, limits = subject.request.recipe.cycling, subject.laboratory
    problems = check_steps(cycling, limits.max_rate_C)
    problems += current_problems(subject.request.recipe.electrode, cycling, limits.cyclers)
    theory = _most_capacity_mAh_g(subject)
    if theory is not None and cycling.nominal_capacity_mAh_g > theory * ROUNDING:
        problems.append(
            f"currents for {cycling.nominal_capacity_mAh_g:g} mAh/g, and all {subject.request.working_ion} of the "
            f"compound are {theory:.4g} mAh/g"
        )
    days = longest_time_s(cycling) / 86400
    if days > limits.max_cycling_days:
        problems.append(f"may take {days:.0f} days, limit {limits.max_cycling_days:g} days")
    return problems


def _most_capacity_mAh_g(subject: RequestSubject) -> float | None:
    """Charge of all working ions by the mass of the compound; None where that is no formula with the ion."""
    ion = subject.request.working_ion
    if not subject.target or ion not in subject.target:
        return None
    charge = float(subject.target[ion]) * ION_VALENCE[ion] * FARADAY_MAH_PER_MOL
    return charge / molar_mass_g_mol(subject.target)


def cell_materials(subject: RequestSubject) -> list[str]:
    """S015."""
    recipe, ion = subject.request.recipe, subject.request.working_ion
    electrode, cell = recipe.electrode, recipe.cell
    problems = []
    if electrode.binder not in BINDERS:
        problems.append(f"binder '{electrode.binder}' is not on the list")
    if electrode.solvent not in SOLVENTS:
        problems.append(f"solvent '{electrode.solvent}' is not on the list")
    elif electrode.drying_C > SOLVENTS[electrode.solvent]:
        limit_C = SOLVENTS[electrode.solvent]
        problems.append(f"{electrode.solvent} dried at {electrode.drying_C:g} C, limit {limit_C:g} C")
    total = electrode.active_fraction + electrode.carbon_fraction + electrode.binder_fraction
    if abs(total - 1) > 1e-6:
        problems.append(f"the fractions of the electrode add up to {total:g}")
    if electrode.collector == "Al" and ion == "Li" and recipe.cycling.min_voltage_V < 0.3:
        problems.append("lithium alloys with an aluminium collector below 0.3 V")
    system = find_system(ion, cell.electrolyte)
    if system is None:
        problems.append(f"electrolyte '{cell.electrolyte}' is not known for {ion}")
    elif (cell.counter, cell.casing) != (system.counter, system.casing):
        problems.append(f"'{cell.counter}' in '{cell.casing}' is not the cell for {cell.electrolyte}")
    if cell.separator not in {s.separator for systems in CELL_SYSTEMS.values() for s in systems}:
        problems.append(f"separator '{cell.separator}' is not on the list")
    return problems


def identity(subject: RequestSubject) -> list[str]:
    """S016."""
    request, target = subject.request, subject.target
    if target is None:
        return [f"'{request.recipe.synthesis.target_formula}' is not a formula"]
    problems = []
    crystal = {e: Fraction(n) for e, n in request.crystal.composition.items()}
    if not same_compound(crystal, target):
        problems.append(f"the recipe makes {request.recipe.synthesis.target_formula}, the crystal is another compound")
    stated = read_formula(request.formula)
    if stated is None or not same_compound(stated, target):
        problems.append(f"the candidate is called {request.formula}, the recipe makes another compound")
    if request.working_ion not in target:
        problems.append(f"the compound holds no {request.working_ion}, so it is not the discharged phase")
    return problems
