"""A recipe as a work list that a person can follow: one line a step, for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from data.lab import ConstantCurrent, ConstantVoltage, CyclingStep, ExperimentRequest, Firing, Recipe, Synthesis
from robotics.wording import reaction_text, warnings

HEADER = ("request_id", "section", "step", "what", "quantity", "unit", "note")

Row = tuple[str, str, str, str, str]
"""Section, what, quantity, unit, note."""


def work_list_csv(request_id: str, request: ExperimentRequest) -> str:
    """The whole recipe as CSV, in the order of the work."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    for step, row in enumerate(work_rows(request), start=1):
        section, what, quantity, unit, note = row
        writer.writerow([request_id, section, step, *(harmless(x) for x in (what, quantity, unit, note))])
    return out.getvalue()


def harmless(text: str) -> str:
    """Text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "@", "\t", "\r") or (text[:1] == "-" and not _is_number(text)) else text


def work_rows(request: ExperimentRequest) -> Iterator[Row]:
    """Lines of the work list."""
    recipe = request.recipe
    yield ("target", request.formula, f"{recipe.synthesis.target_mass_g:g}", "g", reaction_text(recipe.synthesis))
    yield from _synthesis_rows(recipe)
    yield from _cell_rows(recipe)
    yield from _cycling_rows(recipe)


def _synthesis_rows(recipe: Recipe) -> Iterator[Row]:
    synthesis = recipe.synthesis
    yield ("safety", "handling", synthesis.handling, "", " ".join(warnings(synthesis)))
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


def _cell_rows(recipe: Recipe) -> Iterator[Row]:
    electrode, cell = recipe.electrode, recipe.cell
    parts = (electrode.active_fraction, electrode.carbon_fraction, electrode.binder_fraction)
    mixture = ":".join(f"{100 * part:.0f}" for part in parts)
    yield ("slurry", f"active : carbon : {electrode.binder}", mixture, "mass", f"in {electrode.solvent}")
    yield ("cast", f"on {electrode.collector} foil", f"{electrode.loading_mg_cm2:g}", "mg/cm2", "")
    yield ("dry", "in vacuum", f"{electrode.drying_C:g}", "C", f"for {electrode.drying_h:g} h")
    yield ("punch", "discs", f"{electrode.diameter_mm:g}", "mm", "weigh each: report capacity per gram of active mass")
    assembly = f"{cell.casing}; counter {cell.counter}; separator {cell.separator}"
    yield ("assemble", assembly, f"{cell.replicates}", "cells", "in a glovebox, except aqueous cells")
    yield ("fill", cell.electrolyte, f"{cell.electrolyte_uL:g}", "uL", "each cell")


def _cycling_rows(recipe: Recipe) -> Iterator[Row]:
    cycling = recipe.cycling
    yield (
        "cycler",
        "nominal capacity",
        f"{cycling.nominal_capacity_mAh_g:g}",
        "mAh/g",
        f"{cycling.capacity_definition}; limits {cycling.min_voltage_V:g} to {cycling.max_voltage_V:g} V",
    )
    for step in cycling.formation:
        yield ("formation", *_step_row(step))
    for step in cycling.steps:
        yield (f"cycle x{cycling.cycles}", *_step_row(step))


def _step_row(step: CyclingStep) -> tuple[str, str, str, str]:
    if isinstance(step, ConstantCurrent):
        way = "charge" if step.rate_C > 0 else "discharge"
        note = f"at {abs(step.rate_C):g} C, at most {step.time_limit_s:g} s"
        return (f"{way} to", f"{step.until_voltage_V:g}", "V", note)
    if isinstance(step, ConstantVoltage):
        note = f"until {step.until_rate_C:g} C, at most {step.time_limit_s:g} s"
        return ("hold", f"{step.voltage_V:g}", "V", note)
    return ("rest", f"{step.time_s:g}", "s", "")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
