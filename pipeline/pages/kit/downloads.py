"""Files inside the report: CSV and JSON of all candidates (compressed), and CIFs as data URIs."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from importlib.metadata import version
from typing import Final
from urllib.parse import quote

from redoxa.data.fingerprint import spacegroup
from redoxa.data.lab.measurement import Measurement
from redoxa.data.records import Crystal, Estimate, ScreeningResult
from redoxa.pipeline.pages.kit.model import ReportData, RequestRow, ResultRow
from redoxa.screening.doubts import doubts

SCHEMA: Final = "redoxa.results/1"
"""Raised whenever a name in `records` or in the JSON changes its meaning."""

RELAXED: Final = ("stability_discharge", "stability_charge", "average_voltage_raw")
"""Properties whose model is the potential that relaxed the crystals."""

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


def said_of(result: ScreeningResult) -> str:
    """What the crystals of a result are, for who finds a file of one: by what they were predicted."""
    if not result.crystals:
        return "A crystal as it came to Redoxa: neither relaxed nor measured."
    models = sorted({result.estimates[name].model for name in RELAXED if name in result.estimates})
    potential = " and ".join(models) or "an interatomic potential"
    return f"A prediction of Redoxa {version('redoxa')}, relaxed with {potential}; not measured."


def deciding_reason(result: ScreeningResult) -> tuple[str, str]:
    """Stage and text of the reason that gave a result its verdict; empty strings for one that passed."""
    for reason in result.reasons:
        if reason.verdict is result.verdict and result.verdict.value != "pass":
            return reason.stage, reason.text
    return "", ""


def records(data: ReportData) -> list[dict[str, object]]:
    """One flat row a candidate, the same in every file: identity, place, verdict, predicted and measured values.

    Names carry units: ``average_voltage (V)`` with ``average_voltage sigma``; measured ones begin with ``measured``.
    Rounds count from 1. What does not apply is None.
    """
    front = set(data.front_ids)
    requests = {r.request.candidate_id: r for r in data.requests}
    measured = {m.candidate_id: m for m in data.measurements}
    return [
        _identity(row, row.candidate.id in front)
        | _request(requests.get(row.candidate.id), measured.get(row.candidate.id))
        | values_by_unit("", row.result.estimates)
        | values_by_unit("measured ", m.values if (m := measured.get(row.candidate.id)) else {})
        for row in data.results
    ]


def _identity(row: ResultRow, on_front: bool) -> dict[str, object]:
    origin, (stage, reason) = row.candidate.origin, deciding_reason(row.result)
    crystal = row.result.crystals.get("discharged", row.candidate.crystal)
    return {
        "candidate_id": row.candidate.id,
        "formula": row.result.formula,
        "chemical_system": "-".join(sorted(row.candidate.crystal.composition)),
        "working_ion": row.result.working_ion,
        "n_atoms": row.candidate.crystal.n_atoms,
        "space_group": group_number(crystal),
        "generator": origin.generator,
        "origin": origin.detail,
        "round": origin.round + 1,
        "verdict": row.result.verdict.value,
        "stage": stage,
        "reason": reason,
        "in_doubt": "; ".join(r.text for r in doubts(row.result)),
        "chosen_rank": row.rank,
        "on_pareto_front": on_front,
    }


@lru_cache(maxsize=100_000)
def group_number(crystal: Crystal) -> int | None:
    """International number; None where there is none. A millisecond, and every part of a page asks again."""
    return spacegroup(crystal) or None


def _request(request: RequestRow | None, measured: Measurement | None) -> dict[str, object]:
    return {
        "request_id": request.request_id if request else None,
        "request_state": request.state.value if request else None,
        "outcome": measured.outcome.value if measured else None,
        "simulated": measured.simulated if measured else None,
    }


def values_by_unit(prefix: str, estimates: Mapping[str, Estimate]) -> dict[str, object]:
    """Values and sigmas under names with units."""
    found: dict[str, object] = {}
    for name, estimate in estimates.items():
        found[f"{prefix}{name} ({estimate.unit})"] = estimate.value
        found[f"{prefix}{name} sigma"] = estimate.sigma
    return found


def csv_text(data: ReportData) -> str:
    """The records, one a line; columns are those of all of them."""
    rows = records(data)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _plain(value) for name, value in row.items()} for row in rows)
    return buffer.getvalue()


def _plain(value: object) -> object:
    """A cell that no spreadsheet takes for a formula; truth as 0 and 1."""
    if isinstance(value, str):
        return f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
    return int(value) if isinstance(value, bool) else value


def json_text(data: ReportData, in_full: Collection[str]) -> str:
    """All results: the records, and what does not fit into one row.

    Args:
        data: of the campaign.
        in_full: candidates of which everything is written; the others' records alone, for all would outgrow a page.
    """
    rows: list[dict[str, object]] = []
    for row, record in zip(data.results, records(data), strict=True):
        if row.candidate.id not in in_full:
            rows.append({"candidate_id": row.candidate.id, "record": record})
            continue
        origin = row.candidate.origin.model_dump(mode="json") | {"round": row.candidate.origin.round + 1}
        texts = {"why": row.why, "why_not": row.why_not, "novelty": row.novelty}
        rows.append(
            {**row.result.model_dump(mode="json"), "origin": origin, "chosen_rank": row.rank, **texts, "record": record}
        )
    whole = {
        "schema": SCHEMA,
        "campaign": data.name,
        "provenance": data.provenance.model_dump(mode="json"),
        "pareto_front": list(data.front_ids),
        "measurements": [m.model_dump(mode="json") for m in data.measurements],
        "results": rows,
    }
    return json.dumps(whole, indent=1)
