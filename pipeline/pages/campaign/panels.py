"""The panels of the Pareto plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from markupsafe import Markup

from redoxa.data.records import Verdict
from redoxa.pipeline.pages.campaign.figures import PlotPoint, axis_of, pareto_plot
from redoxa.pipeline.pages.card.strips import target_text
from redoxa.pipeline.pages.card.table import TableRow, unit_of
from redoxa.pipeline.pages.kit.model import Objective, ReportData
from redoxa.pipeline.pages.kit.text import (
    display_scale,
    formula_text,
    label,
    short_label,
    shown,
)

MOST_PANELS = 3


@dataclass(frozen=True)
class Panel:
    """Two objectives against one another."""

    title: str
    svg: Markup
    outside: int
    covered: int


def pareto_panels(data: ReportData, rows: Sequence[TableRow]) -> list[Panel]:
    """Up to three pairs of objectives; with one objective, that one against voltage or capacity."""
    panels = []
    for first, second in list(combinations(_plottable(data), 2))[:MOST_PANELS]:
        points = [p for row in rows if (p := _point(row, first.name, second.name)) is not None]
        units = unit_of(first.name, data.results), unit_of(second.name, data.results)
        if not points:
            continue
        plot = pareto_plot(points, axis_of(first, units[0] or ""), axis_of(second, units[1] or ""))
        panels.append(
            Panel(
                f"{short_label(second.name)} vs {short_label(first.name).lower()}", plot.svg, plot.outside, plot.covered
            )
        )
    return panels


def _plottable(data: ReportData) -> list[Objective]:
    """Objectives that some candidate has a value for, in the campaign's order, made up to two."""
    wanted = list(data.objectives)
    for name in ("average_voltage", "usable_capacity"):
        if len(wanted) < 2 and all(o.name != name for o in wanted):
            wanted.append(Objective(name=name))
    return [o for o in wanted if unit_of(o.name, data.results) is not None]


def _point(row: TableRow, x_name: str, y_name: str) -> PlotPoint | None:
    estimates = row.row.result.estimates
    if x_name not in estimates or y_name not in estimates:
        return None
    x, y = shown(x_name, estimates[x_name]), shown(y_name, estimates[y_name])
    kind: Literal["front", "passed", "other"] = "other"
    if row.on_front:
        kind = "front"
    elif row.row.result.verdict is Verdict.PASS:
        kind = "passed"
    name = formula_text(row.row.result.formula)
    lines = [name, f"{short_label(x_name)} {x.text}", f"{short_label(y_name)} {y.text}"]
    lines.append(_standing(row))
    href = f"#{row.card.anchor}" if row.card else f"#{row.anchor}"
    number = row.card.number if row.card else None
    return PlotPoint(x.number, y.number, x.spread, y.spread, kind, number, name, "\n".join(lines), href)


def _standing(row: TableRow) -> str:
    if row.on_front:
        return "on the Pareto front"
    if row.row.result.verdict is Verdict.PASS:
        return "passed, off the front"
    verdict = row.row.result.verdict.value
    return f"{verdict} at {row.stage.replace('_', ' ')}" if row.stage else verdict


def targets(data: ReportData) -> list[tuple[str, str]]:
    """Objectives in words: name and range."""
    found = []
    for objective in data.objectives:
        stored = unit_of(objective.name, data.results) or _usual_unit(objective.name)
        factor, unit = display_scale(objective.name, stored)
        low, high = (None if v is None else factor * v for v in (objective.min, objective.max))
        words = target_text(low, high, unit) if (low, high) != (None, None) else "any value"
        found.append((label(objective.name), words))
    return found


def _usual_unit(name: str) -> str:
    """Unit of a property when no candidate shows it yet."""
    return {
        "average_voltage": "V",
        "max_voltage_step": "V",
        "capacity_grav": "mAh/g",
        "capacity_vol": "mAh/cm3",
        "usable_capacity": "mAh/g",
        "energy_grav": "Wh/kg",
        "energy_vol": "Wh/l",
        "stability_discharge": "eV/atom",
        "stability_charge": "eV/atom",
    }.get(name, "")
