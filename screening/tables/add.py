"""Extend the reference by a user's own phases: structures to compute, or energies of the very same potential."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

from redoxa.data.errors import InputError, StructureError
from redoxa.data.formats.json_forms import read_document
from redoxa.data.io import read_crystals
from redoxa.data.tables.reference import EnergyKind, Reference, ReferenceEntry, mixed_scales, read_table, write_table
from redoxa.screening.tables.energies import (
    LIBRARY_SETTINGS,
    NEAR_HULL_eV_PER_ATOM,
    Parts,
    reference_entries,
    run,
    scale_of,
)
from redoxa.screening.tables.tasks import EnergyTask, dataset_tasks, library_tasks

if TYPE_CHECKING:
    from redoxa.screening.potentials.base import Potential

MAX_ATOMS = 200

KEY_VARIABLE = "MP_API_KEY"
"""Environment variable with the Materials Project key: on a command line it would stand in the shell's history."""


def add_phases(
    files: Sequence[Path],
    table: Path,
    potential: Potential,
    on_step: Callable[[int, int], None] | None = None,
    tasks: Sequence[EnergyTask] = (),
) -> tuple[Reference, list[str]]:
    """Compute or read the phases in `files` and merge them into the user's table.

    Structures are relaxed with the potential, whatever energies their file holds. Results rest beside the table in a
    `.parts.jsonl` file, so that an interrupted call goes on when it is repeated.

    Args:
        files: CIF, POSCAR, extended XYZ or pymatgen JSON; parquet with `atomic_numbers`, `frac_coords`, `cell` and
            `material_id`; a Materials Project snapshot (JSON list with `structure`s); or a CSV or JSON list of
            energies (`read_energies`).
        table: parquet, made where it is missing.
        potential: computes the energies.
        on_step: called with (done, total).
        tasks: further structures (`materials_project_tasks`).

    Returns:
        The table, and notes: what a reader had to assume, and structures set aside because they do not relax.

    Raises:
        InputError: a file cannot be used, or is on another scale than the potential; nothing is written.
    """
    scale = scale_of(potential)
    known = Reference([], scale)
    if table.exists():
        entries, table_scale = read_table(table)
        known.require_scale(table_scale)
        known = Reference(entries, scale)
    to_compute = list(tasks)
    given: list[ReferenceEntry] = []
    notes: list[str] = []
    for path in files:
        energies = read_energies(path, scale)
        if energies is None:
            read, remarks = structure_tasks(path)
            to_compute += read
            notes += remarks
        given += energies or []
    computed, set_aside = compute_tasks(to_compute, table.with_suffix(".parts.jsonl"), potential, on_step)
    merged = known.merged(Reference([*given, *computed], scale))
    write_table(table, merged, scale)
    return merged, notes + [f"set aside: {what}" for what in set_aside]


def compute_tasks(
    tasks: Sequence[EnergyTask], work: Path, potential: Potential, on_step: Callable[[int, int], None] | None = None
) -> tuple[list[ReferenceEntry], list[str]]:
    """Entries of these tasks, computed where the work file lacks them, and what does not relax."""
    parts = Parts(work)
    run(tasks, parts, potential, LIBRARY_SETTINGS, on_step=on_step)
    hashes = {task.crystal_hash: task.name for task in tasks}
    rows = [row for row in parts.rows.values() if row.crystal_hash in hashes]
    failed = [row for row in rows if row.energy_eV_per_atom is None or not row.usable]
    return (
        reference_entries(row for row in rows if row not in failed),
        [f"{row.name} {row.formula}: {row.error or 'no energy'}" for row in failed],
    )


def library_tasks_of(types: Sequence[str], reference: Reference) -> list[EnergyTask]:
    """Published phases of the library: those of the named structure types, or all whose formula the reference lacks.

    Raises:
        InputError: there is no phase of such a type.
    """
    known = {entry.formula for entry in reference}
    tasks = list(library_tasks())
    if not types:
        return [task for task in tasks if task.crystal.formula not in known]
    for kind in types:
        if not any(task.name.startswith(f"{kind} ") for task in tasks):
            raise InputError(f"'{kind}' is no structure type in data/library")
    return [task for task in tasks if task.name.startswith(tuple(f"{kind} " for kind in types))]


