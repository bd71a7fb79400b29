"""Reading ``laboratory.yaml``, and which laboratory holds where a command runs.

Nothing is guessed: a quoted ``"yes"``, a number in quotes and a temperature in kelvin are refused, each with its line.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import unicodedata
from collections.abc import Hashable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from redoxa.data.errors import InputError
from redoxa.data.lab.laboratory import Cycler, Furnace, Laboratory
from redoxa.data.synthesis.catalogue import default_catalogue
from redoxa.pipeline.yaml_file import Kind, Location, Mistake, mistakes_of, name_after, read_document

LABORATORY: Final = "REDOXA_LABORATORY"
"""Environment variable that names the file."""

DEFAULT_FILE: Final = Path("laboratory.yaml")
"""Read where the variable names none."""

EXAMPLE: Final = Path(__file__).parents[1] / "templates" / "laboratory.yaml"
"""An example with every field, for people."""

KIND: Final = Kind("laboratory file", "`redoxa lab example` prints an example.")
MAX_CYCLER_V: Final = 100.0
KELVIN: Final = 273.15


def read_laboratory(path: Path) -> Laboratory:
    """Read and validate a laboratory file.

    Raises:
        InputError: one message with every mistake on a line of its own, each as ``file:line:column: what. What to do``.
    """
    document = read_document(path, KIND)
    mistakes = [*_twice(document.data), *_stock(document.data), *_furnaces(document.data), *_cyclers(document.data)]
    named_twice = any("twice" in mistake.text for mistake in mistakes)
    text = json.dumps({"name": name_after(path), **document.data}, default=str)
    try:
        # From JSON, and strictly: lists may be tuples and sets, but no text may be a number or a yes.
        laboratory = Laboratory.model_validate_json(text, strict=True)
    except ValidationError as error:
        found = [_with_hint(mistake, document.data) for mistake in mistakes_of(error, Laboratory)]
        mistakes += [m for m in found if not (named_twice and m.where == ())]
        document.refuse(mistakes)
        raise
    document.refuse(mistakes)
    return laboratory


def laboratory_file() -> Path | None:
    """The file that says what the laboratory has, or None where there is none.

    Raises:
        InputError: REDOXA_LABORATORY names a file that is not there.
    """
    if named := os.environ.get(LABORATORY):
        path = Path(named).expanduser()
        if not path.exists():
            raise InputError(f"{named}: no such file, and {LABORATORY} names it. Correct the variable, or unset it.")
        return path
    return DEFAULT_FILE if os.path.lexists(DEFAULT_FILE) else None


def current_laboratory() -> Laboratory:
    """The laboratory of this working folder: its file, else the careful default. A file is read again once it changed.

    Raises:
        InputError: the file that is named is not there, or holds mistakes.
    """
    path = laboratory_file()
    if path is None:
        return Laboratory()
    try:
        found = path.stat()
    except OSError:
        return read_laboratory(path)  # which says what is wrong with it
    return _read(path, path.resolve(), found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=8)
def _read(path: Path, _whole: Path, _mtime_ns: int, _size: int) -> Laboratory:
    return read_laboratory(path)


def _with_hint(mistake: Mistake, data: Any) -> Mistake:
    """The mistake, with what may be meant where a value looks like one in another unit."""
    value, hint = _value_at(mistake.where, data), ""
    name = mistake.where[-1] if mistake.where else ""
    if _is_number(value) and name == "max_temperature_C" and value > 1700:
        hint = f". In C, not in kelvin: {value:g} K are {value - KELVIN:.0f} C"
    if _is_number(value) and name == "purity" and 1 < value <= 100:
        hint = f". As a fraction: {value:g} % is {value / 100:g}"
    return Mistake(mistake.where, mistake.text + hint, mistake.is_key)


def _value_at(where: Location, data: Any) -> Any:
    """What stands at a path; None where there is nothing."""
    for part in where:
        try:
            data = data[part]
        except (LookupError, TypeError):
            return None
    return data


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _parts(data: dict[str, Any], section: str) -> Iterator[tuple[Location, dict[str, Any]]]:
    """The entries of a list that are mappings, as they should be; what else stands there is told by their type."""
    listed = data.get(section)
    for i, part in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(part, dict):
            yield (section, i), part


def _twice(data: dict[str, Any]) -> Iterator[Mistake]:
    """Names and values that a list holds a second time."""
    for section, key, default in (
        ("furnaces", "name", Furnace().name),
        ("cyclers", "name", Cycler().name),
        ("benches", "name", None),
        ("people", "name", None),
        ("stock", "formula", None),
    ):
        seen: set[object] = set()
        for where, part in _parts(data, section):
            name = part.get(key, default)
            plain = name.strip().casefold() if section == "people" and isinstance(name, str) else name
            if isinstance(plain, str) and plain in seen:
                told = f"'{name}' is listed twice" if key in part else f"without a name it is '{name}', listed twice"
                text = f"{told}. Keep one of them." if section == "stock" else f"{told}. Give each its own name."
                yield Mistake((*where, key), text)
            seen.add(plain if isinstance(plain, Hashable) else None)
            for inner, values in part.items():
                yield from _same_values((*where, inner), values)


def _same_values(where: Location, values: object) -> Iterator[Mistake]:
    if not isinstance(values, list):
        return
    for i, value in enumerate(values):
        if isinstance(value, str | int | float) and value in values[:i]:
            yield Mistake((*where, i), f"{value} is listed twice. Keep one of them.")


def _stock(data: dict[str, Any]) -> Iterator[Mistake]:
    """Powders that the catalogue does not hold, with the spelling that is meant."""
    for where, part in _parts(data, "stock"):
        formula = part.get("formula")
        if isinstance(formula, str) and default_catalogue().get(formula) is None:
            yield Mistake((*where, "formula"), f"'{formula}' is not in the catalogue. {_meant(formula)}")


def _meant(formula: str) -> str:
    catalogue = default_catalogue()
    spelled = {_letters(p.formula): p.formula for p in catalogue.precursors}
    named = {p.name.casefold(): p.formula for p in catalogue.precursors}
    meant = spelled.get(_letters(formula)) or named.get(formula.strip().casefold())
    if meant is not None:
        return f"Write {meant}"
    near = difflib.get_close_matches(formula, catalogue.by_formula, n=3, cutoff=0.6)
    hint = f"Did you mean {' or '.join(repr(x) for x in near)}? " if near else ""
    return f"{hint}All {len(catalogue.precursors)} formulas are in data/synthesis/precursors.yaml"


def _letters(formula: str) -> str:
    """Letters and digits alone: the middle dot of a hydrate is written in many ways, and digits may stand below."""
    return re.sub(r"[^A-Za-z0-9()]", "", unicodedata.normalize("NFKD", formula))


def _furnaces(data: dict[str, Any]) -> Iterator[Mistake]:
    """Furnaces that cannot be as they are described."""
    for where, part in _parts(data, "furnaces"):
        if part.get("scrubber") is True and part.get("exhaust") is False:
            yield Mistake((*where, "scrubber"), "a scrubber washes what an exhaust draws; here `exhaust` is false")
        slow, fast = (
            part.get(f"{end}_ramp_C_per_min", getattr(Furnace(), f"{end}_ramp_C_per_min")) for end in ("min", "max")
        )
        if _is_number(slow) and _is_number(fast) and slow > fast:
            key = next(k for k in ("min_ramp_C_per_min", "max_ramp_C_per_min") if k in part)
            yield Mistake((*where, key), f"the slowest ramp, {slow:g} C/min, is above the fastest, {fast:g} C/min")
        for name, what in (("atmospheres", "gas"), ("vessels", "vessel")):
            if part.get(name) == []:
                yield Mistake((*where, name), f"a furnace without any {what} fires nothing. Leave the furnace out")


def _cyclers(data: dict[str, Any]) -> Iterator[Mistake]:
    """Voltages that can only be in another unit."""
    for where, part in _parts(data, "cyclers"):
        for name in ("min_V", "max_V"):
            volts = part.get(name)
            if isinstance(volts, int | float) and abs(volts) > MAX_CYCLER_V:
                yield Mistake((*where, name), f"in V, not in mV: {volts:g} mV are {volts / 1000:g} V")
