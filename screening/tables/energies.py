"""Compute the reference energies; stop and go on at any point.

Every energy is one line of an append-only JSONL file, keyed by the hash of crystal, kind, model and settings. Resume
means run again: what is in the file is not computed twice, and a line cut short by a kill is dropped. The table that
ships is made from those lines; it holds formulas and energies, no positions.
"""

from __future__ import annotations

import itertools
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pydantic import JsonValue

from redoxa.data.errors import PotentialError
from redoxa.data.progress import OnProgress
from redoxa.data.tables.reference import EnergyKind, Reference, ReferenceEntry, energy_scale, write_table
from redoxa.screening.compute.relax import Relaxation, RelaxSettings, relax
from redoxa.screening.physics.hull_energy import hull_distances
from redoxa.screening.tables.tasks import (
    EnergyTask,
    by_relevance,
    dataset_tasks,
    library_tasks,
    relevance,
)
from redoxa.screening.workers.pool import AHEAD, WorkerPool

if TYPE_CHECKING:
    from redoxa.screening.potentials.base import Potential


LIBRARY_SETTINGS = RelaxSettings()
"""As in screening: cells of the library are typed, or scaled by ionic radii."""

DATASET_SETTINGS = RelaxSettings(max_steps=60)
"""As in screening, but given up sooner: these geometries come relaxed by DFT, so few need more."""

NEAR_HULL_eV_PER_ATOM = 0.02
"""Phases this close to the hull by single points are relaxed: those that can decide a hull distance."""

LIBRARIES = ("reference_phases", "prototypes")
"""Sources of published phases that are relaxed whatever their energy."""

TEMPLATE_ATOMS = 20
"""Crystals of at most so many atoms are relaxed all, for the library of templates."""

LITHIATED = "li_electrodes"
"""Source of crystals that others made from the same hosts by inserting lithium; no templates."""

LEAST_RELEVANCE = 2
"""Of `reference_tasks.relevance`: crystals below it are not relaxed."""

LARGEST_DROP_eV_PER_ATOM = 0.25
"""A relaxation that lowers the energy further has left its crystal (or fallen into a hole of the potential); the single
point stands instead."""

MOLECULAR_ELEMENTS = {"F2": "mp-561203", "Cl2": "mp-22848", "Se": "mp-14"}
"""Elements that stand with the single point of their DFT ground state: CHGNet overbinds these molecules on relaxation.

Measured against the elemental energies that CHGNet's compounds imply (its energy minus the listed formation energy,
fitted over 20,000 crystals): F -5 meV/atom unrelaxed and -62 relaxed, Cl -26 and -60, Se -13 and -60. Oxygen is the
other way round, solid O2 +18 unrelaxed and -3 relaxed (-4.935 eV/atom; the Materials Project's own is -4.947), so it
is relaxed like all others.
"""


@dataclass(frozen=True)
class Row:
    """One computed energy; `error` says why there is none (kept, so that it is not tried again)."""

    key: str
    crystal_hash: str
    formula: str
    n_atoms: int
    name: str
    source: str
    kind: EnergyKind
    energy_eV_per_atom: float | None
    error: str = ""
    converged: bool = True
    steps: int = 0
    crystal: dict[str, JsonValue] | None = None
    """Relaxed geometry, for the work file only."""

    @property
    def usable(self) -> bool:
        """A relaxation that converged, or only ran out of steps; not one that exploded."""
        return self.converged or self.steps >= DATASET_SETTINGS.max_steps


