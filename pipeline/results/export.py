"""`redoxa export`: a campaign's results as CSV, JSON, Parquet, a zip of CIFs or extended XYZ.

All say the same, in the same names: the records of `pages/campaign/downloads.py`, which the page's files hold too.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from redoxa.data.errors import InputError, suggest
from redoxa.data.io import cif_text, write_extxyz
from redoxa.data.records import flat_formula
from redoxa.data.whole import whole
from redoxa.pipeline.campaign.session import Session
from redoxa.pipeline.pages.kit.downloads import SCHEMA, csv_text, json_text, records, said_of
from redoxa.pipeline.pages.kit.model import ReportData
from redoxa.pipeline.results.report_file import report_data


def _csv(data: ReportData, path: Path) -> int:
    path.write_text(csv_text(data), encoding="utf-8")
    return len(data.results)


def _parquet(data: ReportData, path: Path) -> int:
    import pandas as pd

    frame = pd.DataFrame(records(data))
    frame.to_parquet(path, index=False)
    return len(frame)


def _json(data: ReportData, path: Path) -> int:
    path.write_text(json_text(data, {row.candidate.id for row in data.results}), encoding="utf-8")
    return len(data.results)


def _cif(data: ReportData, path: Path) -> int:
    """Both states of every candidate, and a list of them with the records."""
    files: dict[str, dict[str, str]] = {}
    texts: dict[str, str] = {}
    for row in data.results:
        for state, crystal in row.result.crystals.items():
            name = f"{flat_formula(row.result.formula)}_{row.candidate.id}_{state}"
            files.setdefault(row.candidate.id, {})[state] = f"{name}.cif"
            texts[f"{name}.cif"] = cif_text(crystal, comment=f"{said_of(row.result)}\n{name}")
    manifest = {"schema": SCHEMA, "campaign": data.name, "files": files, "records": records(data)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", json.dumps(manifest, indent=1))
        for name, text in texts.items():
            archive.writestr(name, text)
    return len(texts)


def _extxyz(data: ReportData, path: Path) -> int:
    kept = [(row, record) for row, record in zip(data.results, records(data), strict=True) if row.result.crystals]
    crystals = [row.result.crystals["discharged"] for row, _ in kept if "discharged" in row.result.crystals]
    infos = [
        {_key(name): value for name, value in record.items() if value not in (None, "")}
        for row, record in kept
        if "discharged" in row.result.crystals
    ]
    write_extxyz(path, crystals, [str(info["candidate_id"]) for info in infos], infos)
    return len(crystals)


def _key(name: str) -> str:
    """A name without spaces and brackets, as extended XYZ takes it: ``average_voltage_V``."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")


FORMATS: Final[dict[str, Callable[[ReportData, Path], int]]] = {
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
    with whole(path) as draft:
        return FORMATS[path.suffix](report_data(session, ""), draft)
