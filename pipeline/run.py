"""The sentence: generate, screen, select, queue, measure, learn, report, round after round.

One loop serves both ways of running. `call` runs a stage: directly, or as a Prefect task (`pipeline.flows`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline import stages
from pipeline.lock import campaign_lock
from pipeline.report_file import write_report
from pipeline.session import Session, session_for

Call = Callable[..., Any]
"""``call(stage, *ids)`` runs a stage function and returns what it returns."""


def direct(stage: Callable[..., Any], *args: Any) -> Any:
    """Run a stage in this process, without Prefect."""
    return stage(*args)


def run_campaign(where: str, campaign_id: str, call: Call = direct) -> dict[str, Any]:
    """Run a campaign to its end, or to where it waits for a person or a laboratory; go on where it stopped before.

    Args:
        where: path or URL of the store.
        campaign_id: a campaign that is in the store.
        call: how stages are run.

    Returns:
        The summary (see `stages.summary`) with `ended`: why the run came to its end.
    """
    session = session_for(where, campaign_id)
    with campaign_lock(session):
        ended = _rounds(session, call)
        report = call(write_report, where, campaign_id, ended)
    return {**stages.summary(where, campaign_id), "ended": ended, "report": report}


def _rounds(session: Session, call: Call) -> str:
    spec, key = session.spec, (session.where, session.campaign_id)
    for round_ in range(spec.stop.rounds):
        budget = spec.stop.budget_minutes
        if budget is not None and round_ > 0 and stages.screening_minutes(session) >= budget:
            return f"the budget of {budget:g} minutes is spent"
        if waiting := _round(session, call, round_):
            return waiting
        call(write_report, *key, f"round {round_ + 1} of {spec.stop.rounds} is complete")
    return f"all {spec.stop.rounds} rounds are complete" if spec.stop.rounds > 1 else "the round is complete"


def _round(session: Session, call: Call, round_: int) -> str:
    """One round; returns why it cannot be completed now, or an empty string."""
    key = (session.where, session.campaign_id, round_)
    for kind, chunk in stages.pending_chunks(*key):
        call(stages.generate_chunk, *key, kind, chunk)
    for ids in stages.pending_batches(*key):
        call(stages.screen_batch, *key, ids)
    call(stages.select_round, *key)
    call(stages.approve, *key[:2])
    call(stages.work_laboratory, *key)
    if stages.round_is_open(*key):
        if session.spec.lab.approval == "person":
            return "requests wait for a person: see `redoxa queue list`, then `redoxa queue approve ID`"
        return "requests are with the laboratory; run again to take its results back"
    return ""
