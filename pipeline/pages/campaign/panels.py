"""Rows of the table of all candidates, and the panels of the Pareto plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Final, Literal

from markupsafe import Markup

from redoxa.data.records import ScreeningResult, Verdict
from redoxa.pipeline.pages.kit.downloads import deciding_reason, group_number
from redoxa.pipeline.pages.campaign.figures import PlotPoint, axis_of, pareto_plot
from redoxa.pipeline.pages.card.cards import CardView
from redoxa.pipeline.pages.kit.model import Objective, ReportData, ResultRow
from redoxa.pipeline.pages.card.strips import target_text
from redoxa.pipeline.pages.kit.text import (
    Shown,
    display_scale,
    formula_html,
    formula_text,
    label,
    prose,
    short_label,
    shown,
)

TABLE_PROPERTIES: Final = (
    "average_voltage",
    "conversion_voltage",
    "capacity_grav",
    "usable_capacity",
    "energy_grav",
    "stability_discharge",
    "stability_charge",
    "max_delta_volume",
)
"""Columns of the table, as far as any candidate has them."""

MOST_PANELS = 3


@dataclass(frozen=True)
class Column:
    """A property column: key, heading, unit."""

    name: str
    heading: str
    unit: str


@dataclass(frozen=True)
class TableRow:
    """One candidate in the table."""

    anchor: str
    card: CardView | None
    row: ResultRow
    formula: Markup
    stage: str
    reason: str
    cells: tuple[Shown | None, ...]
    on_front: bool
    group: str
    """Symbol of the space group, empty where none was found."""

    @property
    def origin(self) -> str:
        """Generator and round."""
        origin = self.row.candidate.origin
        return f"{origin.generator}, round {origin.round + 1}"


@dataclass(frozen=True)
class Panel:
    """Two objectives against one another."""

    title: str
    svg: Markup
    outside: int
    covered: int


def columns(results: Sequence[ResultRow]) -> list[Column]:
    """Columns of `TABLE_PROPERTIES` that hold a value anywhere."""
    units = {name: unit_of(name, [r for r in results if cell_of(r.result, name)]) for name in TABLE_PROPERTIES}
    return [Column(name, short_label(name), display_scale(name, unit)[1]) for name, unit in units.items() if unit]


def unit_of(name: str, results: Sequence[ResultRow]) -> str | None:
    """Unit in which a property is stored, or None where no candidate has it."""
    return next((r.result.estimates[name].unit for r in results if name in r.result.estimates), None)


def table_rows(data: ReportData, cards: Sequence[CardView]) -> list[TableRow]:
    """All candidates: those with a card first, then those that came farthest."""
    by_id = {c.row.candidate.id: c for c in cards}
    shown_columns = columns(data.results)
    front = set(data.front_ids)
    order = {Verdict.PASS: 0, Verdict.UNDETERMINED: 1, Verdict.ERROR: 2, Verdict.FAIL: 3}

    def key(row: ResultRow) -> tuple[int, int, int]:
        card = by_id.get(row.candidate.id)
        return card.number if card else 10**9, order[row.result.verdict], -len(row.result.stages)

    rows = []
    for i, row in enumerate(sorted(data.results, key=key)):
        stage, reason = deciding_reason(row.result)
        reason = prose(reason)
        cells = tuple(cell_of(row.result, c.name) for c in shown_columns)
        card, formula = by_id.get(row.candidate.id), formula_html(row.result.formula)
        group = _group_symbol(group_number(row.result.crystals.get("discharged", row.candidate.crystal)))
        rows.append(TableRow(f"row-{i}", card, row, formula, stage, reason, cells, row.candidate.id in front, group))
    return rows


@cache
def _group_symbol(number: int | None) -> str:
    """Hermann-Mauguin symbol of a space group, empty where there is none."""
    from pymatgen.symmetry.groups import sg_symbol_from_int_number

    return str(sg_symbol_from_int_number(number)) if number else ""


def cell_of(result: ScreeningResult, name: str) -> Shown | None:
    """A property as the table shows it; None where the result lacks it, or inserts at a voltage and needs no other."""
    if name == "conversion_voltage" and "average_voltage" in result.estimates:
        return None
    return shown(name, result.estimates[name]) if name in result.estimates else None


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
