"""Results that people type or export: JSON or CSV in, checked measurements out. Nothing in them is ever executed.

JSON, one request a file: ``{"request_id": "...", "outcome": "success", "values": {"average_voltage": {"value": 3.41,
"sigma": 0.01}, "capacity_grav": {"value": 152}}, "phase_purity": {"value": 0.97}, "raw_files": ["cell-1.csv"],
"measured_on": "2026-01-31", "note": "..."}``.

CSV, any number of requests, one value a line:
``request_id,outcome,property,value,sigma,unit,raw_file,measured_on,note``.

`outcome` is success, target_not_formed, cell_failure, or failed (it was not carried out; `note` says why). Values that
are null, as in the template, were not measured. Numbers are numbers: without quotes in JSON, and with a decimal point.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from redoxa.data.errors import DriverError
from redoxa.data.lab.measurement import Measurement, Outcome
from redoxa.data.records import Estimate
from redoxa.robotics.files import read_plain
from redoxa.robotics.queue.judge import PURITY, RANGES, VOLTAGE, why_impossible

ASSUMED_RSD = 0.02
"""Relative uncertainty of a value that came without one (ODACell, doi:10.1039/D3DD00058C)."""

MAX_BYTES = 1 << 20
COLUMNS = ("request_id", "outcome", "property", "value", "sigma", "unit", "raw_file", "measured_on", "note")

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_THOUSANDS = re.compile(r"[0-9]{1,3}\.[0-9]{3}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class ResultError(Exception):
    """A result file that cannot be taken, and why."""


class Value(BaseModel):
    """A reported number."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    value: float
    sigma: float | None = None
    unit: str | None = None

    @field_validator("value", "sigma", mode="before")
    @classmethod
    def _number(cls, raw: Any) -> Any:
        if isinstance(raw, bool | str):
            hint = ", with a decimal point, 3.41 and not 3,41" if isinstance(raw, str) else ""
            raise ValueError(f"{json.dumps(raw)[:40]} is not a number; write it without quotes{hint}")
        return raw


