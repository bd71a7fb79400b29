"""`redoxa export`: a campaign's results as CSV, JSON, Parquet, a zip of CIFs or extended XYZ."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

from data.errors import InputError, suggest
from data.io import write_cif_zip, write_extxyz
from data.records import Crystal, ScreeningResult
from pipeline.session import Session
from pipeline.tables import results_frame


def _csv(session: Session, path: Path) -> int:
    frame = results_frame(session)
    frame.to_csv(path, index=False)
    return len(frame)


def _parquet(session: Session, path: Path) -> int:
    frame = results_frame(session)
    frame.to_parquet(path, index=False)
    return len(frame)


def _json(session: Session, path: Path) -> int:
    rows = [r.model_dump(mode="json") for r in _results(session)]
    path.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return len(rows)


def _cif(session: Session, path: Path) -> int:
    named = [(f"{formula}_{id_}", crystal) for id_, formula, crystal in _crystals(session)]
    write_cif_zip(path, named)
    return len(named)


def _extxyz(session: Session, path: Path) -> int:
    rows = _crystals(session)
    write_extxyz(path, [crystal for _, _, crystal in rows], [id_ for id_, _, _ in rows])
    return len(rows)


FORMATS: Final[dict[str, Callable[[Session, Path], int]]] = {
    ".csv": _csv,
    ".json": _json,
    ".parquet": _parquet,
    ".zip": _cif,
    ".extxyz": _extxyz,
}
"""File ending -> writer; a writer returns how many rows it wrote."""


def export(session: Session, path: Path) -> int:
    """Write the campaign's results in the format of the file's ending; returns the number of rows.

    Raises:
        InputError: an ending that is no format.
    """
    if path.suffix not in FORMATS:
        raise InputError(f"{path}: '{path.suffix}' is no export format. {suggest(path.suffix, FORMATS)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    return FORMATS[path.suffix](session, path)


def _results(session: Session) -> list[ScreeningResult]:
    return session.store.results(session.campaign_id, session.spec.screening.settings_hash)


def _crystals(session: Session) -> list[tuple[str, str, Crystal]]:
    """Relaxed discharged crystals where there are some, as (id, formula, crystal)."""
    return [
        (r.candidate_id, r.formula, r.crystals["discharged"]) for r in _results(session) if "discharged" in r.crystals
    ]
