"""One candidate's way through the stages, as a coroutine that asks for the computations it needs."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol

from redoxa.data.processor_time import processor_s
from redoxa.data.records import LOST, Candidate, Crystal, Reason, ScreeningResult, Verdict
from redoxa.screening import GATES, PROPERTIES
from redoxa.screening.base import Findings, Gate, Needs, Subject, Surroundings, gate_class, property_class
from redoxa.screening.compute.dispersion import DispersionSettings
from redoxa.screening.compute.point import PointSettings, SinglePoint
from redoxa.screening.compute.relax import Relaxation, RelaxSettings
from redoxa.screening.ions.insertion import fillings
from redoxa.screening.ions.layers import APART, loose_parts
from redoxa.screening.ions.removal import ion_sites, remove_ions, supercell, without
from redoxa.screening.mobility.barrier import Barrier, BarrierSettings
from redoxa.screening.mobility.hop_cell import make_hop
from redoxa.screening.mobility.hops import hop_kinds
from redoxa.screening.mobility.migration import Migration
from redoxa.screening.physics.calibration import SECOND_MODEL
from redoxa.screening.workers.jobs import Settings
from redoxa.screening.workers.jobs import Subject as Work
from redoxa.screening.workers.pool import Finished

FILLINGS = 3
"""Ways to fill an empty host that are relaxed at least; electrostatics alone does not know the best hole."""

CONVERSION = "conversion"
"""The only stage of charged states that says something of a candidate without a host."""

PROFILE_ATOMS = 48
"""Largest cell that is made for the sake of a profile."""

DISPERSION_FMAX_eV_A = 0.01
"""At 0.05 eV/A CoO2 with dispersion stops 3 % above its smallest volume, at 0.01 within 0.5 %."""


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
        """Add processor time."""
        ...


@dataclass
class JobRequest:
    """Asks for a job; whoever drives the coroutine fills `outcome` before going on."""

    stage: str
    subject: Work
    settings: Settings
    urgency: int
    outcome: Finished | None = None


JobRequests = tuple[JobRequest, ...]
"""What can be computed at the same time; the coroutine goes on when all have ended."""


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
    lost: str = ""
    """Why a job of it was given up because its process died; empty where none was."""
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
        if self.lost and all(reason.code != LOST for reason in self.reasons):
            self.stop(Reason(stage=self.stage, code=LOST, text=self.lost, verdict=Verdict.UNDETERMINED))
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
            profile=subject.profile,
            paths=subject.paths,
            notes=self.notes,
            stages=tuple(self.stages),
        )


@cache
def plan() -> Mapping[Needs, Mapping[str, tuple[Gate, ...]]]:
    """Gates and properties by what they need and by stage, cheap before dear; built from the registries."""
    kinds: list[Gate] = [kind() for kind in (*map(gate_class, GATES), *map(property_class, PROPERTIES))]
    stages: dict[Needs, dict[str, tuple[Gate, ...]]] = {needs: {} for needs in Needs}
    for kind in sorted(kinds, key=lambda k: (k.needs, k.cost)):
        stages[kind.needs][kind.stage] = (*stages[kind.needs].get(kind.stage, ()), kind)
    return stages


def assess(run: Assessment) -> Generator[JobRequests, None, None]:
    """Walk a candidate through all stages.

    Raises:
        Stopped: a stage ended the way; `run.reasons` say why.
    """
    _evaluate(run, Needs.CRYSTAL)
    if run.subject.converts:
        yield from _conversion(run)
        return
    yield from (_insertion(run) if run.subject.inserts else _removal(run))
    if run.around.calibration is not None:
        yield from _second_opinion(run)
    yield from _layers(run)
    _evaluate(run, Needs.CHARGED)
    if run.around.settings.profile_states:
        yield from _profile(run)
        _evaluate(run, Needs.PROFILE)
    if run.around.settings.barriers:
        yield from _hops(run)
        _evaluate(run, Needs.PATHS)


def stage_order() -> tuple[str, ...]:
    """Names of all stages, in the order of the funnel."""
    by_need = plan()
    return (
        *by_need[Needs.CRYSTAL], "relax_discharged",
        *by_need[Needs.DISCHARGED], "relax_charged", "second_model", "layers",
        *by_need[Needs.CHARGED], "relax_between",
        *by_need[Needs.PROFILE], "barriers",
        *by_need[Needs.PATHS],
    )  # fmt: skip


def _conversion(run: Assessment) -> Generator[JobRequests, None, None]:
    """Place the candidate, which no ions leave or enter as a host, between the phases of its system, and relax it."""
    _evaluate(run, Needs.CHARGED, only=CONVERSION)
    run.subject.discharged = yield from _lowest(run, "relax_discharged", [run.subject.candidate.crystal], urgency=0)
    _evaluate(run, Needs.DISCHARGED)


def _removal(run: Assessment) -> Generator[JobRequests, None, None]:
    """Relax the candidate, take the ions out, relax again."""
    subject = run.subject
    subject.discharged = yield from _lowest(run, "relax_discharged", [subject.candidate.crystal], urgency=0)
    _evaluate(run, Needs.DISCHARGED)
    subject.full_cell = supercell(subject.discharged.crystal, subject.supercells)
    subject.moving = tuple(ion_sites(subject.full_cell, subject.ion))
    emptied = remove_ions(subject.full_cell, subject.moving, subject.n_removed, run.around.settings.orderings)
    subject.charged = yield from _lowest(run, "relax_charged", emptied, urgency=2)


def _insertion(run: Assessment) -> Generator[JobRequests, None, None]:
    """Relax the host, which is the charged state, put ions into its holes, relax the fillings and keep the lowest."""
    subject = run.subject
    host = yield from _lowest(run, "relax_charged", [subject.candidate.crystal], urgency=0)
    cell = supercell(host.crystal, subject.supercells)
    starts = fillings(cell, subject.ion, subject.n_removed, max(run.around.settings.orderings, FILLINGS))
    if not starts:
        text = f"no hole of {subject.candidate.formula} takes {subject.ion} up"
        run.stop(Reason(stage="relax_discharged", code="no_room", text=text, verdict=Verdict.FAIL))
        raise Stopped
    subject.n_removed = len(starts[0][1])  # as many as fit
    subject.moving = starts[0][1]
    found = yield from _lowest(run, "relax_discharged", [crystal for crystal, _ in starts], urgency=1)
    subject.discharged, subject.full_cell, subject.charged = found, found.crystal, _repeated(host, subject.supercells)
    _evaluate(run, Needs.DISCHARGED)


def _second_opinion(run: Assessment) -> Generator[JobRequests, None, None]:
    """Ask a second model for the energies of both end states; without its answer the voltage is not calibrated."""
    run.enter("second_model")
    settings = PointSettings(potential=SECOND_MODEL)
    asked = tuple(JobRequest("second_model", state.crystal, settings, urgency=3) for state in run.subject.both)
    yield asked
    found = [request.outcome.outcome for request in asked if request.outcome is not None]
    energies = [point.energy_eV for point in found if isinstance(point, SinglePoint)]
    run.subject.second_eV = (energies[0], energies[1]) if len(energies) == len(asked) else None
    run.clock.passed("second_model")


def _layers(run: Assessment) -> Generator[JobRequests, None, None]:
    """Ask how firmly the potential holds the parts of a charged state that no bonds hold together."""
    charged = run.subject.both[1]
    loose = loose_parts(charged.crystal)
    if loose is None:
        return
    run.enter("layers")
    apart = JobRequest("layers", loose.opened(APART), PointSettings(potential=run.around.settings.potential), urgency=3)
    yield (apart,)
    point = apart.outcome.outcome if apart.outcome is not None else None
    gain_eV = point.energy_eV - charged.energy_eV if isinstance(point, SinglePoint) else math.nan
    run.subject.layer_binding_eV_per_atom = gain_eV / charged.crystal.n_atoms
    if run.around.settings.dispersion and not run.subject.layers_held:
        yield from _dispersed(run)
    run.clock.passed("layers")


def _dispersed(run: Assessment) -> Generator[JobRequests, None, None]:
    """Relax both states with dispersion, for their geometry alone.

    The empty one starts from the full one, since layers that drifted apart may have changed within. Dispersion draws
    together: a full state that grew fell into another one, such as NaCoO2 of high spin, and counts for nothing.
    """
    subject, settings = run.subject, run.around.settings
    if subject.full_cell is None:
        raise LookupError("dispersion needs the full state")
    limits = RelaxSettings(fmax_eV_A=min(DISPERSION_FMAX_eV_A, settings.fmax_eV_A), max_steps=settings.max_steps)
    charged = subject.both[1].crystal
    if not ion_sites(charged, subject.ion):
        charged = without(subject.full_cell, ion_sites(subject.full_cell, subject.ion))
    states = (subject.full_cell, charged)
    asked = tuple(JobRequest("layers", state, DispersionSettings(relax=limits), urgency=2) for state in states)
    yield asked
    ended = [x.outcome.relaxation for x in asked if x.outcome is not None]
    full, empty = (x.crystal if x is not None and x.converged else None for x in ended)
    if full is not None and empty is not None and full.volume_A3 <= subject.full_cell.volume_A3:
        subject.dispersed = (full, empty)


def _repeated(state: Relaxation, cells: int) -> Relaxation:
    """The same state in a cell so many times as large."""
    moments = tuple(m for m in state.magmoms_muB for _ in range(cells))
    changes = {"crystal": supercell(state.crystal, cells), "energy_eV": cells * state.energy_eV, "magmoms_muB": moments}
    return state.model_copy(update=changes)


def _profile(run: Assessment) -> Generator[JobRequests, None, None]:
    """Relax states of partial charge, in a larger cell where one cell has too few ions to divide."""
    subject, settings = run.subject, run.around.settings
    if subject.full_cell is None:
        raise LookupError("a profile needs the end states")
    cells = profile_cells(subject.n_removed, subject.full_cell.n_atoms, settings.profile_states)
    full = supercell(subject.full_cell, cells)
    moving = [i * cells + k for i in subject.moving for k in range(cells)]
    starts = [
        remove_ions(full, moving, count, settings.orderings)
        for count in partial_counts(cells * subject.n_removed, settings.profile_states)
    ]
    subject.between = yield from _relaxed(run, "relax_between", starts, urgency=1)


def _hops(run: Assessment) -> Generator[JobRequests, None, None]:
    """Find the barriers of the shortest kinds of hops; one that cannot be found says why, and the others stand."""
    subject = run.subject
    if subject.discharged is None:
        raise LookupError("hops need the relaxed discharged state")
    run.enter("barriers")
    crystal = subject.discharged.crystal
    kinds = hop_kinds(crystal, subject.ion)[: run.around.settings.barriers]
    asked = tuple(
        JobRequest("barriers", make_hop(crystal, subject.ion, kind.edges[0]), BarrierSettings(), urgency=1)
        for kind in kinds
    )
    yield asked
    ended = [request.outcome for request in asked if request.outcome is not None]
    barriers = [x.outcome if isinstance(x.outcome, Barrier) else Barrier(reason=x.error) for x in ended]
    subject.migration = Migration(kinds, tuple(barriers))
    run.clock.passed("barriers")


def profile_cells(moving: int, n_atoms: int, states: int) -> int:
    """Cells to join so that `states` partial states can be told apart, within `PROFILE_ATOMS`; else as many as fit."""
    return max(1, min(-(-(states + 1) // moving), PROFILE_ATOMS // n_atoms))


def partial_counts(removed: int, states: int) -> list[int]:
    """Numbers of ions taken out in up to `states` evenly spaced intermediate states, ascending and distinct."""
    return sorted({round(removed * k / (states + 1)) for k in range(1, states + 1)} - {0, removed})


def _lowest(
    run: Assessment, stage: str, crystals: Sequence[Crystal], urgency: int
) -> Generator[JobRequests, None, Relaxation]:
    """Relax alternatives of one state and return the one of lowest energy.

    Raises:
        Stopped: none converged (undetermined, never a number), or the potential or its process failed.
    """
    (best,) = yield from _relaxed(run, stage, [crystals], urgency)
    return best


def _relaxed(
    run: Assessment, stage: str, states: Sequence[Sequence[Crystal]], urgency: int
) -> Generator[JobRequests, None, tuple[Relaxation, ...]]:
    """Relax alternatives of several states at the same time and return the lowest of each.

    Raises:
        Stopped: a state of which no alternative converged.
    """
    run.enter(stage)
    settings = RelaxSettings(fmax_eV_A=run.around.settings.fmax_eV_A, max_steps=run.around.settings.max_steps)
    asked = [tuple(JobRequest(stage, crystal, settings, urgency) for crystal in crystals) for crystals in states]
    yield tuple(request for alternatives in asked for request in alternatives)
    best = []
    for alternatives in asked:
        ended = [request.outcome for request in alternatives if request.outcome is not None]
        good = [x.relaxation for x in ended if x.relaxation is not None and x.relaxation.converged]
        if not good:
            run.stop(_why(stage, ended[0], run.around.settings.fmax_eV_A))
            raise Stopped
        best.append(min(good, key=lambda r: round(r.energy_eV, 5)))  # of equal minima the first
    run.clock.passed(stage)
    return tuple(best)


def _why(stage: str, ended: Finished, fmax_eV_A: float) -> Reason:
    """Why a relaxation gives no number."""
    done = ended.relaxation
    if done is None:
        return Reason(
            stage=stage, code=LOST if ended.died else "no_energy", text=ended.error, verdict=Verdict.UNDETERMINED
        )
    return Reason(
        stage=stage, code="not_converged", text=done.reason, verdict=Verdict.UNDETERMINED,
        value=done.max_force_eV_A, limit=fmax_eV_A,
    )  # fmt: skip


def _evaluate(run: Assessment, needs: Needs, only: str = "") -> None:
    """All stages that need no more than this, or one of them.

    Raises:
        Stopped: a stage ended the way.
    """
    for stage, kinds in plan()[needs].items():
        if only and stage != only:
            continue
        run.enter(stage)
        started = processor_s()
        try:
            verdict = _stage(run, kinds)
        finally:
            run.clock.spent(stage, processor_s() - started)
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
        run.subject.profile = found.profile or run.subject.profile
        run.subject.paths = found.paths or run.subject.paths
        if found.estimate is None:
            continue
        run.subject.estimates[kind.name] = found.estimate
        value = found.estimate.value
        if kind.name in limits and (broken := limits[kind.name].broken_limit(value)) is not None:
            side = "above" if value > broken else "below"
            text = f"{kind.name} {value:.4g} {found.estimate.unit} lies {side} the limit of {broken:g}"
            run.stop(Reason(stage=kind.stage, code="limit", text=text, verdict=Verdict.FAIL, value=value, limit=broken))
    return Findings(reasons=run.reasons[first:]).verdict
