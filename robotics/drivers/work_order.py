"""A recipe as a work list that a person can follow: one line a step, for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from redoxa.data.lab.recipe import ConstantCurrent, ConstantVoltage, CyclingStep, Firing, Recipe, Synthesis
from redoxa.data.lab.request import ExperimentRequest
from redoxa.data.synthesis.formula import molar_mass_g_mol, parse_formula
from redoxa.robotics.planning.pattern import WAVELENGTH_TEXT, Line, strongest
from redoxa.robotics.planning.slurry import SPARE, plan_slurry
from redoxa.robotics.planning.wording import reaction_text, warnings

ROOM_L_MOL = 24.465
"""Litres of a mole of gas at 25 C and 1 atm."""

HEADER = ("request_id", "section", "step", "what", "quantity", "unit", "note")

Row = tuple[str, str, str, str, str]
"""Section, what, quantity, unit, note."""


def work_list_csv(request_id: str, request: ExperimentRequest, pattern: Sequence[Line] = ()) -> str:
    """The whole recipe as CSV, in the order of the work, with the strongest lines of the target's pattern."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    for step, row in enumerate(work_rows(request, pattern), start=1):
        section, what, quantity, unit, note = row
        writer.writerow([request_id, section, step, *(harmless(x) for x in (what, quantity, unit, note))])
    return out.getvalue()


def harmless(text: str) -> str:
    """Text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "@", "\t", "\r") or (text[:1] == "-" and not _is_number(text)) else text


def work_rows(request: ExperimentRequest, pattern: Sequence[Line] = ()) -> Iterator[Row]:
    """Lines of the work list; `pattern` holds the predicted lines of the target's X-ray pattern."""
    recipe = request.recipe
    yield ("target", request.formula, f"{recipe.synthesis.target_mass_g:g}", "g", "")
    yield from _synthesis_rows(recipe)
    yield from _pattern_rows(pattern)
    yield from _electrode_rows(recipe)
    yield from _cell_rows(recipe)
    yield from _cycling_rows(recipe)


def _synthesis_rows(recipe: Recipe) -> Iterator[Row]:
    synthesis = recipe.synthesis
    yield ("safety", "handling", synthesis.handling, "", " ".join(warnings(synthesis)))
    yield ("reaction", reaction_text(synthesis), "", "", f"in {synthesis.atmosphere}")
    yield from _gas_rows(recipe)
    for powder in synthesis.precursors:
        extra = [f"with {powder.excess_fraction:.0%} excess"] if powder.excess_fraction else []
        extra += [f"of {powder.purity:.1%} purity"] if powder.purity < 1 else []
        extra += ["keep apart until the last grinding"] if powder.role == "carbon source" else []
        yield ("weigh", f"{powder.name} ({powder.formula})", f"{powder.mass_g:.4f}", "g", ", ".join(extra))
    for number, firing in enumerate(synthesis.firings, start=1):
        yield from _firing_rows(synthesis, firing, is_first=number == 1, is_last=number == len(synthesis.firings))
    yield ("identify", "X-ray powder pattern", "1", "", "report phase_purity; target_not_formed is a result")


def _firing_rows(synthesis: Synthesis, firing: Firing, is_first: bool, is_last: bool) -> Iterator[Row]:
    sugar = any(p.role == "carbon source" for p in synthesis.precursors) and is_last
    what = "all powders together" if is_first else "again, all of it"
    yield ("grind", what, f"{firing.grinding_min:g}", "min", "with the carbon source" if sugar else "")
    if (press := firing.pressing) is not None:
        yield ("press", f"pellets in a {press.die_mm:g} mm die", f"{press.load_kN:g}", "kN", "about 1 g each")
    furnace = synthesis.furnace_name or "the furnace"
    note = f"{furnace}, in {synthesis.atmosphere}: {synthesis.atmosphere_reason}"
    yield ("load", synthesis.vessel, "1", "", note)
    for step in firing.steps:
        note = f"ramp {step.ramp_C_per_min:g} C/min, dwell {step.dwell_h:g} h: {step.purpose}"
        yield ("furnace", "heat or cool to", f"{step.temperature_C:g}", "C", note)


def _gas_rows(recipe: Recipe) -> Iterator[Row]:
    """What the whole batch sets free or takes up."""
    synthesis = recipe.synthesis
    target_mol = synthesis.target_mass_g / molar_mass_g_mol(parse_formula(synthesis.target_formula))
    for gas, by_target in synthesis.byproducts.items():
        moles = abs(by_target) * target_mol
        way = "sets free" if by_target > 0 else "takes up"
        note = f"{moles * ROOM_L_MOL:.3g} L at 25 C and 1 atm{', as vapour' if gas == 'H2O' else ''}"
        yield ("gas", f"{way} {gas}", f"{moles:.3g}", "mol", note)


