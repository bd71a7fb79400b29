"""Distances from the hull of decorated templates, for models that learn from them.

A template of the table is as the potential relaxed it, so that one call gives its energy; one with other elements
is first relaxed within its symmetry. The hull is that of all other formulas: a crystal that is new has no phase of its
own formula on it either, so that known and new crystals are labelled alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from redoxa.data.errors import PotentialError
from redoxa.data.records import Crystal
from redoxa.data.symmetry.symmetric import SymmetricCrystal
from redoxa.data.tables.reference import Reference
from redoxa.data.tables.template_labels import StabilityLabel
from redoxa.screening.physics.hull_energy import fractions, hull_energy
from redoxa.screening.potentials.base import load_potential
from redoxa.screening.workers.pool import relax_many

BATCH = 64
"""Crystals after which what was computed is on disk."""


@dataclass(frozen=True)
class StabilityTask:
    """A crystal to label.

    Attributes:
        template: place in the table of templates.
        numbers: atomic number on each of its orbits.
        form: the crystal itself.
        relaxed: whether it is at its minimum already.
    """

    template: int
    numbers: tuple[int, ...]
    form: SymmetricCrystal
    relaxed: bool


def label_stabilities(
    tasks: Sequence[StabilityTask],
    reference: Reference,
    work: Path,
    table_sha256: str,
    workers: int,
    on_step: Callable[[int, int], None],
) -> list[StabilityLabel]:
    """Label all crystals that can be; what `work` (JSON lines) holds of this table is not computed again.

    Args:
        tasks: the crystals.
        reference: energies of the competing phases.
        work: file that grows as energies are computed.
        table_sha256: of the table of templates.
        workers: processes.
        on_step: called with (done, total).
    """
    work.parent.mkdir(parents=True, exist_ok=True)
    kept = [json.loads(line) for line in work.read_text().splitlines() if line.endswith("}")] if work.exists() else []
    known = {(row["template"], tuple(row["numbers"])): row for row in kept if row["table"] == table_sha256}
    missing = [task for task in tasks if (task.template, task.numbers) not in known]
    hulls = _Hulls(reference)
    with work.open("a", encoding="utf-8") as sink:
        for done, (task, found) in enumerate(_energies(missing, workers)):
            label = None if found is None else hulls.label(task, *found)
            row = {"template": task.template, "numbers": list(task.numbers)} | ({} if label is None else asdict(label))
            known[task.template, task.numbers] = row
            sink.write(json.dumps({"table": table_sha256} | row) + "\n")
            if done % BATCH == 0:
                on_step(len(tasks) - len(missing) + done, len(tasks))
                sink.flush()
    rows = ({k: v for k, v in known[t.template, t.numbers].items() if k != "table"} for t in tasks)
    return [StabilityLabel(**row | {"numbers": tuple(row["numbers"])}) for row in rows if "phases" in row]


def _energies(
    tasks: Sequence[StabilityTask], workers: int
) -> Iterator[tuple[StabilityTask, tuple[Crystal, float] | None]]:
    """Crystals at their minima with their energies by atom in eV; None where there is no minimum."""
    for task in tasks:
        if task.relaxed:
            crystal = task.form.to_crystal()
            try:
                yield task, (crystal, _potential().compute(crystal, forces=False).energy_eV / crystal.n_atoms)
            except PotentialError:
                yield task, None
    others = [task for task in tasks if not task.relaxed]
    for place, finished in relax_many([task.form for task in others], workers=workers) if others else ():
        end = finished.relaxation
        good = end is not None and end.converged
        yield others[place], (end.crystal, end.energy_eV_per_atom) if end is not None and good else None


_potential = cache(load_potential)


class _Hulls:
    """Hull energies of formulas, their own phases left out; each is worked out once."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self._known: dict[str, tuple[float | None, int, int]] = {}

    def label(self, task: StabilityTask, crystal: Crystal, energy_eV_per_atom: float) -> StabilityLabel | None:
        """The label of a crystal; None where an element has no reference energy, or there is but one element."""
        if crystal.formula not in self._known:
            self._known[crystal.formula] = self._hull(crystal.formula)
        hull, phases, full = self._known[crystal.formula]
        if hull is None:
            return None
        return StabilityLabel(task.template, task.numbers, round(energy_eV_per_atom - hull, 4), phases, full)

    def _hull(self, formula: str) -> tuple[float | None, int, int]:
        elements = fractions(formula)
        others = [entry for entry in self.reference.entries(elements) if entry.formula != formula]
        full = sum(len(entry.elements) == len(elements) for entry in others)
        return hull_energy(elements, others), len(others), full
