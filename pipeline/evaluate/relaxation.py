"""Relaxation of samples that goes on after a kill: each outcome is a JSON line, found again by its content hash."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from redoxa.data.progress import OnStep
from redoxa.data.records import Crystal
from redoxa.data.symmetry.symmetric import SymmetricCrystal
from redoxa.screening.compute.relax import Relaxation, RelaxSettings
from redoxa.screening.compute.symmetric_walk import SymmetricRelaxSettings
from redoxa.screening.potentials.base import potential_class
from redoxa.screening.workers.jobs import Subject, job_key
from redoxa.screening.workers.pool import open_pool

POTENTIAL = "chgnet"
FILE = "relaxed.jsonl"
FULL, SYMMETRIC = RelaxSettings(), SymmetricRelaxSettings()


@dataclass(frozen=True)
class Outcome:
    """A relaxation, or why there is none."""

    relaxation: Relaxation | None
    error: str = ""


def relax_all(
    crystals: Sequence[Subject], folder: Path, workers: int, on_step: OnStep, full: RelaxSettings = FULL
) -> list[Outcome]:
    """Relax crystals in worker processes; those that the folder knows are not computed again.

    Args:
        crystals: as sampled; equal ones are relaxed once, symmetric ones within their symmetry.
        folder: where `relaxed.jsonl` lies.
        workers: processes, 0 for one a core.
        on_step: called with (done, total).
        full: how crystals that are not symmetric ones are relaxed.
    """
    model = potential_class(POTENTIAL).model_id
    settings = [SYMMETRIC if isinstance(crystal, SymmetricCrystal) else full for crystal in crystals]
    keys = [job_key(crystal, how, model) for crystal, how in zip(crystals, settings, strict=True)]
    file = folder / FILE
    known = _read(file)
    asked = zip(keys, crystals, settings, strict=True)
    waiting = {key: (crystal, how) for key, crystal, how in asked if key not in known}
    on_step(len(crystals) - len(waiting), len(crystals))
    if waiting:
        folder.mkdir(parents=True, exist_ok=True)
        pool = open_pool(POTENTIAL, workers)
        try:
            for key, (crystal, how) in waiting.items():
                pool.submit(key, crystal, how)
            with file.open("a", encoding="utf-8") as lines:
                while len(pool):
                    finished = pool.wait()
                    outcome = Outcome(finished.relaxation, finished.error)
                    known[finished.job_id] = outcome
                    lines.write(_line(finished.job_id, outcome))
                    lines.flush()
                    on_step(len(crystals) - len(waiting.keys() - known.keys()), len(crystals))
        finally:
            pool.close()
    return [known[key] for key in keys]


def _line(key: str, outcome: Outcome) -> str:
    found = None if outcome.relaxation is None else outcome.relaxation.model_dump(mode="json")
    # A new line first as well: the last line may be torn where the process was killed.
    return "\n" + json.dumps({"key": key, "relaxation": found, "error": outcome.error}) + "\n"


def _read(file: Path) -> dict[str, Outcome]:
    known: dict[str, Outcome] = {}
    if not file.exists():
        return known
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:  # torn by a kill
            continue
        found = row["relaxation"]
        known[row["key"]] = Outcome(None if found is None else Relaxation.model_validate(found), row["error"])
    return known


def rmsd_A(before: Crystal, after: Crystal) -> float:
    """Root mean square shift of the atoms in the cell after relaxation, their common drift removed."""
    delta = np.array(after.frac_coords) - np.array(before.frac_coords)
    delta -= np.round(delta)
    shifts = delta @ np.array(after.lattice_A)
    return float(np.sqrt(((shifts - shifts.mean(0)) ** 2).sum(1).mean()))
