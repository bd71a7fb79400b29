"""The funnel: candidates in, screening results out as they end; cheap stages here, relaxations in worker processes.

Each candidate walks through the stages on its own (`assess`, a coroutine that asks for relaxations). The funnel answers
from the cache or from the workers, so that every finished relaxation is kept the moment it ends and none is repeated.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from data.errors import PotentialError
from data.records import Candidate, Reason, ScreeningResult, Verdict
from data.reference import energy_scale
from screening.assess import Assessment, RelaxationRequest, Stopped, assess, stage_order
from screening.base import KnownMaterialsTable, Model, ReferenceTable, RelaxationCache, Surroundings
from screening.novelty import DuplicateIndex
from screening.pool import Finished, Pool, open_pool
from screening.potential import potential_class
from screening.relax import Relaxation, RelaxSettings, relaxation_key
from screening.settings import ScreenSettings
from screening.stability import Hulls

OnProgress = Callable[[str, int, int], None]
"""Called with (stage, done, total)."""


@dataclass
class StageCost:
    """What one stage took: candidates in and out, and seconds (of a worker, where relaxations are concerned)."""

    stage: str
    entered: int = 0
    passed: int = 0
    seconds: float = 0.0


@dataclass
class FunnelStats:
    """Costs by stage, filled while `screen` runs. Seconds of relaxations are those of the worker."""

    by_stage: dict[str, StageCost] = field(default_factory=dict)
    relaxations: int = 0
    """Relaxations computed, not those found in the cache."""
    cached: int = 0

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
        """Add time to a stage."""
        self.by_stage[stage].seconds += seconds


class MemoryCache:
    """A relaxation cache that ends with the process."""

    def __init__(self) -> None:
        self._kept: dict[str, Relaxation] = {}

    def get(self, key: str) -> Relaxation | None:
        """A finished relaxation, or None."""
        return self._kept.get(key)

    def put(self, key: str, relaxation: Relaxation) -> None:
        """Keep a relaxation."""
        self._kept[key] = relaxation


class Context:
    """Everything the screening uses beside candidates and settings. Owns the worker processes; close it.

    Attributes:
        reference: energies of competing phases and of the ions' metals, on the potential's own scale.
        known: published materials; None switches novelty off.
        earlier: all candidates in their fixed order, for duplicates; candidates of a batch that it lacks are added.
        cache: finished relaxations.
    """

    def __init__(
        self,
        reference: ReferenceTable,
        known: KnownMaterialsTable | None = None,
        cache: RelaxationCache | None = None,
        earlier: DuplicateIndex | None = None,
        pool: Pool | None = None,
    ) -> None:
        self.reference = reference
        self.known = known
        self.cache: RelaxationCache = cache if cache is not None else MemoryCache()
        self.earlier = earlier if earlier is not None else DuplicateIndex()
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
            PotentialError: potential and reference are on different energy scales.
        """
        potential = potential_class(settings.potential)
        scale = energy_scale(potential.energy_scale, potential.model_id)
        if scale != self.reference.scale:
            raise PotentialError(
                f"potential '{settings.potential}' gives energies on the scale '{scale}', the reference holds "
                f"'{self.reference.scale}'. Scales are never mixed: build a reference with `redoxa reference build`."
            )
        model = Model(potential.model_id, scale, potential.energy_mae_eV_per_atom)
        return Surroundings(settings, model, self.reference, self._hulls, self.known, self.earlier)

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
    while run.walking:
        yield from run.wait()


class _Walk(NamedTuple):
    """A candidate that waits for a relaxation."""

    assessment: Assessment
    steps: Iterator[RelaxationRequest]
    request: RelaxationRequest
    key: str


