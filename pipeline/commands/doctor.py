"""`redoxa doctor`: what this machine and installation are, and what to do where something is missing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from pathlib import Path

from redoxa.data.errors import BrokenKindError, RedoxaError
from redoxa.data.registry import load
from redoxa.data.shipped import ASSETS
from redoxa.data.storage.database import store_name
from redoxa.data.storage.store import Store
from redoxa.generators.composition.families import FAMILIES
from redoxa.pipeline.campaign.lookup import REGISTRIES
from redoxa.robotics.queue.audit import AuditTrail, audit_trail
from redoxa.screening.potentials.names import POTENTIALS

SHIPPED = (
    "orbits.safetensors",
    "geometry.safetensors",
    "templates.parquet",
    "reference_chgnet.parquet",
    "known_materials.parquet",
)
"""What the main job cannot do without."""

SHOWN = 3
"""Breaks of the audit trail that are told."""


def checks(where: str) -> list[dict[str, object]]:
    """One row a check: what was checked, whether it is good, what was found, what to do."""
    return [
        _row(
            "python",
            platform.python_version_tuple() >= ("3", "11"),
            platform.python_version(),
            "use Python 3.11 or 3.12",
        ),
        *[_package(name) for name in ("torch", "pymatgen", "ase", "chgnet", "prefect", "fastapi", "sqlalchemy")],
        *[_asset(name) for name in SHIPPED],
        _row(
            "cores",
            (os.cpu_count() or 1) >= 2,
            f"{os.cpu_count()}",
            "screening uses every core; with one it takes twice as long",
        ),
        _disk(),
        *_store(where),
        *_of_other_packages(),
        *_extras(),
    ]


def _of_other_packages() -> list[dict[str, object]]:
    """Kinds that other packages add, and those that they cannot add."""
    rows = []
    for group, kinds in (*REGISTRIES.items(), ("families", FAMILIES), ("potentials", POTENTIALS)):
        for found in importlib.metadata.entry_points(group=f"redoxa.{group}"):
            fault = "" if kinds[found.name] == found.value else "is taken: its package has to choose another name"
            if not fault:
                try:
                    load(kinds, group, found.name)
                except BrokenKindError as error:
                    fault = f"cannot be imported: {error.__cause__}"
            rows.append(_row(found.value, not fault, f"{found.name} in {group}", f"'{found.name}' {fault}"))
    return rows


def _extras() -> list[dict[str, object]]:
    """What is not there and not needed, and what it would add."""
    programs = {
        "chromium": (("chromium", "google-chrome"), "a browser runs the tests of the pages"),
        "postgresql": (("pg_ctl", "postgres"), "campaigns of a group share a store on PostgreSQL (redoxa[postgres])"),
    }
    packages = {
        "psycopg": "reaches a PostgreSQL store: pip install 'redoxa[postgres]'",
        "dftd3": "volumes of layered hosts with dispersion: pip install 'redoxa[dispersion]'",
        "sevenn": "SevenNet as a second potential: pip install 'redoxa[sevennet]'",
        "mace": "MACE as a second potential: pip install 'redoxa[mace]'",
    }
    found = {name: next(filter(None, map(shutil.which, commands)), None) for name, (commands, _) in programs.items()}
    found |= {name: "installed" if importlib.util.find_spec(name) else None for name in packages}
    adds = {name: text for name, (_, text) in programs.items()} | packages
    return [
        {"check": name, "ok": True, "found": there or "not here", "advice": "" if there else f"optional: {adds[name]}"}
        for name, there in found.items()
    ]


def _row(check: str, ok: bool, found: str, advice: str) -> dict[str, object]:
    return {"check": check, "ok": ok, "found": found, "advice": "" if ok else advice}


def _package(name: str) -> dict[str, object]:
    found = importlib.util.find_spec(name) is not None
    version = importlib.metadata.version(name) if found else "missing"
    return _row(name, found, version, f"pip install -c constraints.txt {name}")


def _asset(name: str) -> dict[str, object]:
    path = ASSETS / name
    size = f"{path.stat().st_size / 1e6:.1f} MB" if path.exists() else "missing"
    return _row(name, path.exists(), size, "this file ships with Redoxa: install it again")


def _disk() -> dict[str, object]:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    return _row("disk", free > 1, f"{free:.0f} GB free", "free at least 1 GB")


def _store(where: str) -> list[dict[str, object]]:
    try:
        store = Store.open(where, create=False)
        found, trail = f"{store_name(where)}: {len(store.campaigns())} campaigns", audit_trail(store.engine)
        store.close()
    except RedoxaError as error:
        # No store yet is no fault: the first run makes it.
        return [_row("store", "no store here yet" in str(error), str(error), "check the path, or move the file away")]
    return [_row("store", True, found, ""), _audit(trail)]


def _audit(trail: AuditTrail) -> dict[str, object]:
    """Whether the queue's lines are as they were written; the first breaks, where they are not."""
    found = f"{trail.lines} lines"
    if trail.unchained:
        found += f", {trail.unchained} of them from an older version, which cannot be checked"
    if trail.last:
        found += f"; the last one is {trail.last[:16]}"
    if trail.breaks:
        more = f" (and {len(trail.breaks) - SHOWN} more)" if len(trail.breaks) > SHOWN else ""
        found += f"; {'; '.join(trail.breaks[:SHOWN])}{more}"
    advice = "something else than Redoxa wrote to the store: compare it with a copy, and look who has access"
    return _row("audit trail", not trail.breaks, found, advice)
