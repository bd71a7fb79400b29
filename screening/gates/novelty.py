"""Duplicates among the candidates, and novelty against published materials."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from redoxa.data.errors import StructureError
from redoxa.data.fingerprint import SAME, SAME_UNRELAXED, Fingerprint, distance, fingerprint
from redoxa.data.records import Candidate, Crystal, Reason, Verdict
from redoxa.screening.base import Findings, Needs, Subject, Surroundings


class DuplicateIndex:
    """Finds, for a candidate, the first equal one that stands before it in a fixed order.

    The order is the one in which candidates are added, and only what stands before counts. So the answer is the same in
    whatever order the screening itself proceeds, and after any interruption. Adding a candidate twice changes nothing.
    """

    def __init__(self, candidates: Iterable[Candidate] = (), tolerance: float = SAME_UNRELAXED) -> None:
        self.tolerance = tolerance
        self._place: dict[str, int] = {}
        self._buckets: dict[str, list[Candidate]] = {}
        self._marks: dict[str, Fingerprint | None] = {}
        for candidate in candidates:
            self.add(candidate)

    def add(self, candidate: Candidate) -> None:
        """Append a candidate to the order."""
        if candidate.id not in self._place:
            self._place[candidate.id] = len(self._place)
            self._buckets.setdefault(candidate.formula, []).append(candidate)

    def __contains__(self, candidate: Candidate) -> bool:
        return candidate.id in self._place

    def duplicate_of(self, candidate: Candidate) -> str | None:
        """Id of the first equal candidate before this one; None for a new crystal or one that was never added."""
        place = self._place.get(candidate.id)
        own = self._mark(candidate) if place is not None else None
        if place is None or own is None:
            return None
        for other in self._buckets[candidate.formula]:
            if self._place[other.id] >= place:
                return None
            mark = self._mark(other)
            if other.working_ion == candidate.working_ion and mark and distance(own, mark) <= self.tolerance:
                return other.id
        return None

    def _mark(self, candidate: Candidate) -> Fingerprint | None:
        """Fingerprint, kept; None for a cell too degenerate to have one (it fails elsewhere)."""
        if candidate.id not in self._marks:
            try:
                self._marks[candidate.id] = fingerprint(candidate.crystal)
            except StructureError:
                self._marks[candidate.id] = None
        return self._marks[candidate.id]


class Duplicates:
    """The same crystal was proposed before."""

    name: ClassVar[str] = "duplicates"
    summary: ClassVar[str] = "not the crystal of an earlier candidate"
    stage: ClassVar[str] = "novelty"
    needs: ClassVar[Needs] = Needs.CRYSTAL
    cost: ClassVar[float] = 0.01

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Compare with the candidates before this one."""
        if around.earlier is None:
            return Findings()
        twin = around.earlier.duplicate_of(subject.candidate)
        if twin is None:
            return Findings()
        text = f"the same {subject.candidate.formula} crystal as candidate {twin}"
        rejects = around.settings.duplicates == "reject"
        return Findings(
            reasons=[_reason("duplicate", text, Verdict.FAIL if rejects else Verdict.PASS)],
            notes={"duplicate_of": twin},
        )


class Novelty:
    """Published already, as proposed."""

    name: ClassVar[str] = "novelty"
    summary: ClassVar[str] = "not a known material, as proposed"
    stage: ClassVar[str] = "novelty"
    needs: ClassVar[Needs] = Needs.CRYSTAL
    cost: ClassVar[float] = 0.011

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Look the crystal up among known materials, with the tight tolerance: relaxation will show the rest."""
        return _novelty(subject.candidate.crystal, around)


class NoveltyRelaxed:
    """Published already, once relaxed."""

    name: ClassVar[str] = "novelty_relaxed"
    summary: ClassVar[str] = "not a known material, once relaxed"
    stage: ClassVar[str] = "novelty_relaxed"
    needs: ClassVar[Needs] = Needs.DISCHARGED
    cost: ClassVar[float] = 0.01

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """The same look-up for the relaxed crystal."""
        return _novelty(subject.crystal, around)


def _novelty(crystal: Crystal, around: Surroundings) -> Findings:
    if around.known is None:
        return Findings()
    match = around.known.nearest(crystal, SAME)
    if match is None:
        return Findings(notes={"novelty": f"no material of formula {crystal.formula} is known"})
    found = Findings(notes={"novelty": match.text})
    if match.level == "structure":
        rejects = around.settings.known == "reject"
        found.reasons.append(_reason("known_material", match.text, Verdict.FAIL if rejects else Verdict.PASS))
    return found


def _reason(code: str, text: str, verdict: Verdict) -> Reason:
    return Reason(stage="novelty", code=code, text=text, verdict=verdict)