class Parts:
    """The append-only file of results. One writer at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, Row] = {}
        if path.exists():
            data = path.read_bytes()
            end = data.rfind(b"\n") + 1
            if end < len(data):  # the last line was cut by a kill
                with path.open("r+b") as file:
                    file.truncate(end)
            for line in data[:end].splitlines():
                row = Row(**json.loads(line))
                self.rows[row.key] = row

    def append(self, row: Row) -> None:
        """Write one result and hand it to the system at once."""
        self.rows[row.key] = row
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.write(json.dumps(asdict(row), separators=(",", ":")).encode() + b"\n")


def compute(task: EnergyTask, potential: Potential, settings: RelaxSettings) -> Row:
    """Compute one energy; a structure that the potential cannot take gives a row with its error."""
    row = _empty_row(task, potential, settings)
    try:
        if task.kind == "single_point":
            energy = potential.compute(task.crystal, forces=False).energy_eV / task.crystal.n_atoms
            return replace(row, energy_eV_per_atom=energy)
        return _relaxed_row(row, relax(task.crystal, potential, settings))
    except PotentialError as problem:
        return replace(row, error=str(problem), converged=False)


def _empty_row(task: EnergyTask, potential: Potential, settings: RelaxSettings) -> Row:
    return Row(
        key=task.key(potential.model_id, settings.content_hash),
        crystal_hash=task.crystal_hash,
        formula=task.crystal.formula,
        n_atoms=task.crystal.n_atoms,
        name=task.name,
        source=task.source,
        kind=task.kind,
        energy_eV_per_atom=None,
    )


def _relaxed_row(row: Row, done: Relaxation) -> Row:
    return replace(
        row,
        energy_eV_per_atom=done.energy_eV_per_atom,
        error="" if done.converged else done.reason,
        converged=done.converged,
        steps=done.steps,
        crystal=done.crystal.model_dump(mode="json"),
    )


def run(
    tasks: Sequence[EnergyTask],
    parts: Parts,
    potential: Potential,
    settings: RelaxSettings,
    deadline_s: float = float("inf"),
    on_step: Callable[[int, int], None] | None = None,
    workers: int = 1,
) -> int:
    """Compute what `parts` lacks, until `time.monotonic()` passes the deadline; return how many are open.

    With several workers, relaxations run in as many processes; their rows come in the order in which they end.
    """
    missing = [t for t in tasks if t.key(potential.model_id, settings.content_hash) not in parts.rows]
    done = len(tasks) - len(missing)
    in_time = itertools.takewhile(lambda _: time.monotonic() <= deadline_s, missing)
    if workers > 1 and missing and missing[0].kind == "relaxed":
        rows = _in_processes(in_time, potential, settings, workers)
    else:
        rows = (compute(task, potential, settings) for task in in_time)
    for row in rows:
        parts.append(row)
        done += 1
        if on_step is not None:
            on_step(done, len(tasks))
    return len(tasks) - done


def _in_processes(
    tasks: Iterable[EnergyTask], potential: Potential, settings: RelaxSettings, workers: int
) -> Iterator[Row]:
    """Relax in worker processes, each with one job at hand and one ahead."""
    source, open_rows = iter(tasks), {}
    with WorkerPool(potential.name, workers) as pool:
        while True:
            for task in itertools.islice(source, AHEAD * workers - len(pool)):
                row = _empty_row(task, potential, settings)
                open_rows[row.key] = row
                pool.submit(row.key, task.crystal, settings)
            if not len(pool):
                return
            finished = pool.wait()
            row = open_rows.pop(finished.job_id)
            if finished.relaxation is not None:
                yield _relaxed_row(row, finished.relaxation)
            elif not finished.died:  # a killed worker says nothing about its structure: the next build tries again
                yield replace(row, error=finished.error, converged=False)


def near_hull(
    tasks: Iterable[EnergyTask], rows: Mapping[str, Row], potential: Potential, within_eV_per_atom: float
) -> list[EnergyTask]:
    """Relaxation tasks of the dataset's crystals that lie on or near the hull and matter to an electrode.

    The hull is that of the single points and of the relaxed published phases. Relaxed dataset crystals do not
    enter, so that the choice is the same after every interruption.
    """
    fixed = [r for r in rows.values() if r.kind == "single_point" or r.source in LIBRARIES]
    hull = Reference(reference_entries(fixed), scale_of(potential))
    known: list[tuple[EnergyTask, Row, float]] = []
    for task in tasks:
        row = rows.get(task.key(potential.model_id, ""))
        if row is None or row.energy_eV_per_atom is None or relevance(task.crystal.numbers) < LEAST_RELEVANCE:
            continue
        known.append((task, row, row.energy_eV_per_atom))
    distances = hull_distances(hull, [(row.formula, energy) for _, row, energy in known])
    near = [t for (t, _, _), d in zip(known, distances, strict=True) if d is not None and d <= within_eV_per_atom]
    return by_relevance(replace(task, kind="relaxed") for task in near)


def reference_entries(rows: Iterable[Row]) -> list[ReferenceEntry]:
    """One entry a crystal: its relaxed energy where there is a sound one, else its single point."""
    by_crystal: dict[str, dict[EnergyKind, Row]] = defaultdict(dict)
    for row in rows:
        if row.energy_eV_per_atom is not None:
            by_crystal[row.crystal_hash][row.kind] = row
    chosen = (_choose(group.get("single_point"), group.get("relaxed")) for group in by_crystal.values())
    entries = [entry for entry in chosen if entry is not None]
    settled = {e.formula for e in entries if MOLECULAR_ELEMENTS.get(e.formula) == e.name}
    return [e for e in entries if e.formula not in settled or MOLECULAR_ELEMENTS[e.formula] == e.name]


def _choose(point: Row | None, relaxed: Row | None) -> ReferenceEntry | None:
    row, kind = point, "single_point"
    if point is not None and MOLECULAR_ELEMENTS.get(point.formula) == point.name:
        relaxed = None
    if relaxed is not None and relaxed.energy_eV_per_atom is not None and relaxed.usable:
        drop = 0.0 if point is None or point.energy_eV_per_atom is None else _drop(point, relaxed)
        if 0 <= drop <= LARGEST_DROP_eV_PER_ATOM:
            row, kind = relaxed, "relaxed" if relaxed.converged else "partly_relaxed"
    if row is None or row.energy_eV_per_atom is None:
        return None
    return ReferenceEntry(row.formula, row.energy_eV_per_atom, row.name, row.source, cast(EnergyKind, kind))


def _drop(point: Row, relaxed: Row) -> float:
    """How far relaxation lowered the energy in eV/atom; rounding noise counts as none."""
    drop = (point.energy_eV_per_atom or 0.0) - (relaxed.energy_eV_per_atom or 0.0)
    return 0.0 if -1e-4 < drop < 0 else drop


def scale_of(potential: Potential) -> str:
    """The scale on which a potential's energies stand."""
    return energy_scale(potential.energy_scale, potential.model_id)