class _Run:
    """One call of `screen`: which candidate waits for which relaxation."""

    def __init__(
        self, settings: ScreenSettings, context: Context, stats: FunnelStats, total: int, on_progress: OnProgress | None
    ) -> None:
        self.around = context.surroundings(settings)
        self.settings = settings
        self.context = context
        self.stats = stats
        self.total = total
        self.on_progress = on_progress
        self.relax_settings = RelaxSettings(fmax_eV_A=settings.fmax_eV_A, max_steps=settings.max_steps)
        self.done = 0
        self.left: float = math.inf
        """Candidates that may still be relaxed."""
        self.walking: dict[str, list[_Walk]] = {}
        """By relaxation key: two candidates may wait for the same one."""

    def start(self, candidate: Candidate) -> ScreeningResult | None:
        """Send a candidate through the cheap stages, and on to its first relaxation while the budget lasts."""
        assessment = Assessment(candidate, self.around, self.stats)
        steps = assess(assessment)
        first = _next_request(assessment, steps)
        if first is None:
            return self._end(assessment)
        if self.left <= 0:
            self.stats.by_stage[first.stage].entered -= 1  # it only stands at the door
            return None
        self.left -= 1
        return self._advance(assessment, chain([first], steps))

    def wait(self) -> Iterator[ScreeningResult]:
        """Wait for a relaxation, keep it, and let those who asked for it go on."""
        finished = self.context.pool(self.settings).wait()
        walks = self.walking.pop(finished.job_id, [])  # none where an earlier run was abandoned half-way
        if finished.relaxation is not None:
            self.stats.relaxations += 1
            self.context.cache.put(finished.job_id, finished.relaxation)
        for walk in walks:
            if finished.relaxation is not None and walk is walks[0]:
                self.stats.spent(walk.request.stage, finished.relaxation.seconds)
            walk.request.outcome = finished
            if (result := self._advance(walk.assessment, walk.steps)) is not None:
                yield result

    def _advance(self, assessment: Assessment, steps: Iterator[RelaxationRequest]) -> ScreeningResult | None:
        """Walk on until a relaxation has to be waited for (None) or the end."""
        walk = self._walk_on(assessment, steps)
        if walk is not None:
            self._ask(walk)
            return None
        return self._end(assessment)

    def _end(self, assessment: Assessment) -> ScreeningResult:
        self.done += 1
        self._tell(assessment.stage, self.done)
        return assessment.result(self.settings.settings_hash)

    def _walk_on(self, assessment: Assessment, steps: Iterator[RelaxationRequest]) -> _Walk | None:
        """Walk on to the next relaxation that the cache does not hold; None at the end of the way."""
        while (request := _next_request(assessment, steps)) is not None:
            key = relaxation_key(request.crystal, self.around.model.id, self.relax_settings)
            known = self.context.cache.get(key)
            if known is None:
                return _Walk(assessment, steps, request, key)
            self.stats.cached += 1
            request.outcome = Finished(key, known)
        return None

    def _ask(self, walk: _Walk) -> None:
        waiting = self.walking.setdefault(walk.key, [])
        waiting.append(walk)
        if len(waiting) == 1:
            pool = self.context.pool(self.settings)
            pool.submit(walk.key, walk.request.crystal, self.relax_settings, walk.request.urgency)
        self._tell(walk.request.stage, self.done)

    def _tell(self, stage: str, done: int) -> None:
        if self.on_progress is not None:
            self.on_progress(stage, done, self.total)


def _next_request(assessment: Assessment, steps: Iterator[RelaxationRequest]) -> RelaxationRequest | None:
    """The next relaxation a candidate asks for; None when its way has ended, by whatever cause."""
    try:
        return next(steps, None)
    except Stopped:
        pass
    except Exception as error:  # noqa: BLE001  (the declared guard: one candidate must not end the campaign)
        assessment.reasons.append(_broken(error, assessment.stage))
    return None


def _broken(error: Exception, stage: str) -> Reason:
    where = traceback.extract_tb(error.__traceback__)[-1]
    text = f"{type(error).__name__}: {error} ({where.filename.rsplit('/', 1)[-1]}:{where.lineno})"
    return Reason(stage=stage, code="error", text=text, verdict=Verdict.ERROR)
