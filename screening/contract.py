"""The executable contract of properties, gates and potentials: ships with the package, for third parties to run."""

from __future__ import annotations

import copy
import math
from dataclasses import fields

import numpy as np

from redoxa.data.errors import ContractError
from redoxa.data.records import Crystal, Verdict
from redoxa.screening.base import Findings, Gate, Needs, Subject, Surroundings
from redoxa.screening.labels import GROUPS, Label, Note, label_of, notes_of
from redoxa.screening.potentials.base import PointResult, Potential

PLAN = ("supercells", "n_removed", "inserts", "converts", "anion_redox")
"""What the redox gate, and it alone, writes into the subject."""


def check_gate(gate: Gate, subject: Subject, around: Surroundings) -> Findings:
    """Evaluate a gate or property on a subject that has what it needs, and hold it against the contract.

    Args:
        gate: an instance.
        subject: a candidate that passes the gate; it is not changed.
        around: tables and settings.

    Returns:
        What was found.

    Raises:
        ContractError: which clause was broken.
    """
    for attribute in ("name", "summary", "stage"):
        if not isinstance(getattr(gate, attribute, None), str) or not getattr(gate, attribute):
            raise ContractError(f"{type(gate).__name__} has no {attribute}")
    if not isinstance(gate.needs, Needs) or not gate.cost > 0:
        raise ContractError(f"{gate.name}: `needs` must be a Needs and `cost` positive seconds")
    _check_names(gate)
    given = copy.deepcopy(subject)
    found = gate.evaluate(given, around)
    again = gate.evaluate(copy.deepcopy(subject), around)
    if found != again:
        raise ContractError(f"{gate.name}: the same subject gave other findings the second time")
    free = PLAN if gate.name == "redox" else ()
    changed = [f.name for f in fields(subject) if getattr(given, f.name) != getattr(subject, f.name)]
    if changed := [name for name in changed if name not in free]:
        raise ContractError(f"{gate.name}: changed {', '.join(changed)} of its subject")
    for reason in found.reasons:
        if not reason.text or not reason.code or not reason.stage:
            raise ContractError(f"{gate.name}: a reason needs stage, code and text")
    if undeclared := [key for key in found.notes if key not in notes_of(gate)]:
        raise ContractError(f"{gate.name}: wrote the note {undeclared[0]}, which its `notes` do not declare")
    _check_estimate(gate, found)
    return found


def _check_names(gate: Gate) -> None:
    """What it declares of its label and its notes can be shown."""
    label = label_of(gate)
    if not isinstance(label, Label) or not all((label.long, label.short, label.absent)):
        raise ContractError(f"{gate.name}: `label` must be a Label with a long and a short name, and why it is absent")
    if label.group not in GROUPS:
        raise ContractError(f"{gate.name}: '{label.group}' is no part of a card. Known: {', '.join(GROUPS)}")
    for key, note in notes_of(gate).items():
        if not isinstance(note, Note) or not note.sentence or note.group not in GROUPS:
            raise ContractError(f"{gate.name}: the note {key} must be a Note with a sentence and a part of a card")
        if note.told == "sentence" and note.sentence.count("{}") != 1:
            raise ContractError(f"{gate.name}: the sentence of the note {key} needs one gap {{}} for its text")


def _check_estimate(gate: Gate, found: Findings) -> None:
    unit = getattr(gate, "unit", None)
    estimate = found.estimate
    if unit is None and estimate is not None:
        raise ContractError(f"{gate.name}: a gate without unit gave a number")
    if unit is None or estimate is None:
        return
    if found.verdict in (Verdict.UNDETERMINED, Verdict.ERROR):
        raise ContractError(f"{gate.name}: what is undetermined must not carry a number")
    if estimate.unit != unit:
        raise ContractError(f"{gate.name}: declared in {unit}, estimated in {estimate.unit}")
    if not math.isfinite(estimate.value) or not estimate.method or not estimate.model:
        raise ContractError(f"{gate.name}: an estimate needs a finite value, its method and its model")


def check_potential(potential: Potential, crystal: Crystal, step_A: float = 5e-3) -> PointResult:
    """Hold a potential against the contract at one geometry with low symmetry.

    Forces must be the negative gradient of the energy (central differences), the stress symmetric, and energy-only
    calls equal to full ones.

    Raises:
        ContractError: which clause was broken.
    """
    from redoxa.data.structures import to_atoms

    point = potential.compute(crystal)
    n_atoms = crystal.n_atoms
    if point.forces_eV_A is None or point.forces_eV_A.shape != (n_atoms, 3):
        raise ContractError("forces must have shape [N,3]")
    if point.stress_eV_A3 is None or not np.allclose(point.stress_eV_A3, point.stress_eV_A3.T, atol=1e-6):
        raise ContractError("the stress must be a symmetric [3,3]")
    if abs(potential.compute(crystal, forces=False).energy_eV - point.energy_eV) > 1e-5 * n_atoms:
        raise ContractError("energy-only and full calls differ")
    atoms = to_atoms(crystal)
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[0, 0] += sign * step_A
        energies.append(potential.compute(moved, forces=False).energy_eV)
    slope = (energies[0] - energies[1]) / (2 * step_A)
    if abs(slope + point.forces_eV_A[0, 0]) > 0.02 + 0.02 * abs(slope):
        raise ContractError(f"force {point.forces_eV_A[0, 0]:.4f} eV/A against slope {-slope:.4f} of the energy")
    return point
