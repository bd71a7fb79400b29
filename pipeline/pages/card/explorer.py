"""The table of all results as data for the page's script: its rows as compact JSON, and what one row opens in blocks.

A page of rows is in the report as HTML as well, for readers without JavaScript. Blocks are packed one by one, so that
opening a row unpacks the hundred that it lies among and no more.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ase.data import atomic_numbers, chemical_symbols, covalent_radii
from markupsafe import Markup

from redoxa.data.records import Crystal, plain_formula
from redoxa.pipeline.pages.card.table import Column, TableRow
from redoxa.pipeline.pages.kit.downloads import packed, said_of
from redoxa.pipeline.pages.kit.elements import colour
from redoxa.pipeline.pages.kit.text import label, prose, shown
from redoxa.pipeline.pages.kit.viewer import NONMETALS, radius
from redoxa.screening.labels import humanise

PAGE_ROWS: Final = 100
"""Rows on a page of the table, and in a block."""

COORDINATE_STEPS: Final = 100_000
"""Fractional coordinates are whole numbers of this part of a lattice vector."""


@dataclass(frozen=True)
class Explorer:
    """What the template of the table needs beside its rows.

    Attributes:
        data: rows of the table as JSON, column by column.
        blocks: details of each hundred rows, packed.
        elements: those that occur, by atomic number.
        groups: space groups with how many candidates have them, the most frequent first.
    """

    data: Markup
    blocks: tuple[str, ...]
    elements: tuple[str, ...]
    groups: tuple[tuple[str, int], ...]


def explorer(rows: Sequence[TableRow], columns: Sequence[Column]) -> Explorer:
    """Everything that the script of the table reads, in the order of the rows."""
    symbols = sorted({s for row in rows for s in row.row.candidate.crystal.composition}, key=atomic_numbers.__getitem__)
    blocks = (rows[i : i + PAGE_ROWS] for i in range(0, len(rows), PAGE_ROWS))
    counts = Counter(row.group for row in rows if row.group)
    return Explorer(
        data=_inline(_table(rows, columns, symbols)),
        blocks=tuple(packed(_compact([_detail(row) for row in block])) for block in blocks),
        elements=tuple(symbols),
        groups=tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
    )


def _table(rows: Sequence[TableRow], columns: Sequence[Column], symbols: Sequence[str]) -> dict[str, object]:
    ion = rows[0].row.result.working_ion if rows else ""
    return {
        "pageRows": PAGE_ROWS,
        "steps": COORDINATE_STEPS,
        "ion": ion,
        "elements": {s: _look(s, ion) for s in symbols},
        "columns": [c.name for c in columns],
        "cells": [[_cell_text(row, i) for row in rows] for i in range(len(columns))],
        "formula": [plain_formula(row.row.result.formula) for row in rows],
        "id": [row.row.candidate.id for row in rows],
        "card": [row.card.number for row in rows if row.card],
        "chosen": [i for i, row in enumerate(rows) if row.row.rank is not None],
        "reason": [row.reason for row in rows],
        "verdict": _coded(row.row.result.verdict.value for row in rows),
        "group": _coded(row.group for row in rows),
        "stage": _coded(humanise(row.stage) for row in rows),
        "origin": _coded(row.origin for row in rows),
    }


def _cell_text(row: TableRow, column: int) -> str | None:
    cell = row.cells[column]
    return None if cell is None else f"{cell.value} ± {cell.sigma}" if cell.sigma else cell.value


def _coded(texts: Iterable[str]) -> dict[str, list[str] | list[int]]:
    """Texts of which few differ, as their kinds and one number each."""
    kinds: dict[str, int] = {}
    codes = [kinds.setdefault(text, len(kinds)) for text in texts]
    return {"kinds": list(kinds), "codes": codes}


def _look(symbol: str, ion: str) -> tuple[str, float, float, bool]:
    """Colour, drawn radius, covalent radius (both in Angstrom), and whether it is a nonmetal."""
    bonding = round(float(covalent_radii[atomic_numbers[symbol]]), 2)
    return colour(symbol), radius(symbol, ion), bonding, symbol in NONMETALS


def _detail(row: TableRow) -> dict[str, object]:
    """What the panel of one row tells beyond the table."""
    result = row.row.result
    crystals = result.crystals or {"as_given": row.row.candidate.crystal}
    return {
        "why": row.row.why,
        "whyNot": row.row.why_not,
        "novelty": row.row.novelty,
        "from": row.row.candidate.origin.detail,
        "said": said_of(result),
        "reasons": [[humanise(r.stage), prose(r.text), r.verdict.value] for r in result.reasons],
        "numbers": [[label(name), shown(name, e).text] for name, e in result.estimates.items()],
        "profile": [[s.x_charge, s.x_discharge, s.voltage_V] for s in result.profile],
        "crystals": {humanise(name): _crystal(c) for name, c in crystals.items()},
    }


def _crystal(crystal: Crystal) -> dict[str, object]:
    return {
        "cell": [x for vector in crystal.lattice_A for x in vector],
        "sites": [chemical_symbols[z] for z in crystal.numbers],
        "at": [round(x * COORDINATE_STEPS) for site in crystal.frac_coords for x in site],
    }


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _inline(value: object) -> Markup:
    """JSON that no text within can leave its script element by."""
    return Markup(_compact(value).replace("<", "\\u003c"))
