"""Provenance of a shipped file: what made it, from what, and whose work that rests on. Written beside it as JSON."""

from __future__ import annotations

import hashlib
import json
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import Field, JsonValue

from redoxa.data.errors import InputError
from redoxa.data.records import Record


class Source(Record):
    """Something a file was made from.

    `attribution` is the sentence that has to stay with the file, licence and citation included; `sha256` is of the
    input file.
    """

    name: str
    attribution: str
    sha256: str = ""
    rows: int | None = Field(default=None, ge=0)


class Provenance(Record):
    """How a file came to be: enough to make it again and to give credit."""

    file: str
    sha256: str
    command: str
    """What makes it again."""
    created: str
    """UTC, ISO 8601."""
    versions: dict[str, str]
    sources: tuple[Source, ...]
    facts: dict[str, JsonValue] = {}
    """Counts, settings and measured figures."""


MATERIALS_PROJECT = (
    "Materials Project (CC BY 4.0), A. Jain et al., APL Materials 1, 011002 (2013), doi:10.1063/1.4812323; "
    "through the MP-20 and MPTS-52 benchmark sets (T. Xie et al., ICLR 2022, arXiv:2110.06197; "
    "S. G. Baird et al., JOSS 9, 5618 (2024), doi:10.21105/joss.05618)"
)
"""Attribution of the crystal data."""

CHGNET = (
    "CHGNet 0.3.0 (BSD-3-Clause), B. Deng et al., Nat. Mach. Intell. 5, 1031 (2023), doi:10.1038/s42256-023-00716-3"
)
"""Attribution of the default potential."""


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def installed_versions(*packages: str) -> dict[str, str]:
    """Versions of Python and of the named packages that are installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def write_provenance(
    file: Path,
    command: str,
    sources: tuple[Source, ...],
    packages: tuple[str, ...] = (),
    facts: dict[str, JsonValue] | None = None,
) -> Provenance:
    """Write the record of `file` to ``<file>.json`` beside it and return it."""
    record = Provenance(
        file=file.name,
        sha256=sha256_of(file),
        command=command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=installed_versions(*packages),
        sources=sources,
        facts=facts or {},
    )
    target = provenance_path(file)
    target.write_text(json.dumps(record.model_dump(mode="json"), indent=2) + "\n", encoding="utf-8")
    return record


def read_provenance(file: Path) -> Provenance:
    """The record beside `file`.

    Raises:
        InputError: it is missing or is no such record.
    """
    target = provenance_path(file)
    try:
        return Provenance.model_validate_json(target.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{target}: cannot be read as a provenance record ({error})") from error


def provenance_path(file: Path) -> Path:
    """``known_materials.parquet`` -> ``known_materials.json``, in the same folder."""
    return file.with_suffix(".json")
