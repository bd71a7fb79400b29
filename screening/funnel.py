"""The funnel: candidates in, screening results out as they end; cheap stages here, dear ones in worker processes.

Each candidate walks through the stages on its own (`assess`, a coroutine that asks for computations). The funnel
answers from the cache or from the workers, so that every finished one is kept the moment it ends and none is repeated.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from redoxa.data.errors import PotentialError
from redoxa.data.progress import OnProgress
from redoxa.data.records import Candidate, Reason, ScreeningResult, Verdict
from redoxa.data.tables.reference import energy_scale
from redoxa.screening.assess import Assessment, JobRequest, JobRequests, Stopped, assess, stage_order
from redoxa.screening.base import Model, Surroundings
from redoxa.screening.compute.dispersion import check_installed
from redoxa.screening.physics.calibration import shipped_calibration
from redoxa.screening.physics.duplicates import DuplicateIndex
from redoxa.screening.physics.hulls import Hulls
from redoxa.screening.ports import AnomalyScorer, KnownMaterialsTable, OutcomeCache, ReferenceTable
from redoxa.screening.potentials.base import potential_class
from redoxa.screening.settings import ScreenSettings
from redoxa.screening.workers.jobs import AnyOutcome, Outcome, job_key, outcome_kind
from redoxa.screening.workers.pool import Finished, Pool, open_pool


@dataclass
class StageCost:
    """What one stage took: candidates in and out, and seconds of processor time, of whichever process computed."""

    stage: str
    entered: int = 0
    passed: int = 0
    seconds: float = 0.0


@dataclass
class FunnelStats:
    """Costs by stage, filled while `screen` runs. Seconds are processor time, for relaxations that of the worker."""

    by_stage: dict[str, StageCost] = field(default_factory=dict)
    relaxations: int = 0
    """Relaxations and other jobs computed, not those found in the cache."""
    cached: int = 0
    on_job: Callable[[dict[str, float]], None] = lambda _seconds: None
    """Called with the seconds of each stage so far, whenever those of a job have been added."""

    @property
    def seconds(self) -> dict[str, float]:
        """Processor time of each stage so far."""
        return {name: cost.seconds for name, cost in self.by_stage.items()}

    @property
    def stages(self) -> list[StageCost]:
        """Costs of the stages that were entered, in the order of the funnel."""
        return [self.by_stage[name] for name in stage_order() if name in self.by_stage]

    def entered(self, stage: str) -> None:
        """Count a candidate into a stage."""
        self.by_stage.setdefault(stage, StageCost(stage)).entered += 1

    def passed(self, stage: str) -> None:
        """Count a candidate out of a stage, on its way to the next."""
        self.by_stage[stage].passed += 1

    def spent(self, stage: str, seconds: float) -> None:
        """Add processor time to a stage."""
        self.by_stage[stage].seconds += seconds


class MemoryCache:
    """A cache that ends with the process."""

    def __init__(self) -> None:
        self._kept: dict[str, Outcome] = {}

    def get(self, key: str, kind: type[AnyOutcome]) -> AnyOutcome | None:
        """A finished computation, or None."""
        found = self._kept.get(key)
        return found if isinstance(found, kind) else None

    def put(self, key: str, outcome: Outcome) -> None:
        """Keep it."""
        self._kept[key] = outcome


class Context:
    """Everything the screening uses beside candidates and settings. Owns the worker processes; close it.

    Attributes:
        reference: energies of competing phases and of the ions' metals, on the potential's own scale.
        known: published materials; None switches novelty off.
        earlier: all candidates in their fixed order, for duplicates; candidates of a batch that it lacks are added.
        cache: finished computations.
        anomaly: tells the anomaly score of a crystal, where `max_latent_anomaly` asks for it.
    """

    def __init__(
        self,
        reference: ReferenceTable,
        known: KnownMaterialsTable | None = None,
        cache: OutcomeCache | None = None,
        earlier: DuplicateIndex | None = None,
        pool: Pool | None = None,
        anomaly: AnomalyScorer | None = None,
    ) -> None:
        self.reference = reference
        self.known = known
        self.cache: OutcomeCache = cache if cache is not None else MemoryCache()
        self.earlier = earlier if earlier is not None else DuplicateIndex()
        self.anomaly = anomaly
        self._hulls = Hulls(reference)
        self._pool = pool
        self._pool_kind: tuple[str, int] | None = None

    def pool(self, settings: ScreenSettings) -> Pool:
        """The relaxation workers, started when first asked for and kept until `close`."""
        kind = (settings.potential, settings.workers)
        if self._pool is None or self._pool_kind not in (None, kind):
            self.close()
            self._pool, self._pool_kind = open_pool(*kind), kind
        return self._pool

    def surroundings(self, settings: ScreenSettings) -> Surroundings:
        """What properties may look at.

        Raises:
            PotentialError: potential and reference are on different energy scales, or s-dftd3 is missing.
        """
        potential = potential_class(settings.potential)
        scale = energy_scale(potential.energy_scale, potential.model_id)
        if scale != self.reference.scale:
            raise PotentialError(
                f"potential '{settings.potential}' gives energies on the scale '{scale}', the reference holds "
                f"'{self.reference.scale}'. Scales are never mixed: build a reference with `redoxa reference build`."
            )
        if settings.dispersion:
            check_installed()
        model = Model(potential.model_id, scale, potential.energy_mae_eV_per_atom)
        calibration = shipped_calibration(settings.potential) if settings.calibrate else None
        return Surroundings(
            settings, model, self.reference, self._hulls, calibration, self.known, self.earlier, self.anomaly
        )

    def close(self) -> None:
        """End the workers. Safe twice."""
        if self._pool is not None:
            self._pool.close()
        self._pool = None

    def __enter__(self) -> Context:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def screen(
    candidates: Sequence[Candidate],
    settings: ScreenSettings,
    context: Context,
    stats: FunnelStats | None = None,
    on_progress: OnProgress | None = None,
    max_relaxed: int | None = None,
) -> Iterator[ScreeningResult]:
    """Screen candidates, yielding each result as soon as it is known; the order is that of completion.

    What a result says depends on the candidate, the settings and the tables alone, never on the order of work. A
    candidate that breaks the screening itself ends as `error` with the reason, and the others go on.

    Args:
        candidates: distinct candidates.
        settings: the `screen` section.
        context: tables, cache and workers.
        stats: filled with the costs of each stage.
        on_progress: called whenever a candidate ends, and whenever one goes on to another relaxation.
        max_relaxed: how many candidates may be relaxed. Once these are reached, what passes the cheap stages ends
            without a result, to be screened another time; the order of `candidates` alone decides who is relaxed.

    Raises:
        PotentialError: the potential cannot be loaded, or is not on the reference's scale.
    """
    run = _Run(settings, context, stats if stats is not None else FunnelStats(), len(candidates), on_progress)
    run.left = math.inf if max_relaxed is None else max_relaxed
    for candidate in candidates:
        context.earlier.add(candidate)
    for candidate in candidates:
        if (result := run.start(candidate)) is not None:
            yield result
    while run.asked:
        yield from run.wait()


@dataclass
class _Walk:
    """A candidate that waits for jobs."""

    assessment: Assessment
    steps: Iterator[JobRequests]
    waiting: int = 0
    """Jobs of its last requests that have not ended."""


class _Asked(NamedTuple):
    """Who waits for a job, and which of its requests the job answers."""

    walk: _Walk
    request: JobRequest


class _Run:
    """One call of `screen`: which candidate waits for which jobs."""

    def __init__(
        self, settings: ScreenSettings, context: Context, stats: FunnelStats, total: int, on_progress: OnProgress | None
    ) -> None:
        self.around = context.surroundings(settings)
        self.settings = settings
        self.context = context
        self.stats = stats
        self.total = total
        self.on_progress = on_progress
        self.done = 0
        self.left: float = math.inf
        """Candidates that may still be relaxed."""
        self.asked: dict[str, list[_Asked]] = {}
        """By job key: two candidates may wait for the same one."""

    def start(self, candidate: Candidate) -> ScreeningResult | None:
        """Send a candidate through the cheap stages, and on to its first relaxation while the budget lasts."""
        assessment = Assessment(candidate, self.around, self.stats)
        walk = _Walk(assessment, assess(assessment))
        first = _next_requests(walk)
        if not first:
            return self._end(assessment)
        if self.left <= 0:
            self.stats.by_stage[first[0].stage].entered -= 1  # it only stands at the door
            return None
        self.left -= 1
        return self._go_on(walk, first)

    def wait(self) -> Iterator[ScreeningResult]:
        """Wait for a job, keep its outcome, and let those who asked for it go on."""
        finished = self.context.pool(self.settings).wait()
        askers = self.asked.pop(finished.job_id, [])  # none where an earlier run was abandoned half-way
        if finished.outcome is not None:
            self.stats.relaxations += 1
            self.context.cache.put(finished.job_id, finished.outcome)
            if askers:
                self.stats.spent(askers[0].request.stage, finished.outcome.seconds)
                self.stats.on_job(self.stats.seconds)
        for walk, request in askers:
            request.outcome = finished
            if finished.died:
                walk.assessment.lost = finished.error
            walk.waiting -= 1
            if not walk.waiting and (result := self._go_on(walk, _next_requests(walk))) is not None:
                yield result

    def _go_on(self, walk: _Walk, requests: JobRequests) -> ScreeningResult | None:
        """Answer requests from the cache, ask the workers for the others; None where some have to be waited for."""
        while requests:
            for request in requests:
                self._answer_or_ask(walk, request)
            if walk.waiting:
                self._tell(requests[0].stage, self.done)
                return None
            requests = _next_requests(walk)
        return self._end(walk.assessment)

    def _answer_or_ask(self, walk: _Walk, request: JobRequest) -> None:
        key = job_key(request.subject, request.settings, self.around.model.id)
        known = self.context.cache.get(key, outcome_kind(request.settings))
        if known is not None:
            self.stats.cached += 1
            request.outcome = Finished(key, known)
            return
        walk.waiting += 1
        askers = self.asked.setdefault(key, [])
        askers.append(_Asked(walk, request))
        if len(askers) == 1:
            self.context.pool(self.settings).submit(key, request.subject, request.settings, request.urgency)

    def _end(self, assessment: Assessment) -> ScreeningResult:
        self.done += 1
        self._tell(assessment.stage, self.done)
        return assessment.result(self.settings.settings_hash)

    def _tell(self, stage: str, done: int) -> None:
        if self.on_progress is not None:
            self.on_progress(stage, done, self.total)


def _next_requests(walk: _Walk) -> JobRequests:
    """What a candidate asks for next; nothing when its way has ended, by whatever cause."""
    try:
        return next(walk.steps, ())
    except Stopped:
        pass
    except Exception as error:  # noqa: BLE001  (the declared guard: one candidate must not end the campaign)
        walk.assessment.reasons.append(_broken(error, walk.assessment.stage))
    return ()


def _broken(error: Exception, stage: str) -> Reason:
    where = traceback.extract_tb(error.__traceback__)[-1]
    text = f"{type(error).__name__}: {error} ({where.filename.rsplit('/', 1)[-1]}:{where.lineno})"
    return Reason(stage=stage, code="error", text=text, verdict=Verdict.ERROR)
