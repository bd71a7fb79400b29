"""The stages of a campaign as plain functions over ids. Each reads what is missing from the store and appends it."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers

from redoxa.data.errors import GenerationError, RedoxaError
from redoxa.data.lab.measurement import Measurement
from redoxa.data.lab.request import ExperimentRequest, QueueItem, RequestState
from redoxa.data.processor_time import processor_s
from redoxa.data.records import Candidate, Origin, ScreeningResult, VoltageStep
from redoxa.data.storage.rows import Chunk, Cost, Selection
from redoxa.generators.base import (
    ChoosesBest,
    Condition,
    Target,
    as_many_as_found,
    generator_class,
    make_generator,
)  # fmt: skip
from redoxa.pipeline.campaign.costs import Meter
from redoxa.pipeline.campaign.feedback import Calibration, calibrate, calibrated, compare, noted
from redoxa.pipeline.campaign.screening_context import open_reference
from redoxa.pipeline.campaign.select import Choice, choose, score
from redoxa.pipeline.campaign.session import Session, runs_folder, session_for
from redoxa.pipeline.campaign.spec import CampaignSpec
from redoxa.pipeline.rewards.expectation import likeliest_hits
from redoxa.robotics.queue.queue import ApprovalPolicy
from redoxa.screening.settings import Range

CHUNK = 64
"""Samples that are generated and stored together; part of what makes a seed reproducible."""

BATCH = 64
"""Candidates that are screened in one task."""

OPEN = tuple(x for x in RequestState if x not in (RequestState.DONE, RequestState.FAILED, RequestState.CANCELLED))
"""States of a request that waits for a person or for the laboratory."""


# -- generate ----------------------------------------------------------------------------------------------------------


def pending_chunks(where: str, campaign_id: str, round_: int) -> list[tuple[str, int]]:
    """(source, chunk) pairs of a round that are not in the store yet, in order."""
    session = session_for(where, campaign_id)
    done = session.store.chunks(campaign_id, round_)
    wanted = [(step.source, i) for step in session.spec.generate for i in range(-(-step.count // CHUNK))]
    return [pair for pair in wanted if pair not in done]


def generate_chunk(where: str, campaign_id: str, round_: int, source: str, chunk: int) -> int:
    """Sample one chunk and store it whole; the seed is a function of campaign seed, round, source and chunk.

    What chooses the best of several looks at all chunks before it, which are always made in the same order.

    Returns:
        How many samples there are; fewer than planned, with a note, where the generator falls short.
    """
    session = session_for(where, campaign_id)
    spec = session.spec
    step = next(step for step in spec.generate if step.source == source)
    size = min(CHUNK, step.count - chunk * CHUNK)
    meter, stage, start = Meter(session.store, campaign_id, round_), f"generate {source}", processor_s()

    def on_step(done: int, total: int) -> None:
        meter.so_far({stage: processor_s() - start})
        session.on_progress(stage, done, total)

    weights = Path(step.checkpoint) if step.checkpoint else None
    generator = make_generator(generator_class(step.kind), weights, step.family, step.best_of)
    aims = generator.aims
    if step.best_of > 1 and isinstance(generator, ChoosesBest):
        aims = frozenset()  # the choice weighs all objectives
        before = [one.crystal for one in session.store.candidates(campaign_id)]
        reference = open_reference(runs_folder(where))
        generator.choice = likeliest_hits(step.best_of, spec.goal.objectives, spec.goal.working_ion, reference, before)
    rng = np.random.default_rng([spec.seed, round_, zlib.crc32(source.encode()), chunk])
    made = as_many_as_found(generator, size, condition_of(spec, aims), rng, on_step)
    if not made.answers and chunk == 0:  # later chunks have some before them
        raise GenerationError(made.notes[0])
    for line in made.notes:
        session.note(f"{stage}, round {round_ + 1}: {line}")
    candidates = [
        Candidate(
            crystal=one.crystal,
            working_ion=spec.goal.working_ion,
            origin=Origin(
                generator=source,
                checkpoint_sha256=generator.checkpoint_sha256,
                seed=spec.seed,
                campaign=spec.name,
                round=round_,
                detail=one.label,
            ),
        )
        for one in made.answers
    ]
    seconds = processor_s() - start
    session.store.add_chunk(Chunk(campaign_id, round_, source, chunk, chunk * CHUNK), candidates, seconds)
    meter.end([Cost(round_, stage, size, len(candidates), seconds)])
    return len(candidates)


def condition_of(spec: CampaignSpec, aims: frozenset[str] = frozenset()) -> Condition:
    """What the spec asks of a generator: its chemistry, and the objectives that the generator can aim at."""
    atoms, objectives = spec.chemistry.atoms_per_cell, dict(spec.goal.objectives)
    if (usable := objectives.get("usable_capacity")) is not None and usable.min is not None:
        objectives.setdefault("capacity_grav", Range(min=usable.min))  # no less than what is usable
    return Condition(
        allowed=spec.allowed_numbers,
        required=frozenset({atomic_numbers[spec.goal.working_ion]}),
        n_atoms=(atoms.min, atoms.max),
        charge_neutral=spec.chemistry.charge_neutral,
        targets=tuple(Target(x, objectives[x].min, objectives[x].max) for x in sorted(aims & set(objectives))),
    )


# -- screen ------------------------------------------------------------------------------------------------------------


def pending_batches(where: str, campaign_id: str, round_: int) -> list[list[str]]:
    """Ids of the round's candidates without a result, in batches."""
    session = session_for(where, campaign_id)
    ids = session.store.unscreened(campaign_id, round_, session.spec.screening.settings_hash)
    if not ids or budget_left(session, round_) == 0:
        return []
    return [ids[i : i + BATCH] for i in range(0, len(ids), BATCH)]


