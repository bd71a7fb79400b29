"""What relaxation and the hull say of samples: one row a relaxed sample, and the numbers made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from redoxa.data.errors import StructureError
from redoxa.data.fingerprint import SAME, Fingerprint, fingerprint
from redoxa.data.records import Crystal
from redoxa.data.tables.known_materials import KnownMaterials
from redoxa.generators.evaluate.novelty import novelty
from redoxa.generators.evaluate.table import Sample
from redoxa.generators.evaluate.uniqueness import first_equals
from redoxa.generators.evaluate.values import Value, mean, median, share
from redoxa.pipeline.evaluate.relaxation import Outcome, rmsd_A
from redoxa.screening.physics.hulls import Hulls

METASTABLE_eV_PER_ATOM = 0.1


@dataclass
class RelaxedRow:
    """A sample after relaxation; None where a value could not be had. `relax_seconds` are processor time."""

    converged: bool = False
    relax_seconds: float = 0.0
    relax_steps: int | None = None
    relax_reason: str = ""
    energy_eV_per_atom: float | None = None
    energy_drop_eV_per_atom: float | None = None
    rmsd_A: float | None = None
    volume_change: float | None = None
    above_hull_eV_per_atom: float | None = None
    hull_phases: int | None = None
    hull_phases_full: int | None = None
    hull_coverage: str = ""
    decomposes_to: str = ""
    relaxed_unique: bool = False
    relaxed_novel: bool = False
    sun: bool = False
    msun: bool = False

    def within(self, limit_eV: float) -> bool | None:
        """Whether it lies at most so far above the hull; None without a hull."""
        return None if self.above_hull_eV_per_atom is None else self.above_hull_eV_per_atom <= limit_eV


def relaxed_rows(
    samples: Sequence[Sample], outcomes: Sequence[Outcome | None], hulls: Hulls, known: KnownMaterials
) -> list[RelaxedRow]:
    """Judge relaxed samples; an unreadable sample (outcome None) has a row that says nothing for it."""
    rows = []
    relaxed: list[tuple[RelaxedRow, Crystal, Fingerprint]] = []
    for sample, outcome in zip(samples, outcomes, strict=True):
        row = RelaxedRow()
        rows.append(row)
        if sample.crystal is None or outcome is None:
            continue
        if outcome.relaxation is None:
            row.relax_reason = outcome.error
            continue
        _fill(row, sample.crystal, outcome, hulls)
        if not row.converged:
            continue
        try:
            relaxed.append((row, outcome.relaxation.crystal, fingerprint(outcome.relaxation.crystal)))
        except StructureError as error:
            row.relax_reason = str(error)
    twins = first_equals([c for _, c, _ in relaxed], [m for _, _, m in relaxed])
    for (row, _, mark), twin in zip(relaxed, twins, strict=True):
        row.relaxed_unique = twin is None
        row.relaxed_novel = novelty(mark, known, SAME).structure == "new"
        new = row.relaxed_unique and row.relaxed_novel
        row.sun = new and bool(row.within(0.0))
        row.msun = new and bool(row.within(METASTABLE_eV_PER_ATOM))
    return rows


def _fill(row: RelaxedRow, start: Crystal, outcome: Outcome, hulls: Hulls) -> None:
    relaxation = outcome.relaxation
    if relaxation is None:
        return
    row.converged, row.relax_reason = relaxation.converged, relaxation.reason
    row.relax_seconds, row.relax_steps = relaxation.seconds, relaxation.steps
    if not relaxation.converged:
        return
    end = relaxation.crystal
    row.energy_eV_per_atom = relaxation.energy_eV_per_atom
    if relaxation.start_energy_eV is not None:
        row.energy_drop_eV_per_atom = relaxation.start_energy_eV / start.n_atoms - relaxation.energy_eV_per_atom
    row.rmsd_A = rmsd_A(start, end)
    row.volume_change = end.volume_A3 / start.volume_A3 - 1.0
    coverage = hulls.reference.coverage(end.composition)
    row.hull_coverage, row.hull_phases, row.hull_phases_full = coverage.text, coverage.n_phases, coverage.n_full
    found = hulls.distance(end.composition, relaxation.energy_eV_per_atom)
    if found is not None:
        row.above_hull_eV_per_atom, row.decomposes_to = found.value_eV_per_atom, found.products_text


def stability_values(rows: Sequence[RelaxedRow], cpu_s_per_sample: float | None) -> dict[str, Value]:
    """Numbers of relaxed samples.

    Args:
        rows: of all samples that were sent to relaxation.
        cpu_s_per_sample: processor time of sampling; None for samples from files.
    """
    done = [row for row in rows if row.converged]
    drops = [row.energy_drop_eV_per_atom for row in done if row.energy_drop_eV_per_atom is not None]
    covered = [row for row in done if row.above_hull_eV_per_atom is not None]
    hits = sum(row.msun for row in rows)
    seconds = sum(row.relax_seconds for row in rows)
    values = {
        "converged": share(row.converged for row in rows),
        "energy_drop_median": median(drops),
        "energy_drop_mean": mean(drops),
        "rmsd_median": median([row.rmsd_A for row in done if row.rmsd_A is not None]),
        "volume_change_median": median([abs(row.volume_change) for row in done if row.volume_change is not None]),
        "hull_covered": share(row.above_hull_eV_per_atom is not None for row in done),
        "hull_full": share(bool(row.hull_phases_full) for row in covered),
        "hull_phases_median": median([float(row.hull_phases) for row in covered if row.hull_phases is not None]),
        "hull_median": median([x for row in covered if (x := row.above_hull_eV_per_atom) is not None]),
        "stable": share(row.within(0.0) for row in covered),
        "metastable": share(row.within(METASTABLE_eV_PER_ATOM) for row in covered),
        "sun": share(row.sun for row in rows),
        "msun": share(row.msun for row in rows),
        "msun_full": share(row.msun and bool(row.hull_phases_full) for row in rows),
    }
    if cpu_s_per_sample is not None:
        total = seconds + cpu_s_per_sample * len(rows)
        values["cpu_s_per_msun"] = Value(total / hits if hits else None, hits)
    return values
