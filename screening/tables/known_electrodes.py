"""Published electrodes of the library, computed as the screening computes candidates: what calibrates its voltages."""

from __future__ import annotations

import csv
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from redoxa.data.progress import OnStep
from redoxa.data.records import Crystal
from redoxa.data.tables.prototypes import Prototype
from redoxa.data.tables.reference_phases import load_reference_structures
from redoxa.screening.compute.point import PointSettings, SinglePoint
from redoxa.screening.compute.relax import Relaxation, RelaxSettings, relax
from redoxa.screening.ions.removal import ion_sites, without
from redoxa.screening.physics.calibration import SECOND_MODEL, Anchor, electrode_kind, oxidised_elements
from redoxa.screening.physics.electrode import State, performance
from redoxa.screening.potentials.base import load_potential
from redoxa.screening.workers.jobs import Settings
from redoxa.screening.workers.pool import Finished, open_pool

METALS: Mapping[str, str] = {
    "Li": "bcc Li", "Na": "bcc Na", "K": "bcc K", "Mg": "hcp Mg", "Ca": "fcc Ca", "Zn": "hcp Zn", "Al": "fcc Al",
}  # fmt: skip
"""Reference structure of each working ion's metal."""

SETTINGS = RelaxSettings(max_steps=500)
METAL_SETTINGS = RelaxSettings(fmax_eV_A=0.01, max_steps=500)


@dataclass(frozen=True)
class KnownElectrode:
    """A published electrode as computed: both relaxed states and their energies by the second model, or why not."""

    prototype: Prototype
    discharged: Relaxation | None = None
    charged: Relaxation | None = None
    second_eV: tuple[float, float] | None = None
    problem: str = ""

    def voltages_V(self, metals_eV: tuple[float, float]) -> tuple[float, float]:
        """Average voltage by both models, from the energies of the ion's metal in eV/atom by each.

        Raises:
            LookupError: there is no result; `problem` says why.
        """
        if self.discharged is None or self.charged is None or self.second_eV is None:
            raise LookupError(self.problem)
        full, empty, ion = self.discharged, self.charged, self.prototype.working_ion
        first = [State(full.crystal, full.energy_eV), State(empty.crystal, empty.energy_eV)]
        second = [State(full.crystal, self.second_eV[0]), State(empty.crystal, self.second_eV[1])]
        volts = [performance(s, ion, m).average_voltage_V for s, m in zip((first, second), metals_eV, strict=True)]
        return volts[0], volts[1]


def compute_known(
    prototypes: Sequence[Prototype], potential: str = "chgnet", workers: int = 0, on_step: OnStep | None = None
) -> list[KnownElectrode]:
    """Relax each prototype, take out the ions that leave, relax again, and ask the second model for both energies.

    Args:
        prototypes: what to compute.
        potential: name of the first model.
        workers: processes; 0 means one for each core.
        on_step: called with (done, total).
    """
    done: dict[int, KnownElectrode] = {}
    pool = open_pool(potential, workers)
    walks = {i: _steps(p) for i, p in enumerate(prototypes)}
    try:
        for i, walk in walks.items():
            pool.submit(str(i), *next(walk))
        while len(pool):
            finished = pool.wait()
            i = int(finished.job_id)
            try:
                pool.submit(finished.job_id, *walks[i].send(finished), urgency=1)
            except StopIteration as end:
                done[i] = end.value
                if on_step is not None:
                    on_step(len(done), len(prototypes))
    finally:
        pool.close()
    return [done[i] for i in range(len(prototypes))]


def _steps(prototype: Prototype) -> Generator[tuple[Crystal, Settings], Finished, KnownElectrode]:
    """The jobs of one electrode, each from the outcome of the last."""
    states: list[Relaxation] = []
    for take_out in (False, True):
        start = emptied(prototype, states[0].crystal) if take_out else prototype.crystal
        finished = yield start, SETTINGS
        found = finished.relaxation
        if found is None or not found.converged:
            return KnownElectrode(prototype, problem=finished.error if found is None else found.reason)
        states.append(found)
    second_eV = []
    for state in states:
        finished = yield state.crystal, PointSettings(potential=SECOND_MODEL)
        if not isinstance(finished.outcome, SinglePoint):
            return KnownElectrode(prototype, problem=finished.error)
        second_eV.append(finished.outcome.energy_eV)
    return KnownElectrode(prototype, states[0], states[1], (second_eV[0], second_eV[1]))


def anchor(known: KnownElectrode, measured_V: float, metals_eV: tuple[float, float]) -> Anchor:
    """What a computed electrode teaches, given its measured voltage.

    Raises:
        LookupError: there is no result; `known.problem` says why.
    """
    first_V, second_V = known.voltages_V(metals_eV)
    contents = [state.crystal.composition for state in (known.discharged, known.charged) if state is not None]
    return Anchor(
        name=known.prototype.name,
        family=known.prototype.family,
        kind=electrode_kind(contents[0]),
        redox=" ".join(oxidised_elements(contents[0], contents[1])),
        measured_V=measured_V,
        first_V=round(first_V, 4),
        second_V=round(second_V, 4),
    )


def measured_voltages_V(path: Path) -> dict[str, float]:
    """Published average voltages by discharged formula, as the `anchor` of a prototype names it."""
    with path.open(encoding="utf-8", newline="") as file:
        return {row["discharged"]: float(row["average_voltage_V_experiment"]) for row in csv.DictReader(file)}


def emptied(prototype: Prototype, discharged: Crystal) -> Crystal:
    """The relaxed crystal without the ions that leave (relaxation keeps the order of the atoms)."""
    return without(discharged, prototype.leaving or ion_sites(discharged, prototype.working_ion))


def compute_metals(potential: str = SECOND_MODEL) -> dict[str, float]:
    """Energies of the relaxed metals in eV/atom by element; a second."""
    model = load_potential(potential)
    structures = dict(load_reference_structures())
    return {ion: relax(structures[name], model, METAL_SETTINGS).energy_eV_per_atom for ion, name in METALS.items()}


def write_metals(path: Path, model_id: str, energies_eV: Mapping[str, float]) -> None:
    """Write the energies of the ions' metals (CSV)."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["model", "ion", "energy_eV_per_atom"])
        writer.writerows([model_id, ion, round(energy, 5)] for ion, energy in energies_eV.items())
