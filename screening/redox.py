"""Is there a working ion and something that can be oxidised when it leaves, or room and something to reduce?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from data.chemistry import insertable_ions, oxidation_states, removable_ions
from data.records import Reason, Verdict
from data.units import ION_VALENCE
from screening.base import Findings, Needs, Subject, Surroundings

MIN_MOVING_FRACTION = 1 / 8
"""Fewer ions than this share of the host's cannot carry a useful capacity."""

MIN_INSERTED_FRACTION = 1 / 24
"""Ions by atom of the host, at least, for a useful capacity (LiC6 has 1/6, Mg2Mo6S8 1/7)."""

TINY = 1e-6

GOOD_SHARE = 0.8
"""A supercell is taken only where whole ions of the single cell would leave more than a fifth of the charge unused."""


class Redox:
    """Working ion present, and redox-active elements that can pay for its leaving; or a host that can take ions up."""

    name: ClassVar[str] = "redox"
    summary: ClassVar[str] = "holds the working ion and something to oxidise, or can take the ion up"
    stage: ClassVar[str] = "redox"
    needs: ClassVar[Needs] = Needs.CRYSTAL
    cost: ClassVar[float] = 0.002

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Set how many ions move in how many cells, and which way: `n_removed`, `supercells` and `inserts`."""
        composition, ion = subject.candidate.crystal.composition, subject.ion
        ions = composition.get(ion, 0)
        if len(composition) == 1 and ions:
            return _ended("no_host", f"pure {ion} has no host that could stay when the ions leave")
        states = oxidation_states(composition)
        found = Findings()
        if states is not None:
            found.notes["oxidation_states"] = ", ".join(f"{e} {q:+.3g}" for e, q in states.items())
        able = removable_ions(composition, ion) if states is not None else 0.0
        if ions and able >= ions * MIN_MOVING_FRACTION:
            _plan(subject, able, around)
            if able < ions - TINY:
                found.notes["moving_ions"] = (
                    f"{subject.n_moving:.3g} of {ions} {ion} per cell: the redox elements pay for {able:.3g}"
                )
            return found
        other = _ion_of_another_battery(composition, ion)
        if not ions and other is not None:
            text = (
                f"{subject.candidate.formula} holds no {ion} but {other}: exchange the ions, or screen it for {other}"
            )
            return _ended("no_working_ion", text)
        room = insertable_ions(composition, ion) if around.settings.insertion and states is not None else 0.0
        host = sum(composition.values()) - ions
        if room >= host * MIN_INSERTED_FRACTION:
            subject.inserts = True
            _plan(subject, room, around)
            found.notes["moving_ions"] = f"{subject.n_moving:.3g} {ion} per cell enter the candidate, the charged state"
            return found
        return _nothing_moves(subject, around, able, found)


def _ion_of_another_battery(composition: Mapping[str, int], ion: str) -> str | None:
    """Another working ion that could leave the crystal, so that it is no empty host."""
    others = (x for x in ION_VALENCE if x != ion and x in composition)
    return next((x for x in others if removable_ions(composition, x) >= composition[x] * MIN_MOVING_FRACTION), None)


def _plan(subject: Subject, able: float, around: Surroundings) -> None:
    n_atoms = subject.candidate.crystal.n_atoms
    subject.supercells, subject.n_removed = removal_plan(able, n_atoms, around.settings.max_atoms)


def _nothing_moves(subject: Subject, around: Surroundings, able: float, found: Findings) -> Findings:
    """What becomes of a candidate whose redox elements pay for nothing."""
    formula, ion = subject.candidate.formula, subject.ion
    ions = subject.candidate.crystal.composition.get(ion, 0)
    if not ions:
        takes = ", and no common reduction pays for taking any up" if around.settings.insertion else ""
        return _ended("no_working_ion", f"{formula} holds no {ion}{takes}")
    text = f"nothing in {formula} can be oxidised when {ion} leaves"
    if "oxidation_states" not in found.notes:
        text = f"{formula} has no common oxidation states, so its redox capacity is unknown"
    if around.settings.redox == "reject":
        return _ended("no_redox", text, able, ions * MIN_MOVING_FRACTION)
    found.reasons.append(_reason("no_redox", f"{text}; all {ions} are taken out", Verdict.PASS))
    subject.supercells, subject.n_removed = 1, ions
    return found


def _ended(code: str, text: str, value: float | None = None, limit: float | None = None) -> Findings:
    return Findings(reasons=[_reason(code, text, Verdict.FAIL, value, limit)])


def removal_plan(able: float, n_atoms: int, max_atoms: int) -> tuple[int, int]:
    """How many cells to join, and how many ions to take out of them.

    Args:
        able: ions per cell that may leave, maybe fractional.
        n_atoms: atoms in the cell.
        max_atoms: largest supercell.

    Returns:
        The smallest number of cells (at most 4) that uses four fifths of the charge, or else the best; and whole ions,
        at least one: where even four cells hold less than one ion, one leaves all the same.
    """
    sizes = [k for k in range(1, 5) if k == 1 or k * n_atoms <= max_atoms]
    counts = {k: int(k * able + TINY) for k in sizes}
    good = [k for k in sizes if counts[k] >= GOOD_SHARE * k * able]
    best = good[0] if good else max(sizes, key=lambda k: (counts[k] / k, -k))
    return best, max(1, counts[best])


def _reason(code: str, text: str, verdict: Verdict, value: float | None = None, limit: float | None = None) -> Reason:
    return Reason(stage="redox", code=code, text=text, verdict=verdict, value=value, limit=limit)