def budget_left(session: Session, round_: int) -> int | None:
    """How many more candidates of a round `screen.budget` lets relax; None without a budget."""
    if session.spec.screen.budget is None:
        return None
    results = session.store.results(session.campaign_id, session.spec.screening.settings_hash, round_)
    return max(0, session.spec.screen.budget - sum("relax_discharged" in r.stages for r in results))


def screen_batch(where: str, campaign_id: str, round_: int, ids: Sequence[str]) -> dict[str, int]:
    """Screen candidates, writing each result as it comes; returns how many got each verdict.

    What lost its worker process again and again is not written: a later run takes it up.
    """
    from redoxa.screening.funnel import FunnelStats, screen

    session = session_for(where, campaign_id)
    known = session.store.by_id(ids, campaign_id)
    meter, verdicts = Meter(session.store, campaign_id, round_), Counter[str]()
    stats = FunnelStats(on_job=meter.so_far)

    def on_progress(_stage: str, done: int, total: int) -> None:
        session.on_progress("screen", done, total)

    try:
        for result in screen(
            [known[i] for i in ids],
            session.spec.screening,
            session.context,
            stats,
            on_progress,
            budget_left(session, round_),
        ):
            if not result.is_lost:
                session.store.add_result(campaign_id, result)
            verdicts[result.verdict.value] += 1
            meter.so_far(stats.seconds)
    finally:
        meter.end([Cost(round_, c.stage, c.entered, c.passed, c.seconds) for c in stats.stages])
    return dict(verdicts)


# -- select, queue, laboratory -----------------------------------------------------------------------------------------


def select_round(where: str, campaign_id: str, round_: int) -> dict[str, int]:
    """Choose the round's batch, plan its recipes and propose the safe ones to the queue."""
    session = session_for(where, campaign_id)
    spec, store = session.spec, session.store
    if (done := store.stage_summary(campaign_id, round_, "select")) is not None:
        return done
    results = store.results(campaign_id, spec.screening.settings_hash)
    earlier = {x.candidate_id for r in range(round_) for x in store.selections(campaign_id, r)}
    before = [r for r in results if r.candidate_id in earlier]
    taught = learned(session, before=round_)
    scored = score([r for r in results if r.candidate_id not in earlier], spec.goal.objectives, taught)
    chosen = choose(scored, spec.select, before)
    selections = []
    for choice in chosen:
        request_id, note = _propose(session, round_, choice, taught)
        selections.append(Selection(choice.scored.result.candidate_id, choice.rank, choice.why, request_id, note))
    store.add_selections(campaign_id, round_, selections)
    summary = {
        "passing": len(scored),
        "selected": len(chosen),
        "queued": sum(x.request_id is not None for x in selections),
    }
    store.complete_stage(campaign_id, round_, "select", summary)
    return summary