def structure_tasks(path: Path) -> tuple[list[EnergyTask], list[str]]:
    """Relaxation tasks of the structures in a file, and what a reader had to assume of them.

    Raises:
        InputError: the file holds no structure that can be read.
    """
    if path.suffix == ".parquet":
        try:
            return [replace(task, kind="relaxed", source="user") for task in dataset_tasks(path)], []
        except (OSError, KeyError, ValueError) as error:
            raise InputError(f"{path}: cannot be read as a table of crystals ({error})") from error
    found = read_crystals(path)
    remarks = [f"{one.name}: {remark}" for one in found for remark in one.remarks]
    return [EnergyTask(one.crystal, one.label or one.name, "user", "relaxed") for one in found], remarks


def materials_project_tasks(elements: Sequence[str], api_key: str) -> list[EnergyTask]:
    """Relaxation tasks of the Materials Project's phases near the hull of a chemical system; asks the network.

    Their own energies are not taken over: they are DFT's, and the reference is the potential's. The answer is read as
    plain JSON; nothing in it is instantiated but structures.

    Raises:
        InputError: the Materials Project cannot be asked.
    """
    from pymatgen.ext.matproj import MPRester, MPRestError
    from requests.exceptions import RequestException

    systems = ("-".join(sorted(x)) for n in range(1, len(elements) + 1) for x in combinations(elements, n))
    wanted = {
        "chemsys": ",".join(systems),
        "energy_above_hull_max": NEAR_HULL_eV_PER_ATOM,
        "nsites_max": MAX_ATOMS,
        "deprecated": "false",
    }
    query = "materials/summary/?_fields=material_id,structure&_all_fields=False"
    try:
        with MPRester(api_key) as client:
            rows = client.request(query, payload=wanted, mp_decode=False)
    except (MPRestError, RequestException, ValueError) as error:
        reason = str(error).replace(api_key, "***")[:200] if api_key else str(error)[:200]
        raise InputError(
            f"the Materials Project cannot be asked: {reason} Check {KEY_VARIABLE} and the network."
        ) from None
    tasks = []
    for i, found in enumerate(read_document(rows) if rows else []):
        if isinstance(found, StructureError):
            raise InputError(f"Materials Project, row {i + 1}: {found}")
        tasks.append(EnergyTask(found.crystal, found.label or found.crystal.formula, "user", "relaxed"))
    return tasks


def read_energies(path: Path, scale: str) -> list[ReferenceEntry] | None:
    """Energies computed elsewhere with the very same potential; None where the file is no list of energies.

    A CSV file, or a JSON list of objects: `formula`, `energy_eV_per_atom`, `energy_scale`, and optionally `name` and
    `kind`.

    Raises:
        InputError: an unreadable row, or one on another scale; the message says which.
    """
    rows: list[dict[str, object]] | None
    if path.suffix == ".csv":
        try:
            with path.open(encoding="utf-8", newline="") as file:
                rows = [dict(row) for row in csv.DictReader(file)]
        except (OSError, ValueError, csv.Error) as error:
            raise InputError(f"{path}: cannot be read as a list of energies ({error})") from error
    else:
        rows = _json_list(path)
    if rows is None or (path.suffix != ".csv" and not any("energy_eV_per_atom" in row for row in rows)):
        return None
    return [_read_energy(f"{path}, row {i}", row, scale) for i, row in enumerate(rows, start=1)]


def _read_energy(where: str, row: dict[str, object], scale: str) -> ReferenceEntry:
    from pymatgen.core import Composition

    if row.get("energy_scale") != scale:
        raise InputError(mixed_scales(f"{where}: this energy is", str(row.get("energy_scale") or "not stated"), scale))
    kind = row.get("kind") or "relaxed"
    if kind not in get_args(EnergyKind):
        raise InputError(f"{where}: kind must be one of {', '.join(get_args(EnergyKind))}, not '{kind}'")
    try:
        formula = str(Composition(str(row["formula"]), strict=True).reduced_formula)
        energy = float(str(row["energy_eV_per_atom"]))
    except (KeyError, ValueError) as error:
        raise InputError(f"{where}: formula or energy_eV_per_atom is missing or unreadable ({error})") from error
    if not -20 < energy < 10:
        raise InputError(f"{where}: {energy} eV/atom for {formula} cannot be an energy by atom")
    return ReferenceEntry(formula, energy, str(row.get("name") or formula), "user", cast(EnergyKind, kind))


def _json_list(path: Path) -> list[dict[str, object]] | None:
    """A JSON file's list of objects; None where it is another kind of file."""
    if path.suffix != ".json":
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(content, list) or not content or not all(isinstance(row, dict) for row in content):
        return None
    return content
