"""How hard it is for the working ion to travel: barriers of its hops, and the cheapest way through the crystal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from redoxa.data.records import Estimate, MigrationPath, Reason, Verdict
from redoxa.screening.base import Findings, Needs, Subject, Surroundings
from redoxa.screening.labels import Label, Note
from redoxa.screening.mobility.hops import Level
from redoxa.screening.mobility.migration import Migration

BARRIER_SIGMA_eV = 0.19
"""RMS difference from 22 DFT barriers (`benchmarks/barriers.py`); 0.14 eV of it too low."""

WAYS = {1: "one dimension", 2: "two dimensions", 3: "three dimensions"}


class MigrationBarrier:
    """Barrier of the easiest way through the crystal, by nudged elastic bands of a vacancy in the full host."""

    name: ClassVar[str] = "migration_barrier"
    summary: ClassVar[str] = "barrier of the ion along the easiest way through the crystal (needs screen.barriers)"
    unit: ClassVar[str] = "eV"
    stage: ClassVar[str] = "migration"
    needs: ClassVar[Needs] = Needs.PATHS
    cost: ClassVar[float] = 0.1
    label: ClassVar[Label] = Label(
        "Migration barrier",
        "Barrier",
        "Mobility",
        absent="no barrier of a hop was found, or none was asked for",
        reasoned=True,
    )
    notes: ClassVar[Mapping[str, Note]] = {
        "migration": Note("Ways through the crystal: {}.", "Mobility"),
    }

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """The lowest barrier at which ions cross the crystal in one dimension at least."""
        migration = subject.migration
        if migration is None:
            return Findings()
        levels = migration.levels
        found = Findings(paths=_paths(migration), notes=_notes(levels, migration))
        if 1 not in levels:
            verdict = Verdict.UNDETERMINED if self.name in around.settings.all_limits else Verdict.PASS
            text = "no hop with a barrier connects the sites of the ion: " + "; ".join(_words(migration))
            found.reasons.append(Reason(stage=self.stage, code="no_path", text=text, verdict=verdict))
            return found
        found.estimate = Estimate(
            value=levels[1].barrier_eV,
            sigma=BARRIER_SIGMA_eV,
            unit=self.unit,
            method="climbing-image nudged elastic band, one vacancy in the full host (universal potentials are soft)",
            model=around.model.id,
        )
        return found


def _notes(levels: Mapping[int, Level], migration: Migration) -> dict[str, str]:
    ways = []
    for dimension, level in sorted(levels.items()):
        if dimension != level.network.dimension:
            continue  # the same hops lead further at the same cost
        shape = {1: " along [{} {} {}]", 2: " in ({} {} {})"}.get(dimension, "")
        axes = "".join(shape.format(*axis) for axis in level.network.axes)
        ways.append(f"{WAYS[dimension]} {level.barrier_eV:.2f} eV{axes}")
    if migration.unknown:
        ways.append(f"{migration.unknown} of {len(migration.kinds)} kinds of hops without a barrier: an upper bound")
    return {"migration": ", ".join(ways)} if ways else {}


def _words(migration: Migration) -> Sequence[str]:
    return [
        f"{kind.distance_A:.1f} A: {barrier.reason or f'{barrier.barrier_eV:.2f} eV'}"
        for kind, barrier in zip(migration.kinds, migration.barriers, strict=True)
    ]


def _paths(migration: Migration) -> tuple[MigrationPath, ...]:
    """One record a kind of hop, cheapest first, those without a barrier last."""
    paths = [
        MigrationPath(
            label=f"{kind.distance_A:.2f} A",
            distance_A=kind.distance_A,
            barrier_eV=barrier.barrier_eV,
            reverse_eV=barrier.reverse_eV,
            energies_eV=barrier.energies_eV,
            path_A=barrier.path_A,
            positions=barrier.ion_frac,
            reason=barrier.reason,
        )
        for kind, barrier in zip(migration.kinds, migration.barriers, strict=True)
    ]
    return tuple(sorted(paths, key=lambda p: (p.barrier_eV is None, p.barrier_eV or 0.0, p.distance_A)))
