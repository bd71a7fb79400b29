"""Which element pays for the ions: oxidation states by charge balance, checked against magnetic moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from ase.data import chemical_symbols

from redoxa.data.chemistry import REDOX_WINDOW, oxidation_states
from redoxa.data.records import Estimate, Reason, Verdict
from redoxa.data.units import ION_VALENCE
from redoxa.screening.base import Findings, Needs, Subject, Surroundings
from redoxa.screening.compute.relax import Relaxation
from redoxa.screening.labels import Label, Note
from redoxa.screening.physics.moments import ANIONS, TypicalMoment, shipped_moments
from redoxa.screening.potentials.base import FloatArray

MAX_SPREAD_muB = 0.5
"""States whose moments scatter more in published crystals are not told by them (mixed spin states, metals)."""

RESOLVED_muB = 0.3
"""Least difference of two states' moments that tells them apart."""

NOISE_muB = 0.1
STEPS_BY_STATE = 20
STATE_SIGMA = 0.25
"""Of a change of the mean oxidation state: a spread of 0.15 muB over a difference of 0.7 muB between states, twice."""

DISAGREE = 0.6
"""Difference of two oxidation states beyond which charge balance and moments contradict one another."""

ANION_SHARE = 0.7
"""Share of the charge below which the cations do not account for it."""


@dataclass(frozen=True)
class ElementCharge:
    """How one element changes between the discharged and the charged state.

    Attributes:
        element: symbol.
        atoms: in the cell of the charged state.
        balance: mean oxidation states (discharged, charged) by charge balance, None where it finds none.
        moments_muB: mean absolute moments (discharged, charged), None where the potential knows none.
        by_moments: mean oxidation states that these moments stand for, None where they do not tell states apart.
    """

    element: str
    atoms: int
    balance: tuple[float, float] | None
    moments_muB: tuple[float, float] | None
    by_moments: tuple[float, float] | None

    @property
    def electrons(self) -> float | None:
        """Electrons that the element gives per cell, by moments if they tell."""
        states = self.by_moments or self.balance
        return None if states is None else self.atoms * (states[1] - states[0])

    @property
    def contradicts(self) -> bool:
        """Whether charge balance and moments tell different changes."""
        if self.balance is None or self.by_moments is None:
            return False
        (a, b), (c, d) = self.balance, self.by_moments
        return abs((b - a) - (d - c)) > DISAGREE

    @property
    def text(self) -> str:
        """``Fe +2 to +3 (moments 3.7 to 4.3 muB: +2 to +3)``."""
        parts = [self.element]
        if self.balance is not None:
            parts.append(f"{self.balance[0]:+.2g} to {self.balance[1]:+.2g}")
        if self.moments_muB is not None:
            told = f": {self.by_moments[0]:+.2g} to {self.by_moments[1]:+.2g}" if self.by_moments else ""
            parts.append(f"(moments {self.moments_muB[0]:.1f} to {self.moments_muB[1]:.1f} muB{told})")
        return " ".join(parts)


