"""How the host swells and shrinks when ions come and go: volume and strain."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from data.records import Crystal, Estimate, Reason, Verdict
from screening.base import Findings, Needs, Subject, Surroundings
from screening.layers import HELD_eV_per_atom

VOLUME_CHANGE_SIGMA = 0.03
STRAIN_SIGMA = 0.015

LOOSE_SIGMA = 0.15
"""Of both where the potential does not hold the layers: RMS error 0.15 of the volume change of LiCoO2, NaCoO2, LiTiS2,
NaTiS2 and LiC6 against experiment. Where the host has grown by more, its layers have drifted apart."""

UNHELD = "the potential does not hold the layers of the charged state together"


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
        sigma, method = VOLUME_CHANGE_SIGMA, "relaxed volumes by host; sigma 0.03: two volumes of 2 % each"
        if not layers_held(subject):
            if drifted_apart(subject):
                return _unknown(self.name, self.stage, around)
            sigma, method = LOOSE_SIGMA, f"relaxed volumes by host; {UNHELD}: sigma is the error of such hosts"
        estimate = Estimate(
            value=max(per_host) / min(per_host) - 1,
            sigma=sigma,
            unit=self.unit,
            method=method,
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
        sigma, method = STRAIN_SIGMA, "principal stretches of the relaxed lattice, charged against discharged"
        if not layers_held(subject):
            if drifted_apart(subject):
                return _unknown(self.name, self.stage, around)
            sigma, method = LOOSE_SIGMA, f"{method}; {UNHELD}: sigma is the error of such hosts"
        return Findings(Estimate(value=largest, sigma=sigma, unit=self.unit, method=method, model=around.model.id))


def principal_stretches(start: Crystal, end: Crystal) -> np.ndarray:
    """Principal stretches [3] of the map between two lattices given by corresponding row vectors."""
    deformation = np.linalg.solve(np.array(start.lattice_A), np.array(end.lattice_A))
    stretches: np.ndarray = np.linalg.svd(deformation, compute_uv=False)
    return stretches


def layers_held(subject: Subject) -> bool:
    """Whether the potential holds the charged state together; frameworks hold by their bonds."""
    binding = subject.layer_binding_eV_per_atom
    return binding is None or binding >= HELD_eV_per_atom


def drifted_apart(subject: Subject) -> bool:
    """Whether the host grew on charge by more than can be told of layers that the potential does not hold."""
    discharged, charged = (_volume_by_host(state.crystal, subject.ion) for state in subject.both)
    return charged / discharged - 1 > LOOSE_SIGMA


def _unknown(name: str, stage: str, around: Surroundings) -> Findings:
    """No number; without one a limit cannot be judged."""
    text = f"{name} is not known: {UNHELD}, and they drifted apart"
    verdict = Verdict.UNDETERMINED if name in around.settings.all_limits else Verdict.PASS
    return Findings(reasons=[Reason(stage=stage, code="layers_drifted", text=text, verdict=verdict)])


def _volume_by_host(crystal: Crystal, ion: str) -> float:
    return crystal.volume_A3 / (crystal.n_atoms - crystal.composition.get(ion, 0))
