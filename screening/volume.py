"""How the host swells and shrinks when ions come and go: volume and strain."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from data.records import Crystal, Estimate
from screening.base import Findings, Needs, Subject, Surroundings

VOLUME_CHANGE_SIGMA = 0.03
STRAIN_SIGMA = 0.015


class MaxDeltaVolume:
    """Largest over smallest volume of the relaxed states, per host, less 1."""

    name: ClassVar[str] = "max_delta_volume"
    summary: ClassVar[str] = "relative volume change between the states of charge"
    unit: ClassVar[str] = "1"
    stage: ClassVar[str] = "volume"
    needs: ClassVar[Needs] = Needs.CHARGED
    cost: ClassVar[float] = 0.15

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Compare the volumes per host of all relaxed states."""
        discharged, charged = subject.both
        per_host = [_volume_by_host(r.crystal, subject.ion) for r in (discharged, *subject.between, charged)]
        change = 100 * (per_host[-1] / per_host[0] - 1)
        estimate = Estimate(
            value=max(per_host) / min(per_host) - 1,
            sigma=VOLUME_CHANGE_SIGMA,
            unit=self.unit,
            method="relaxed volumes by host; sigma 0.03: two volumes of 2 % each",
            model=around.model.id,
        )
        return Findings(estimate, notes={"volume_on_charge": f"{change:+.1f} %"})


class MaxLatticeStrain:
    """Largest principal strain of the lattice on charge; layered hosts can hide one behind a small volume change."""

    name: ClassVar[str] = "max_lattice_strain"
    summary: ClassVar[str] = "largest principal strain of the lattice on charge"
    unit: ClassVar[str] = "1"
    stage: ClassVar[str] = "volume"
    needs: ClassVar[Needs] = Needs.CHARGED
    cost: ClassVar[float] = 0.16

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Polar decomposition of the deformation between the two lattices."""
        _, charged = subject.both
        if subject.full_cell is None:
            raise LookupError("the charged state has no cell to compare with")
        stretches = principal_stretches(subject.full_cell, charged.crystal)
        largest = float(max(np.abs(stretches - 1)))
        return Findings(
            Estimate(
                value=largest,
                sigma=STRAIN_SIGMA,
                unit=self.unit,
                method="principal stretches of the relaxed lattice, charged against discharged",
                model=around.model.id,
            )
        )


def principal_stretches(start: Crystal, end: Crystal) -> np.ndarray:
    """Principal stretches [3] of the map between two lattices given by corresponding row vectors."""
    deformation = np.linalg.solve(np.array(start.lattice_A), np.array(end.lattice_A))
    stretches: np.ndarray = np.linalg.svd(deformation, compute_uv=False)
    return stretches


def _volume_by_host(crystal: Crystal, ion: str) -> float:
    return crystal.volume_A3 / (crystal.n_atoms - crystal.composition.get(ion, 0))
