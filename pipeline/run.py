"""The sentence: generate, screen, select, queue, measure, learn, report, round after round.

What is complete is passed over. One loop serves both ways of running: `call` runs a stage directly, or as a Prefect
task (`pipeline.unattended.flows`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from redoxa.data.errors import InputError, StoreError
from redoxa.pipeline.campaign import stages
from redoxa.pipeline.campaign.lock import campaign_lock
from redoxa.pipeline.campaign.rounds import all_complete, budget_spent, complete_rounds, ended, report_is_current
from redoxa.pipeline.campaign.session import Session, session_for
from redoxa.pipeline.campaign.summary import CampaignSummary, summary
from redoxa.pipeline.results.report_file import write_report

LEFT = "candidates over which worker processes died again and again are left; run again to take them up"

Call = Callable[..., Any]
"""``call(stage, *ids)`` runs a stage function and returns what it returns."""


def direct(stage: Callable[..., Any], *args: Any) -> Any:
    """Run a stage in this process, without Prefect."""
    return stage(*args)


def run_campaign(where: str, campaign_id: str, call: Call = direct, rounds: int | None = None) -> CampaignSummary:
    """Run a campaign to its end, or to where it waits for a person or a laboratory; go on where it stopped before.

    A campaign that is at its end costs a few queries: nothing is locked, started or written, unless its report is old.

    Args:
        where: path or URL of the store.
        campaign_id: a campaign that is in the store.
        call: how stages are run.
        rounds: complete at most so many rounds that are not complete yet; by default all.

    Returns:
        The summary, with why the run came to its end.

    Raises:
        InputError: less than one round is asked for.
        StoreError: another process runs this campaign.
    """
    if rounds is not None and rounds < 1:
        raise InputError(f"rounds: {rounds} is less than one. Leave it out to complete all of them.")
    session = session_for(where, campaign_id)
    if (end := ended(session)) and report_is_current(session):
        return summary(session).after_run(end, did_something=False)
    with campaign_lock(session) as still_held, _recorded(session) as said:

        def under_lock(stage: Callable[..., Any], *args: Any) -> Any:
            still_held()
            return call(stage, *args)

        said.append(end := _rounds(session, under_lock, rounds))
        report = call(write_report, where, campaign_id, end)
    return summary(session).after_run(end, report, did_something=True)


@contextmanager
def _recorded(session: Session) -> Iterator[list[str]]:
    """Record in the store that a run goes on, and how it ends: by the last line said, or by what went wrong."""
    store, said = session.store, list[str]()
    run_id = store.begin_run(session.campaign_id)
    try:
        yield said
    except KeyboardInterrupt:
        store.end_run(run_id, "it was stopped", failed=False)
        raise
    except StoreError:  # the next run finds that this one ended without a word
        raise
    except Exception as error:
        store.end_run(run_id, str(error).partition("\n")[0] or type(error).__name__, failed=True)
        raise
    store.end_run(run_id, said[-1], failed=False)


def _rounds(session: Session, call: Call, most: int | None) -> str:
    """Work off the rounds that are not complete; returns why it came to its end."""
    last, key = session.spec.stop.rounds, (session.where, session.campaign_id)
    missing = [i for i, complete in enumerate(complete_rounds(session)) if not complete]
    for nth, round_ in enumerate(missing, start=1):
        if spent := budget_spent(session, round_):
            return spent
        if waiting := _round(session, call, round_):
            return waiting
        said = f"round {round_ + 1} of {last} is complete"
        if round_ == missing[-1]:
            break
        if nth == most:
            return said
        call(write_report, *key, said)
    return all_complete(session) if all(complete_rounds(session)) else LEFT


def _round(session: Session, call: Call, round_: int) -> str:
    """One round; returns why it cannot be completed now, or an empty string."""
    key = (session.where, session.campaign_id, round_)
    for source, chunk in stages.pending_chunks(*key):
        call(stages.generate_chunk, *key, source, chunk)
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
