"""Which rounds of a campaign are complete, and whether anything is left to do. Reads the store, loads no network."""

from __future__ import annotations

from typing import Any

from data.database import aware
from pipeline import stages
from pipeline.session import Session


def complete_rounds(session: Session) -> list[bool]:
    """Of each round the campaign is to have, whether nothing is missing in it and none of its requests waits."""
    waiting = {row.request.round for row in stages.open_requests(session)}
    return [round_ not in waiting and _is_worked_off(session, round_) for round_ in range(session.spec.stop.rounds)]


def _is_worked_off(session: Session, round_: int) -> bool:
    key = (session.where, session.campaign_id, round_)
    return (
        session.store.stage_summary(session.campaign_id, round_, "select") is not None
        and not stages.pending_chunks(*key)
        and not stages.pending_batches(*key)
    )


def ended(session: Session) -> str:
    """Why the campaign is at its end, or an empty string while there is something to do or to wait for."""
    complete = complete_rounds(session)
    if all(complete):
        return all_complete(session)
    return budget_spent(session, complete.index(False))


def all_complete(session: Session) -> str:
    """What is said of a campaign whose rounds are all complete."""
    rounds = session.spec.stop.rounds
    return f"all {rounds} rounds are complete" if rounds > 1 else "the round is complete"


def budget_spent(session: Session, round_: int) -> str:
    """Why the round may not begin, or an empty string. The first round always may."""
    budget = session.spec.stop.budget_minutes
    if budget is None or round_ == 0 or stages.screening_minutes(session) < budget:
        return ""
    return f"the budget of {budget:g} minutes is spent"


def report_is_current(session: Session) -> bool:
    """True where the report was written after the last thing that happened in the campaign."""
    try:
        written = (session.folder / "report.html").stat().st_mtime
    except OSError:
        return False
    happened = [row["created_at"] for row in session.store.completed_stages(session.campaign_id)]
    happened += [event.at for event in session.queue.events(campaign=session.campaign_id)]
    return all(aware(at).timestamp() <= written for at in happened)


def told(session: Session, why: str, report: str | None = None) -> dict[str, Any]:
    """The summary (see `stages.summary`) with `ended`, why the run came to its end."""
    summary = stages.summary(session.where, session.campaign_id)
    return {**summary, "ended": why, "report": report or summary["report"]}
