"""Files inside the report: CSV and JSON of all candidates (compressed), and CIFs as data URIs."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import re
from collections.abc import Collection
from typing import Final
from urllib.parse import quote

from data.records import ScreeningResult
from pipeline.report.model import ReportData, ResultRow

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._+-]+")


def file_stem(text: str) -> str:
    """A name that is safe as a file name everywhere."""
    return _UNSAFE.sub("_", text).strip("._")[:80] or "file"


def data_uri(text: str, mime: str) -> str:
    """A ``data:`` link to a text."""
    return f"data:{mime};charset=utf-8,{quote(text, safe='()*!~')}"


def packed(text: str) -> str:
    """Gzip as base64, the same bytes every time; the page unpacks it when somebody asks for the file."""
    return base64.b64encode(gzip.compress(text.encode(), compresslevel=9, mtime=0)).decode("ascii")


def deciding_reason(result: ScreeningResult) -> tuple[str, str]:
    """Stage and text of the reason that gave a result its verdict; empty strings for one that passed."""
    for reason in result.reasons:
        if reason.verdict is result.verdict and result.verdict.value != "pass":
            return reason.stage, reason.text
    return "", ""


def csv_text(data: ReportData) -> str:
    """One row a candidate: identity, origin, verdict, reason, place, and each property with its sigma."""
    names: dict[str, str] = {}
    for row in data.results:
        for name, estimate in row.result.estimates.items():
            names.setdefault(name, estimate.unit)
    fixed = (
        "candidate_id", "formula", "working_ion", "n_atoms", "generator", "origin", "round",
        "verdict", "stage", "reason", "chosen_rank", "on_pareto_front",
    )  # fmt: skip
    columns = [c for name, unit in names.items() for c in (f"{name} ({unit})", f"{name} sigma")]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*fixed, *columns])
    front = set(data.front_ids)
    for row in data.results:
        writer.writerow([*_identity(row, row.candidate.id in front), *_values(row.result, names)])
    return buffer.getvalue()


def _identity(row: ResultRow, on_front: bool) -> list[str | int]:
    origin, (stage, reason) = row.candidate.origin, deciding_reason(row.result)
    return [
        row.candidate.id,
        _plain(row.result.formula),
        row.result.working_ion,
        row.candidate.crystal.n_atoms,
        _plain(origin.generator),
        _plain(origin.detail),
        origin.round,
        row.result.verdict.value,
        _plain(stage),
        _plain(reason),
        "" if row.rank is None else row.rank,
        int(on_front),
    ]


def _plain(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _values(result: ScreeningResult, names: dict[str, str]) -> list[float | str]:
    cells: list[float | str] = []
    for name in names:
        estimate = result.estimates.get(name)
        cells += [estimate.value, estimate.sigma] if estimate is not None else ["", ""]
    return cells


def json_text(data: ReportData, with_crystals: Collection[str]) -> str:
    """All results; crystals only of the candidates named, since those of all would outgrow the page."""
    rows = []
    for row in data.results:
        keep = row.candidate.id in with_crystals
        result = row.result.model_dump(mode="json", exclude=None if keep else {"crystals"})
        rows.append(
            {
                **result,
                "origin": row.candidate.origin.model_dump(mode="json"),
                "chosen_rank": row.rank,
                "why": row.why,
                "novelty": row.novelty,
            }
        )
    whole = {
        "campaign": data.name,
        "provenance": data.provenance.model_dump(mode="json"),
        "pareto_front": list(data.front_ids),
        "measurements": [m.model_dump(mode="json") for m in data.measurements],
        "results": rows,
    }
    return json.dumps(whole, indent=1)