def _propose(
    session: Session, round_: int, choice: Choice, taught: Mapping[str, Calibration]
) -> tuple[str | None, str]:
    """Plan a recipe and propose it; returns the request's id, or None and what stands in the way.

    The recipe counts with what measurements have taught; the request keeps the predictions as they were made.
    """
    from redoxa.robotics.planning.recipe import plan_recipe
    from redoxa.screening.properties.synthesis import energies_for

    try:
        result = _profiled(session, round_, choice.scored.result)
        crystal, estimates = result.crystals["discharged"], result.estimates
        recipe = plan_recipe(
            crystal,
            result.working_ion,
            {name: calibrated(estimate, taught.get(name)) for name, estimate in estimates.items()},
            session.spec.lab.target_mass_g,
            profile=_corrected(result.profile, taught.get("average_voltage")),
            laboratory=session.laboratory,
            energies=energies_for(result, session.context.reference),
        )
        request = ExperimentRequest(
            campaign=session.campaign_id,
            round=round_,
            candidate_id=result.candidate_id,
            formula=result.formula,
            working_ion=result.working_ion,
            crystal=crystal,
            recipe=recipe,
            predictions=noted(estimates, taught),
            why=choice.why,
            priority=-choice.rank,
        )
        return session.queue.propose(request), ""
    except RedoxaError as error:
        return None, str(error)


def _profiled(session: Session, round_: int, result: ScreeningResult) -> ScreeningResult:
    """The result with its voltage profile, computed now where the screening had none."""
    from redoxa.screening.funnel import FunnelStats
    from redoxa.screening.profile import with_profile

    candidate = session.store.by_id([result.candidate_id], session.campaign_id)[result.candidate_id]
    meter, stage = Meter(session.store, session.campaign_id, round_), "relax_between"
    stats = FunnelStats(on_job=lambda seconds: meter.so_far({stage: sum(seconds.values())}))
    found = with_profile(candidate, result, session.spec.screening, session.context, stats)
    if (seconds := sum(stats.seconds.values())) > 0:
        meter.end([Cost(round_, stage, 1, 1, seconds)])
    return found


def _corrected(profile: Sequence[VoltageStep], voltage: Calibration | None) -> list[VoltageStep]:
    """A profile moved by what measurements taught of the average voltage."""
    shift_V = 0.0 if voltage is None else voltage.bias
    return [step.model_copy(update={"voltage_V": step.voltage_V + shift_V}) for step in profile]


def approve(where: str, campaign_id: str) -> int:
    """Let the policy approve what the safety rules allow; with `approval: person` nothing happens here."""
    session = session_for(where, campaign_id)
    return len(session.queue.apply_policy(ApprovalPolicy(session.spec.lab.approval), campaign_id))


def work_laboratory(where: str, campaign_id: str, round_: int) -> dict[str, int]:
    """Run what is approved through the laboratory; returns how many requests of the round stand in each state."""
    from redoxa.robotics.queue.service import run_queue

    session = session_for(where, campaign_id)
    run_queue(session.queue, session.driver, campaign=campaign_id, on_progress=session.on_progress)
    states = Counter(row.state.value for row in session.queue.list(campaign=campaign_id) if row.request.round == round_)
    return dict(states)


def measured(session: Session) -> list[tuple[ExperimentRequest, Measurement]]:
    """Requests of the campaign that came back, with their measurements."""
    return session.queue.measured(campaign=session.campaign_id)


def learned(session: Session, before: int | None = None) -> dict[str, Calibration]:
    """Calibration from the measurements of the rounds before `before`, or of all."""
    pairs = [(q, m) for q, m in measured(session) if before is None or q.round < before]
    return calibrate(compare(pairs))


# -- sums --------------------------------------------------------------------------------------------------------------


def round_is_open(where: str, campaign_id: str, round_: int) -> bool:
    """True while a request of the round waits for a person or for the laboratory."""
    return any(row.request.round == round_ for row in open_requests(session_for(where, campaign_id)))


def open_requests(session: Session) -> list[QueueItem]:
    """Requests of the campaign that wait for a person or for the laboratory."""
    return session.queue.list(session.campaign_id, *OPEN)


def screening_minutes(session: Session) -> float:
    """Processor time that the screening has taken so far."""
    return minutes_of(session.store.costs(session.campaign_id))


def minutes_of(costs: Iterable[Cost]) -> float:
    """Processor time in minutes that the screening took of these costs."""
    return sum(c.seconds for c in costs if not c.stage.startswith("generate")) / 60