class Result(BaseModel):
    """What a person reports of one request."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    request_id: str = Field(min_length=1, max_length=64)
    outcome: Literal["success", "target_not_formed", "cell_failure", "failed"]
    values: dict[str, Value] = {}
    phase_purity: Value | None = None
    raw_files: tuple[str, ...] = ()
    measured_on: date | None = None
    note: str = Field(default="", max_length=2000)

    @field_validator("measured_on", mode="before")
    @classmethod
    def _day(cls, raw: Any) -> Any:
        """A day, written in the one way that nobody can misread."""
        if raw is None or (isinstance(raw, str) and _DATE.fullmatch(raw)):
            return raw
        raise ValueError("a day is written year-month-day, like 2026-01-31")

    @model_validator(mode="before")
    @classmethod
    def _unmeasured(cls, raw: Any) -> Any:
        """What the template left open is left out."""
        if not isinstance(raw, dict):
            return raw
        kept = {name: value for name, value in raw.items() if name != "phase_purity" or not _is_open(value)}
        if isinstance(values := raw.get("values"), dict):
            kept["values"] = {name: value for name, value in values.items() if not _is_open(value)}
        return kept

    @model_validator(mode="after")
    def _sensible(self) -> Result:
        if (self.outcome == "success") != bool(self.values):
            raise ValueError(
                "values are given with outcome 'success', and only then; without any, the outcome is "
                "target_not_formed, cell_failure or failed"
            )
        if any(ord(letter) < 32 and letter not in "\n\t" for letter in self.note):
            raise ValueError("the note holds control characters; write it as plain text")
        if self.outcome == "failed" and not self.note:
            raise ValueError("outcome 'failed' needs a note that says why")
        for name, value in self.values.items():
            _check_value(name, value)
        if self.phase_purity is not None:
            _check_value(PURITY, self.phase_purity)
        return self


def _is_open(value: Any) -> bool:
    """Whether an entry of the template was not filled in."""
    return isinstance(value, dict) and value.get("value") is None and value.get("sigma") is None


def read_results(path: Path) -> list[Result]:
    """Results of a file, all of them sound.

    Raises:
        ResultError: with the first thing that is wrong, for the person who wrote it.
    """
    try:
        text = read_plain(path, MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ResultError("not a text file in UTF-8") from None
    except DriverError as error:
        hint = ": cycler data belong in raw/, named under raw_files" if "larger" in str(error) else ""
        raise ResultError(f"{error}{hint}") from None
    if not text.strip():
        raise ResultError("empty: Invalid JSON" if is_json(path) else "empty: missing columns, and holds no results")
    try:
        return [_from_json(text)] if is_json(path) else _from_csv(text)
    except csv.Error as error:
        raise ResultError(f"not a CSV file: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ResultError(f"{where}: {first['msg']}" if where else str(first["msg"])) from None


def is_json(path: Path) -> bool:
    """Whether a result file is JSON by its name; CSV otherwise."""
    return path.suffix.lower() == ".json"


def _from_json(text: str) -> Result:
    # Pydantic first: it bounds the depth. Of a name that is given twice it would take the last, so that is looked for.
    result = Result.model_validate_json(text)
    try:
        json.loads(text, object_pairs_hook=_once)
    except (RecursionError, ValueError) as error:
        raise ResultError(f"Invalid JSON: {error}") from None
    return result


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise ResultError(f"'{name}' is given twice; which of the two is meant?")
        seen.add(name)
    return dict(pairs)


def to_measurement(result: Result, candidate_id: str, raw_files: dict[str, str], raw_sha256: str) -> Measurement:
    """Measurement of a result that has one (`outcome` other than failed)."""
    return Measurement(
        request_id=result.request_id,
        candidate_id=candidate_id,
        outcome=Outcome(result.outcome),
        values={name: _estimate(name, value) for name, value in sorted(result.values.items())},
        phase_purity=None if result.phase_purity is None else _estimate(PURITY, result.phase_purity),
        raw_files=raw_files,
        raw_sha256=raw_sha256,
        simulated=False,
        note="; ".join(filter(None, (result.note, f"measured on {result.measured_on}" if result.measured_on else ""))),
    )


def _check_value(name: str, value: Value) -> None:
    if name not in RANGES or (name == PURITY and value.unit not in (None, "")):
        raise ValueError(f"'{name}' is not a property that can be reported. Known: {', '.join(sorted(RANGES))}")
    unit = RANGES[name][0]
    if value.unit not in (None, unit):
        raise ValueError(f"{name} is reported in {unit or 'no unit'}, not in {value.unit}")
    if why := why_impossible(name, value.value, value.sigma):
        raise ValueError(why)


def _estimate(name: str, value: Value) -> Estimate:
    assumed = value.sigma is None
    sigma = ASSUMED_RSD * abs(value.value) if value.sigma is None else value.sigma
    method = "reported by the laboratory" + (", sigma assumed 2 %" if assumed else "")
    return Estimate(value=value.value, sigma=sigma, unit=RANGES[name][0], method=method, model="laboratory")


def _from_csv(text: str) -> list[Result]:
    first_line = text.partition("\n")[0]
    # Spreadsheets of half of Europe write semicolons.
    delimiter = ";" if first_line.count(";") > first_line.count(",") else ","
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter)
    missing = {"request_id", "outcome"} - set(reader.fieldnames or ())
    unknown = set(reader.fieldnames or ()) - set(COLUMNS)
    if missing or unknown:
        wrong = ", ".join(sorted(str(name) for name in missing or unknown))
        raise ResultError(f"{'missing' if missing else 'unknown'} columns: {wrong}. Columns are {','.join(COLUMNS)}")
    rows: dict[str, list[tuple[int, dict[str, str]]]] = {}
    for line, row in enumerate(reader, start=2):
        if None in row or None in row.values():
            raise ResultError(
                f"line {line}: has another number of columns than the header; numbers have a decimal point, 3.41"
            )
        cells = {name: cell.strip() for name, cell in row.items()}
        if any(cells.values()):
            rows.setdefault(cells["request_id"], []).append((line, cells))
    if not rows:
        raise ResultError("holds no results")
    return [_join(request_id, group) for request_id, group in rows.items()]


def _join(request_id: str, group: list[tuple[int, dict[str, str]]]) -> Result:
    """One result from the lines of one request."""
    outcomes = {cells["outcome"] for _, cells in group}
    if len(outcomes) > 1:
        raise ResultError(f"request {request_id} has several outcomes: {', '.join(sorted(outcomes))}")
    values: dict[str, Value] = {}
    for line, cells in group:
        name = cells.get("property", "")
        if not name:
            continue
        if name in values:
            raise ResultError(f"line {line}: {name} of request {request_id} is given twice")
        values[name] = _number(line, cells)
    purity = values.pop(PURITY, None)
    raw_files = tuple(dict.fromkeys(cells["raw_file"] for _, cells in group if cells.get("raw_file")))
    notes = dict.fromkeys(cells["note"] for _, cells in group if cells.get("note"))
    days = {cells["measured_on"] for _, cells in group if cells.get("measured_on")}
    if len(days) > 1:
        raise ResultError(f"request {request_id} has several days in measured_on: {', '.join(sorted(days))}")
    fields = {"request_id": request_id, "outcome": outcomes.pop(), "values": values, "phase_purity": purity}
    told = {"raw_files": raw_files, "measured_on": days.pop() if days else None, "note": "; ".join(notes)}
    return Result.model_validate({**fields, **told})


def _number(line: int, cells: Mapping[str, str]) -> Value:
    sigma, unit = cells.get("sigma", ""), cells.get("unit") or None
    try:
        value = _float(cells.get("value", ""))
        _ensure_clear(cells["property"], cells.get("value", ""), value)
        return Value(value=value, sigma=_float(sigma) if sigma else None, unit=unit)
    except ValidationError:
        text = f"value '{cells.get('value', '')}' or sigma '{sigma}'"
        raise ResultError(f"line {line}: {text} is not a number that can be taken") from None
    except ResultError as error:
        raise ResultError(f"line {line}: {error}") from None


def _float(text: str) -> float:
    """A number as it is written in English, and in no other way; Python itself takes 1_000 and digits of any script."""
    if _NUMBER.fullmatch(text):
        return float(text)
    plain, point = re.sub(r"[ '_,]", "", text), text.replace(",", ".")
    if text.count(",") == 1 and _NUMBER.fullmatch(point):
        whole = f", or {plain} if that is meant" if _THOUSANDS.fullmatch(point) else ""
        raise ResultError(f"'{text}' has a decimal comma; write {point}{whole}")
    hint = f"; write {plain}" if _NUMBER.fullmatch(plain) else ""
    raise ResultError(f"'{text}' is not a number that can be taken{hint}")


def _ensure_clear(name: str, text: str, value: float) -> None:
    """Refuse 1.234 where 1,234 is as likely to be meant."""
    if (
        name in RANGES
        and name not in (VOLTAGE, PURITY)
        and RANGES[name][0]
        and value < 10
        and _THOUSANDS.fullmatch(text)
    ):
        raise ResultError(f"'{text}' may be {text.replace('.', '')} or {text}0; write it so that it can be but one")
