"""The table of candidates: its columns, and a row for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from markupsafe import Markup

from redoxa.data.records import ScreeningResult, Verdict
from redoxa.pipeline.pages.card.cards import CardView
from redoxa.pipeline.pages.kit.downloads import deciding_reason, group_number
from redoxa.pipeline.pages.kit.model import ReportData, ResultRow
from redoxa.pipeline.pages.kit.text import Shown, display_scale, formula_html, prose, short_label, shown

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