def _pattern_rows(pattern: Sequence[Line]) -> Iterator[Row]:
    """The strongest lines of the target, to look for."""
    for line in strongest(pattern):
        note = f"d {line.d_A:.4f} A, {line.intensity_percent:.0f} %, hkl {line.hkl}; predicted, {WAVELENGTH_TEXT}"
        yield ("identify", "line of the target at two theta", f"{line.two_theta_deg:.2f}", "degrees", note)


def _electrode_rows(recipe: Recipe) -> Iterator[Row]:
    electrode, cells = recipe.electrode, recipe.cell.replicates
    slurry = plan_slurry(electrode, cells, recipe.synthesis.target_mass_g)
    enough = f"{cells} cells and {SPARE:.0%} spare need {slurry.needed_mg:.1f} mg"
    if slurry.active_mg > slurry.needed_mg:
        enough += "; less than this is hard to cast evenly"
    yield ("slurry", "active material", f"{slurry.active_mg:.1f}", "mg", enough)
    yield ("slurry", "carbon black", f"{slurry.carbon_mg:.1f}", "mg", "")
    yield ("slurry", electrode.binder, f"{slurry.binder_mg:.1f}", "mg", "")
    parts = (electrode.active_fraction, electrode.carbon_fraction, electrode.binder_fraction)
    mixture = ":".join(f"{100 * part:.0f}" for part in parts)
    note = f"{mixture} by mass, {electrode.solids_fraction:.0%} solids; thin it if it does not flow, and note how much"
    yield ("slurry", electrode.solvent, f"{slurry.solvent_mL:.2f}", "mL", note)
    film = electrode.active_loading_mg_cm2 / electrode.active_fraction
    note = f"of active material, that is, {film:.2f} mg/cm2 of dry film"
    yield ("cast", f"on {electrode.collector} foil", f"{electrode.active_loading_mg_cm2:g}", "mg/cm2", note)
    yield ("dry", "in vacuum", f"{electrode.drying_C:g}", "C", f"for {electrode.drying_h:g} h")
    note = f"{electrode.disc_area_cm2:.3f} cm2, {electrode.active_mass_mg:.2f} mg of active material each"
    yield ("punch", "discs", f"{electrode.diameter_mm:g}", "mm", f"{note}; weigh each: report capacity per gram of it")


def _cell_rows(recipe: Recipe) -> Iterator[Row]:
    cell = recipe.cell
    assembly = f"{cell.casing}; counter {cell.counter}; separator {cell.separator}"
    yield ("assemble", assembly, f"{cell.replicates}", "cells", "in a glovebox, except aqueous cells")
    yield ("fill", cell.electrolyte, f"{cell.electrolyte_uL:g}", "uL", "each cell")


def _cycling_rows(recipe: Recipe) -> Iterator[Row]:
    cycling = recipe.cycling
    yield ("cycler", "nominal capacity", f"{cycling.nominal_capacity_mAh_g:g}", "mAh/g", cycling.capacity_definition)
    window = f"{cycling.min_voltage_V:g} to {cycling.max_voltage_V:g}"
    yield ("cycler", "window", window, "V", cycling.window_from)
    scale = f"with {recipe.electrode.active_mass_mg:.2f} mg in the cell; scale it to what a disc weighs"
    yield ("cycler", "current of 1 C", f"{cycling.one_C_mA:.4f}", "mA", scale)
    where = f"of {cycling.cycler}; " if cycling.cycler else ""
    yield ("cycler", "current range", f"{cycling.range_mA:g}", "mA", f"{where}{cycling.note}".rstrip("; "))
    for step in cycling.formation:
        yield ("formation", *_step_row(step, cycling.one_C_mA))
    for step in cycling.steps:
        yield (f"cycle x{cycling.cycles}", *_step_row(step, cycling.one_C_mA))


def _step_row(step: CyclingStep, one_C_mA: float) -> tuple[str, str, str, str]:
    if isinstance(step, ConstantCurrent):
        way = "charge" if step.rate_C > 0 else "discharge"
        note = f"at {abs(step.rate_C) * one_C_mA:.4f} mA ({abs(step.rate_C):g} C), at most {step.time_limit_s:g} s"
        return (f"{way} to", f"{step.until_voltage_V:g}", "V", note)
    if isinstance(step, ConstantVoltage):
        note = f"until {step.until_rate_C * one_C_mA:.4f} mA ({step.until_rate_C:g} C), at most {step.time_limit_s:g} s"
        return ("hold", f"{step.voltage_V:g}", "V", note)
    return ("rest", f"{step.time_s:g}", "s", "")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