class CationRedoxShare:
    """Which share of the charge the cations give; the rest would have to come from the anions."""

    name: ClassVar[str] = "cation_redox_share"
    summary: ClassVar[str] = "share of the charge that the redox elements account for; the rest is anion redox"
    unit: ClassVar[str] = "1"
    stage: ClassVar[str] = "oxidation"
    needs: ClassVar[Needs] = Needs.CHARGED
    cost: ClassVar[float] = 0.02
    label: ClassVar[Label] = Label(
        "Charge given by the cations",
        "Cation redox",
        "Electrochemistry",
        absent="neither charge balance nor magnetic moments tell the states of all redox elements",
        percent=True,
    )
    notes: ClassVar[Mapping[str, Note]] = {
        "redox": Note("Redox on charge: {}.", "Electrochemistry"),
    }

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Compare the states of charge, element by element."""
        discharged, charged = subject.both
        changes = element_charges(discharged, charged)
        told = [change for change in changes if change.electrons is not None]
        found = Findings(notes={"redox": "; ".join(change.text for change in changes)} if changes else {})
        found.reasons += [
            _warning("moments_disagree", f"{change.text}: charge balance and magnetic moments contradict one another")
            for change in told
            if change.contradicts
        ]
        if not told or len(told) < len(changes):
            return found  # an element whose states nothing tells could have given anything
        needed = subject.n_removed * ION_VALENCE[subject.ion]
        share = sum(change.electrons or 0.0 for change in told) / needed
        if share < ANION_SHARE and not subject.anion_redox:
            found.reasons.append(_warning("anion_redox", f"the cations give {100 * share:.0f} % of the charge"))
        by_moments = [change.element for change in told if change.by_moments is not None]
        sigma = STATE_SIGMA * sum(change.atoms**2 for change in told) ** 0.5 / needed
        found.estimate = Estimate(
            value=share,
            sigma=sigma,
            unit=self.unit,
            method=f"oxidation states by magnetic moments ({', '.join(by_moments)})"
            if by_moments
            else "charge balance",
            model=around.model.id if by_moments else "stoichiometry",
        )
        return found


def element_charges(discharged: Relaxation, charged: Relaxation) -> list[ElementCharge]:
    """The change of each redox element that both states hold."""
    states = [oxidation_states(r.crystal.composition) for r in (discharged, charged)]
    found = []
    for element in sorted(e for e in charged.crystal.composition if e in REDOX_WINDOW):
        if element not in discharged.crystal.composition:
            continue
        balance = None if states[0] is None or states[1] is None else (states[0][element], states[1][element])
        sites = [_moments(r, element) for r in (discharged, charged)]
        moments = by_moments = None
        if sites[0] is not None and sites[1] is not None:
            moments = float(sites[0].mean()), float(sites[1].mean())
            first = state_of(element, discharged.crystal.composition, sites[0], balance and balance[0])
            second = state_of(element, charged.crystal.composition, sites[1], balance and balance[1])
            by_moments = (first, second) if first is not None and second is not None else None
        count = charged.crystal.composition[element]
        found.append(ElementCharge(element, count, balance, moments, by_moments))
    return found


def state_of(
    element: str, composition: Mapping[str, int], moments_muB: FloatArray, balance: float | None = None
) -> float | None:
    """Mean oxidation state that site moments [n] stand for, read off the typical moments of neighbouring states.

    Args:
        element: symbol.
        composition: of the crystal; its first anion of `screening.physics.moments.ANIONS` chooses the typical moments.
        moments_muB: absolute moments of the element's sites.
        balance: mean state by charge balance; where a moment fits several states, the one next to it is read.

    Returns:
        None where the moments do not tell the element's states apart beside this anion, or not those around `balance`.
    """
    anion = next((a for a in ANIONS if a in composition), "")
    for run in _told_apart(shipped_moments().get((element, anion), ())):
        first, last = run[0].state, run[-1].state
        steps_muB = np.diff([m.median_muB for m in run])
        if balance is None and not (np.all(steps_muB > 0) or np.all(steps_muB < 0)):
            continue  # a moment would fit two states
        if balance is not None and not first - DISAGREE <= balance <= last + DISAGREE:
            continue
        states = np.linspace(first, last, STEPS_BY_STATE * (last - first) + 1)
        curve = np.interp(states, [m.state for m in run], [m.median_muB for m in run])
        gaps = np.abs(moments_muB[:, None] - curve)
        away = np.abs(states - balance) if balance is not None else gaps
        likely = np.where(gaps <= gaps.min(1, keepdims=True) + NOISE_muB, away, np.inf)
        return float(states[likely.argmin(1)].mean())
    return None


def _told_apart(known: Sequence[TypicalMoment]) -> list[list[TypicalMoment]]:
    """Runs of two or more neighbouring states, each told from the next by its moment."""
    runs: list[list[TypicalMoment]] = [[]]
    for moment in known:
        if moment.spread_muB > MAX_SPREAD_muB:
            continue
        before = runs[-1][-1] if runs[-1] else None
        if before and (moment.state != before.state + 1 or abs(moment.median_muB - before.median_muB) < RESOLVED_muB):
            runs.append([])
        runs[-1].append(moment)
    return [run for run in runs if len(run) > 1]


def _moments(state: Relaxation, element: str) -> FloatArray | None:
    if not state.magmoms_muB:
        return None
    sites = [i for i, z in enumerate(state.crystal.numbers) if chemical_symbols[z] == element]
    return np.array(state.magmoms_muB)[sites]


def _warning(code: str, text: str) -> Reason:
    return Reason(stage="oxidation", code=code, text=text, verdict=Verdict.PASS)
