"""The table of `redoxa screen`, and below it what there is to say of each structure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from redoxa.data.records import ScreeningResult, Verdict, plain_formula, plain_formulas
from redoxa.pipeline.commands.console import say, table
from redoxa.pipeline.results.screening import Screened
from redoxa.pipeline.results.tables import in_order, short_columns
from redoxa.screening.doubts import doubts


def print_table(rows: Sequence[Screened]) -> None:
    """The main properties of each file on stdout, and below what there is to say of it."""
    shown: list[dict[str, object]] = []
    told: list[str] = []
    names = [Path(row.name).name for row in rows]
    for row, name in zip(rows, names if len(set(names)) == len(names) else [row.name for row in rows], strict=True):
        found = row.result
        line: dict[str, object] = {"file": name, "formula": plain_formula(found.formula) if found else ""}
        line["verdict"] = (found.verdict if found else Verdict.ERROR).value
        shown.append(line | short_columns(found.estimates if found else {}))
        told += [f"{name}: read with a remark: {text}" for text in row.remarks]
        told += [f"{name}: {text}" for text in (_told(found) if found else ())]
    table("Screening", shown, in_order(shown, ["file", "formula", "verdict"]))
    for text in told:
        say(text)


def _told(result: ScreeningResult) -> list[str]:
    """Why a candidate did not pass, and what is unusual about one that did; each once."""
    stopped = [r.text for r in result.reasons if r.verdict is not Verdict.PASS]
    return list(dict.fromkeys(plain_formulas(text) for text in [*stopped, *(r.text for r in doubts(result))]))
