"""`redoxa screen FILE...`: anyone's structures through the same funnel as a campaign's candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from data.errors import StructureError
from data.io import read_crystals
from data.records import Candidate, Estimate, Origin, Reason, ScreeningResult, Verdict
from data.structures import primitive
from pipeline.console import progress_bars, table
from pipeline.session import DEFAULT_STORE, runs_folder
from pipeline.tables import short_columns
from screening.settings import ScreenSettings

Row = dict[str, Any]
"""One line of the command's JSON, plus ``unusable``: whether the file could not even be read."""


def assess(
    files: Sequence[Path],
    ion: str,
    campaign: Path | None,
    workers: int,
    store: str | None,
    on_row: Callable[[Row], None] | None,
) -> list[Row]:
    """Screen the primitive cells of files; rows in the order of the files, each handed to `on_row` in its turn."""
    rows: list[Row | None] = []
    candidates: dict[str, list[int]] = {}
    to_screen: list[Candidate] = []
    names: list[str] = []
    for file in files:
        try:
            for name, crystal in read_crystals(file):
                origin = Origin(generator="file", seed=0, detail=name)
                candidate = Candidate(crystal=primitive(crystal), working_ion=ion, origin=origin)
                candidates.setdefault(candidate.id, []).append(len(rows))
                if len(candidates[candidate.id]) == 1:
                    to_screen.append(candidate)
                names.append(name)
                rows.append(None)
        except StructureError as error:
            names.append(str(file))
            rows.append(_unusable(file, ion, error))
    emit = _InOrder(rows, on_row)
    emit()
    if to_screen:
        for result in _screen(to_screen, _settings(campaign, workers), store):
            for index in candidates[result.candidate_id]:
                rows[index] = _row(names[index], result)
            emit()
    return [row for row in rows if row is not None]


class _InOrder:
    """Hands finished rows on in order, each once."""

    def __init__(self, rows: list[Row | None], on_row: Callable[[Row], None] | None) -> None:
        self._rows, self._on_row, self._next = rows, on_row, 0

    def __call__(self) -> None:
        while self._next < len(self._rows) and (row := self._rows[self._next]) is not None:
            if self._on_row is not None:
                self._on_row(row)
            self._next += 1


def _settings(campaign: Path | None, workers: int) -> ScreenSettings:
    if campaign is None:
        return ScreenSettings.permissive(workers=workers, max_atoms=200)
    from pipeline.spec_file import read_spec

    return read_spec(campaign).screening.model_copy(update={"workers": workers})


def _screen(candidates: Sequence[Candidate], settings: ScreenSettings, store: str | None) -> Iterator[ScreeningResult]:
    from data.store import Store
    from pipeline.screening_context import open_context
    from screening.funnel import FunnelStats, screen

    opened = Store.open(store) if store is not None else None
    context = open_context(opened, runs_folder(store or DEFAULT_STORE))
    try:
        with progress_bars() as on_progress:
            yield from screen(candidates, settings, context, FunnelStats(), on_progress)
    finally:
        context.close()
        if opened is not None:
            opened.close()


def _row(file: str, result: ScreeningResult) -> Row:
    return {
        "file": file,
        "formula": result.formula,
        "working_ion": result.working_ion,
        "verdict": result.verdict.value,
        "reasons": [reason.model_dump(mode="json") for reason in result.reasons],
        "properties": {
            name: {"value": e.value, "sigma": e.sigma, "unit": e.unit, "method": e.method}
            for name, e in result.estimates.items()
        },
        "notes": result.notes,
        "unusable": False,
    }


def _unusable(file: Path, ion: str, error: StructureError) -> Row:
    reason = Reason(stage="read", code="unreadable", text=str(error), verdict=Verdict.ERROR)
    return {
        "file": str(file),
        "formula": None,
        "working_ion": ion,
        "verdict": Verdict.ERROR.value,
        "reasons": [reason.model_dump(mode="json")],
        "properties": {},
        "notes": {},
        "unusable": True,
    }


def print_table(rows: Sequence[Row]) -> None:
    """The main properties of each file, on stdout."""
    shown = []
    for row in rows:
        line: dict[str, object] = {"file": row["file"], "formula": row["formula"] or "", "verdict": row["verdict"]}
        line |= short_columns({n: Estimate(**p, model="") for n, p in row["properties"].items()})
        line["reason"] = "; ".join(r["text"] for r in row["reasons"] if r["verdict"] != "pass")
        shown.append(line)
    columns = list(dict.fromkeys(key for line in shown for key in line))
    columns.remove("reason")
    table("Screening", shown, [*columns, "reason"])