@dataclass(frozen=True)
class BuildResult:
    """What a build wrote, and how many energies it left open when its time was up."""

    entries: int
    open_tasks: int
    rows: tuple[Row, ...]


def build_reference(
    out: Path,
    datasets: Sequence[Path],
    potential: Potential,
    work: Path,
    budget_s: float = float("inf"),
    on_step: OnProgress | None = None,
    library: bool = True,
    workers: int = 1,
) -> BuildResult:
    """Compute reference energies as far as the budget allows and write the table; run again to go on.

    In order: published phases, single points of the datasets, then relaxation of their elements, of what lies near the
    hull, and of all small crystals.

    Args:
        out: table to write (parquet); the old one is replaced at the end, at once.
        datasets: parquet files of crystals (`reference_tasks.dataset_tasks`).
        potential: computes every energy.
        work: append-only file of results (JSONL), kept between runs.
        budget_s: no further energy is begun after this many seconds.
        on_step: called with (stage, done, total).
        library: compute the published phases of the prototype library too.
        workers: processes that relax.
    """
    deadline = time.monotonic() + budget_s
    parts = Parts(work)

    def stage(name: str, tasks: Sequence[EnergyTask], settings: RelaxSettings) -> int:
        tick = None if on_step is None else partial(on_step, name)
        return run(tasks, parts, potential, settings, deadline, tick, workers)

    published = by_relevance(library_tasks()) if library else []
    still_open = stage("published phases", published, LIBRARY_SETTINGS)
    points = by_relevance(task for path in datasets for task in dataset_tasks(path))
    still_open += stage("single points", points, DATASET_SETTINGS)
    elements = [replace(t, kind="relaxed") for t in points if len(set(t.crystal.numbers)) == 1]
    still_open += stage("elements", elements, DATASET_SETTINGS)
    near = [] if still_open else near_hull(points, parts.rows, potential, NEAR_HULL_eV_PER_ATOM)
    still_open += stage("relaxations", near, DATASET_SETTINGS)
    small = [
        replace(t, kind="relaxed") for t in points if t.crystal.n_atoms <= TEMPLATE_ATOMS and t.source != LITHIATED
    ]
    still_open += stage("templates", small, DATASET_SETTINGS)
    current = {task.crystal_hash for task in (*published, *points)}  # the work file may know crystals that were mended
    rows = tuple(row for row in parts.rows.values() if row.crystal_hash in current)
    reference = Reference(reference_entries(rows), scale_of(potential))
    write_table(out, reference, reference.scale)
    return BuildResult(len(reference), still_open, rows)
