"""Duplicates among the candidates, and novelty against published materials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from redoxa.data.fingerprint import SAME
from redoxa.data.records import Crystal, Reason, Verdict
from redoxa.screening.base import Findings, Needs, Subject, Surroundings
from redoxa.screening.labels import Note


class Duplicates:
    """The same crystal was proposed before."""

    name: ClassVar[str] = "duplicates"
    summary: ClassVar[str] = "not the crystal of an earlier candidate"
    stage: ClassVar[str] = "novelty"
    needs: ClassVar[Needs] = Needs.CRYSTAL
    cost: ClassVar[float] = 0.01
    notes: ClassVar[Mapping[str, Note]] = {
        "duplicate_of": Note("Crystal of an earlier candidate: {}.", told="elsewhere"),
    }

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
    notes: ClassVar[Mapping[str, Note]] = {
        "novelty": Note("Novelty: {}.", told="elsewhere"),
    }

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
    notes: ClassVar[Mapping[str, Note]] = {
        "novelty": Note("Novelty: {}.", told="elsewhere"),
    }

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
