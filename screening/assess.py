"""One candidate's way through the stages, as a coroutine that asks for the relaxations it needs."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol

from data.records import Candidate, Crystal, Reason, ScreeningResult, Verdict
from data.registry import load
from screening import GATES, PROPERTIES
from screening.base import Findings, Gate, Needs, Subject, Surroundings
from screening.pool import Finished
from screening.relax import Relaxation
from screening.removal import remove_ions, supercell


class Stopped(Exception):  # noqa: N818  (not an error: the candidate's way ended, the reasons say why)
    """A stage ended the candidate's way."""


class Clock(Protocol):
    """Measures stages."""

    def entered(self, stage: str) -> None:
        """Count a candidate in."""
        ...

    def passed(self, stage: str) -> None:
        """Count it out again, on its way to the next stage."""
        ...

    def spent(self, stage: str, seconds: float) -> None:
        """Add time."""
        ...


@dataclass
class RelaxationRequest:
    """Asks for a relaxation; whoever drives the coroutine fills `outcome` before going on."""

    stage: str
    crystal: Crystal
    urgency: int
    outcome: Finished | None = None


@dataclass
class Assessment:
    """What is known of one candidate so far, and how it went."""

    candidate: Candidate
    around: Surroundings
    clock: Clock
    stage: str = ""
    stages: list[str] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    subject: Subject = field(init=False)

    def __post_init__(self) -> None:
        self.subject = Subject(self.candidate)

    def enter(self, stage: str) -> None:
        """Begin a stage."""
        self.stage = stage
        self.stages.append(stage)
        self.clock.entered(stage)

    def stop(self, reason: Reason) -> None:
        """Note why the way ends here."""
        self.reasons.append(reason)

    def result(self, settings_hash: str) -> ScreeningResult:
        """The record of what was found; the verdict is the gravest reason's."""
        subject = self.subject
        states = {"discharged": subject.discharged, "charged": subject.charged}
        return ScreeningResult(
            candidate_id=self.candidate.id,
            formula=self.candidate.formula,
            working_ion=self.candidate.working_ion,
            verdict=Findings(reasons=self.reasons).verdict,
            settings_hash=settings_hash,
            estimates=subject.estimates,
            reasons=tuple(self.reasons),
            crystals={name: r.crystal for name, r in states.items() if r is not None},
            notes=self.notes,
            stages=tuple(self.stages),
        )


@cache
def plan() -> Mapping[Needs, Mapping[str, tuple[Gate, ...]]]:
    """Gates and properties by what they need and by stage, cheap before dear; built from the registries."""
    kinds = [load(GATES, "gate", name)() for name in GATES] + [load(PROPERTIES, "property", n)() for n in PROPERTIES]
    stages: dict[Needs, dict[str, tuple[Gate, ...]]] = {needs: {} for needs in Needs}
    for kind in sorted(kinds, key=lambda k: (k.needs, k.cost)):
        stages[kind.needs][kind.stage] = (*stages[kind.needs].get(kind.stage, ()), kind)
    return stages


def assess(run: Assessment) -> Generator[RelaxationRequest, None, None]:
    """Walk a candidate through all stages.

    Raises:
        Stopped: a stage ended the way; `run.reasons` say why.
    """
    subject = run.subject
    _evaluate(run, Needs.CRYSTAL)
    subject.discharged = yield from _relaxed(run, "relax_discharged", subject.candidate.crystal, urgency=0)
    _evaluate(run, Needs.DISCHARGED)
    subject.charged_start = supercell(subject.discharged.crystal, subject.supercells)
    for count in partial_counts(subject.n_removed, run.around.settings.profile_states):
        partly = remove_ions(subject.charged_start, subject.ion, count)
        subject.between += ((yield from _relaxed(run, "relax_between", partly, urgency=1)),)
    emptied = remove_ions(subject.charged_start, subject.ion, subject.n_removed)
    subject.charged = yield from _relaxed(run, "relax_charged", emptied, urgency=2)
    _evaluate(run, Needs.CHARGED)


def stage_order() -> tuple[str, ...]:
    """Names of all stages, in the order of the funnel."""
    by_need = plan()
    return (
        *by_need[Needs.CRYSTAL], "relax_discharged",
        *by_need[Needs.DISCHARGED], "relax_between", "relax_charged",
        *by_need[Needs.CHARGED],
    )  # fmt: skip


def partial_counts(removed: int, states: int) -> list[int]:
    """Numbers of ions taken out in up to `states` evenly spaced intermediate states, ascending and distinct."""
    return sorted({round(removed * k / (states + 1)) for k in range(1, states + 1)} - {0, removed})


def _relaxed(
    run: Assessment, stage: str, crystal: Crystal, urgency: int
) -> Generator[RelaxationRequest, None, Relaxation]:
    """Ask for a relaxation and return it.

    Raises:
        Stopped: it did not converge (undetermined, never a number), or the potential or its process failed.
    """
    run.enter(stage)
    request = RelaxationRequest(stage, crystal, urgency)
    yield request
    outcome = request.outcome
    if outcome is None:
        raise LookupError("nobody answered the request for a relaxation")
    done = outcome.relaxation
    if done is None:
        verdict, code = (Verdict.ERROR, "worker_died") if outcome.died else (Verdict.UNDETERMINED, "no_energy")
        run.stop(Reason(stage=stage, code=code, text=outcome.error, verdict=verdict))
    elif not done.converged:
        run.stop(Reason(
            stage=stage, code="not_converged", text=done.reason, verdict=Verdict.UNDETERMINED,
            value=done.max_force_eV_A, limit=run.around.settings.fmax_eV_A,
        ))  # fmt: skip
    else:
        run.clock.passed(stage)
        return done
    raise Stopped


def _evaluate(run: Assessment, needs: Needs) -> None:
    """All stages that need no more than this.

    Raises:
        Stopped: a stage ended the way.
    """
    for stage, kinds in plan()[needs].items():
        run.enter(stage)
        started = time.perf_counter()
        try:
            verdict = _stage(run, kinds)
        finally:
            run.clock.spent(stage, time.perf_counter() - started)
        if verdict is not Verdict.PASS:
            raise Stopped
        run.clock.passed(stage)


def _stage(run: Assessment, kinds: Sequence[Gate]) -> Verdict:
    """Evaluate everything of one stage, all of it even where the first part fails, and say the gravest verdict."""
    limits = run.around.settings.all_limits
    first = len(run.reasons)
    for kind in kinds:
        found = kind.evaluate(run.subject, run.around)
        run.reasons += found.reasons
        run.notes |= found.notes
        if found.estimate is None:
            continue
        run.subject.estimates[kind.name] = found.estimate
        value = found.estimate.value
        if kind.name in limits and (broken := limits[kind.name].broken_limit(value)) is not None:
            side = "above" if value > broken else "below"
            text = f"{kind.name} {value:.4g} {found.estimate.unit} lies {side} the limit of {broken:g}"
            run.stop(Reason(stage=kind.stage, code="limit", text=text, verdict=Verdict.FAIL, value=value, limit=broken))
    return Findings(reasons=run.reasons[first:]).verdict
