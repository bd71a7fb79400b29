"""Is there a working ion, and something that can be oxidised when it leaves?"""

from __future__ import annotations

from typing import ClassVar

from data.chemistry import oxidation_states, removable_ions
from data.records import Reason, Verdict
from screening.base import Findings, Needs, Subject, Surroundings

MIN_MOVING_FRACTION = 1 / 8
"""Fewer ions than this share of the host's cannot carry a useful capacity."""

TINY = 1e-6

GOOD_SHARE = 0.8
"""A supercell is taken only where whole ions of the single cell would leave more than a fifth of the charge unused."""


class Redox:
    """Working ion present, and redox-active elements that can pay for its leaving."""

    name: ClassVar[str] = "redox"
    summary: ClassVar[str] = "holds the working ion and something to oxidise"
    stage: ClassVar[str] = "redox"
    needs: ClassVar[Needs] = Needs.CRYSTAL
    cost: ClassVar[float] = 0.002

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Set how many ions leave how many cells: `subject.n_removed` and `subject.supercells`."""
        composition = subject.candidate.crystal.composition
        ions = composition.get(subject.ion, 0)
        found = Findings()
        if not ions:
            text = f"{subject.candidate.formula} holds no {subject.ion}"
            found.reasons.append(_reason("no_working_ion", text, Verdict.FAIL))
            return found
        if len(composition) == 1:
            text = f"pure {subject.ion} has no host that could stay when the ions leave"
            found.reasons.append(_reason("no_host", text, Verdict.FAIL))
            return found
        states = oxidation_states(composition)
        able = removable_ions(composition, subject.ion) if states is not None else 0.0
        if able >= ions * MIN_MOVING_FRACTION:
            subject.supercells, subject.n_removed = removal_plan(
                able, subject.candidate.crystal.n_atoms, around.settings.max_atoms
            )
            shown = states or {}
            found.notes["oxidation_states"] = ", ".join(f"{e} {q:+.3g}" for e, q in shown.items())
            if able < ions - TINY:
                found.notes["moving_ions"] = (
                    f"{subject.n_moving:.3g} of {ions} {subject.ion} per cell: the redox elements pay for {able:.3g}"
                )
            return found
        text = f"nothing in {subject.candidate.formula} can be oxidised when {subject.ion} leaves"
        if states is None:
            text = f"{subject.candidate.formula} has no common oxidation states, so its redox capacity is unknown"
        if around.settings.redox == "reject":
            found.reasons.append(_reason("no_redox", text, Verdict.FAIL, able, ions * MIN_MOVING_FRACTION))
        else:
            found.reasons.append(_reason("no_redox", f"{text}; all {ions} are taken out", Verdict.PASS))
            subject.supercells, subject.n_removed = 1, ions
        return found


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
