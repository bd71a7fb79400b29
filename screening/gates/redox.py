"""Which way the ions go first, how many, and what pays for them: the cations, the anions, or nothing that stays.

* What holds the ion is charged first. Where its cations are at the highest state they reach, the anions would have to
  pay (Li2MnO3), which is flagged. Only where the cations are bare d0 ions, which can but be reduced, and the lattice
  has room, the ions go in first (Li4Ti5O12).
* An empty host takes them up.
* What has no redox element, and every alloy, has no host that would stay: it is judged as conversion.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import gcd
from typing import ClassVar

from redoxa.data.chemistry import REDOX_WINDOW, insertable_ions, is_alloy, oxidation_states, removable_ions
from redoxa.data.records import Reason, Verdict, reduced_formula
from redoxa.data.units import ION_VALENCE
from redoxa.screening.base import Findings, Needs, Subject, Surroundings
from redoxa.screening.labels import Note

MIN_MOVING_FRACTION = 1 / 8
"""Fewer ions than this share of the host's cannot carry a useful capacity."""

MIN_INSERTED_FRACTION = 1 / 24
"""Ions by atom of the host, at least, for a useful capacity (LiC6 has 1/6, Mg2Mo6S8 1/7)."""

TINY = 1e-6

GOOD_SHARE = 0.8
"""A supercell is taken only where whole ions of the single cell would leave more than a fifth of the charge unused."""

ALKALI = ("Li", "Na", "K")
"""Ions that leave a host at voltages like those of one another; others mostly stay as its cations."""

BARE: Mapping[str, int] = {"Ti": 4, "V": 5, "Cr": 6, "Mn": 7, "Nb": 5, "Mo": 6, "Ta": 5, "W": 6, "Re": 7}
"""State in which no d electron is left."""


class Redox:
    """Working ion present, and redox-active elements that can pay for its leaving; or a host that can take ions up."""

    name: ClassVar[str] = "redox"
    summary: ClassVar[str] = "holds the working ion and something to oxidise, or can take the ion up"
    stage: ClassVar[str] = "redox"
    needs: ClassVar[Needs] = Needs.CRYSTAL
    cost: ClassVar[float] = 0.002
    notes: ClassVar[Mapping[str, Note]] = {
        "oxidation_states": Note("Oxidation states by charge balance: {}.", "Electrochemistry"),
        "moving_ions": Note("Ions that move: {}.", "Electrochemistry"),
        "direction": Note("Direction: {}.", "Electrochemistry", formulas=True),
        "room": Note("The other direction: room for {}.", "Electrochemistry", formulas=True),
        "other_ions": Note("Other ions: {}.", "Electrochemistry"),
    }

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Set how many ions move in how many cells, and which way: `n_removed`, `supercells`, `inserts`, `converts`."""
        composition, ion = subject.candidate.crystal.composition, subject.ion
        ions = composition.get(ion, 0)
        if len(composition) == 1 and ions:
            return _ended("no_host", f"pure {ion} has no host that could stay when the ions leave")
        states = oxidation_states(composition)
        found = Findings(notes=_notes(composition, ion, states))
        if is_alloy(composition):
            return _without_host(subject, around, found, f"{subject.candidate.formula} is an alloy")
        if ions:
            return _charged_first(subject, around, states, found)
        other = _ion_of_another_battery(composition, ion)
        if other is not None:
            text = (
                f"{subject.candidate.formula} holds no {ion} but {other}: exchange the ions, or screen it for {other}"
            )
            return _ended("no_working_ion", text)
        room = insertable_ions(composition, ion) if states is not None else 0.0
        if around.settings.insertion and room >= sum(composition.values()) * MIN_INSERTED_FRACTION:
            return _filled_first(subject, around, room, found)
        takes = ", and no common reduction pays for taking any up" if around.settings.insertion else ""
        return _without_host(
            subject, around, found, f"{subject.candidate.formula} holds no {ion}{takes}", "no_working_ion"
        )


def _charged_first(
    subject: Subject, around: Surroundings, states: Mapping[str, float] | None, found: Findings
) -> Findings:
    """Ions leave as far as the cations pay, else as the anions would; bare d0 cations can only take more up."""
    composition, ion, formula = subject.candidate.crystal.composition, subject.ion, subject.candidate.formula
    ions = composition[ion]
    able = removable_ions(composition, ion) if states is not None else 0.0
    if able >= ions * MIN_MOVING_FRACTION:
        _plan(subject, able, around)
        if able < ions - TINY:
            moving, all_of, paid = (_by_formula(n, composition) for n in (subject.n_moving, ions, able))
            found.notes["moving_ions"] = f"{moving} of {all_of} {ion} by {formula}: the redox elements pay for {paid}"
        return found
    redox = {e: (states or {}).get(e, 0.0) for e in composition if e in REDOX_WINDOW and e != ion}
    if not redox:
        return _without_host(subject, around, found, f"nothing in {formula} can be oxidised when {ion} leaves")
    if states is None:
        text = f"{formula} has no common oxidation states, so its redox capacity is unknown"
        return _all_leave(subject, around, found, "no_redox", text)
    named = ", ".join(f"{e} {q:+.3g}" for e, q in redox.items())
    room, host = _room(composition, ion), sum(composition.values()) - ions
    bare = all(q > BARE.get(e, 99) - TINY for e, q in redox.items())
    if bare and around.settings.insertion and room >= host * MIN_INSERTED_FRACTION:
        found.notes["direction"] = f"{named} has no electron to give, so more {ion} goes in first"
        return _filled_first(subject, around, room, found)
    subject.anion_redox = True
    text = f"{named} in {formula} gives no more electrons, so that the anions would have to pay when {ion} leaves"
    return _all_leave(subject, around, found, "anion_redox", text)


def _filled_first(subject: Subject, around: Surroundings, room: float, found: Findings) -> Findings:
    """The candidate is the charged state."""
    subject.inserts = True
    _plan(subject, room, around)
    moving = _by_formula(subject.n_moving, subject.candidate.crystal.composition)
    found.notes["moving_ions"] = (
        f"{moving} {subject.ion} by {subject.candidate.formula} enter the candidate, the charged state"
    )
    return found


def _all_leave(subject: Subject, around: Surroundings, found: Findings, code: str, text: str) -> Findings:
    """All ions are taken out although no cation is known to pay, where the settings allow it."""
    if around.settings.redox == "reject":
        return _ended("no_redox", text)
    ions = subject.candidate.crystal.composition[subject.ion]
    subject.supercells, subject.n_removed = 1, ions
    taken = _by_formula(ions, subject.candidate.crystal.composition)
    found.reasons.append(_reason(code, f"{text}; all {taken} by formula are taken out", Verdict.PASS))
    return found


def _without_host(
    subject: Subject, around: Surroundings, found: Findings, text: str, code: str = "no_redox"
) -> Findings:
    """No host would stay: the candidate is judged as conversion, where the settings let it through."""
    if around.settings.redox == "reject":
        return _ended(code, text)
    subject.converts = True
    found.reasons.append(_reason("no_insertion", f"{text}: no insertion electrode, judged as conversion", Verdict.PASS))
    return found


def _notes(composition: Mapping[str, int], ion: str, states: Mapping[str, float] | None) -> dict[str, str]:
    """Oxidation states, other ions that would leave as well, and room for more of the working ion."""
    if states is None:
        return {}
    notes = {"oxidation_states": ", ".join(f"{e} {q:+.3g}" for e, q in states.items())}
    if ion not in composition:
        return notes
    if others := [x for x in ALKALI if x != ion and x in composition and removable_ions(composition, x) > 0]:
        notes["other_ions"] = (
            f"{', '.join(others)} would leave as well; the numbers are for {ion} alone, the rest stays"
        )
    if (room := _room(composition, ion)) >= (sum(composition.values()) - composition[ion]) * MIN_INSERTED_FRACTION:
        notes["room"] = f"up to {_by_formula(room, composition)} more {ion} by {reduced_formula(dict(composition))}"
    return notes


def _room(composition: Mapping[str, int], ion: str) -> float:
    """Further ions that the cations pay for and that find a place: no more cations than anions, as in rock salt.

    A denser filling turns most oxides into other compounds: Li2MnO3, which is full, does not become Li3MnO3.
    """
    states = oxidation_states(composition) or {}
    negative = sum(n for e, n in composition.items() if states.get(e, 0.0) < 0)
    positive = sum(n for e, n in composition.items() if states.get(e, 0.0) > 0)
    return min(insertable_ions(composition, ion), max(0.0, float(negative - positive)))


def _by_formula(count: float, composition: Mapping[str, int]) -> str:
    """A number of atoms of the cell, by formula unit."""
    return f"{count / gcd(*composition.values()):.3g}"


def _ion_of_another_battery(composition: Mapping[str, int], ion: str) -> str | None:
    """Another working ion that could leave the crystal, so that it is no empty host."""
    others = (x for x in ION_VALENCE if x != ion and x in composition)
    return next((x for x in others if removable_ions(composition, x) >= composition[x] * MIN_MOVING_FRACTION), None)


def _plan(subject: Subject, able: float, around: Surroundings) -> None:
    n_atoms = subject.candidate.crystal.n_atoms
    subject.supercells, subject.n_removed = removal_plan(able, n_atoms, around.settings.max_atoms)


def _ended(code: str, text: str) -> Findings:
    return Findings(reasons=[_reason(code, text, Verdict.FAIL)])


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


def _reason(code: str, text: str, verdict: Verdict) -> Reason:
    return Reason(stage="redox", code=code, text=text, verdict=verdict)
