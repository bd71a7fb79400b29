"""Which rounds of a campaign are complete, and whether anything is left to do. Reads the store, loads no network."""

from __future__ import annotations

from collections.abc import Iterator

from redoxa.data.errors import DriverError
from redoxa.data.lab.request import QueueItem, RequestState
from redoxa.data.storage.database import aware
from redoxa.pipeline.campaign import stages
from redoxa.pipeline.campaign.session import Session
from redoxa.robotics.base import JobState
from redoxa.robotics.stop_mark import stop_reason


def complete_rounds(session: Session) -> list[bool]:
    """Of each round the campaign is to have, whether nothing is missing in it and none of its requests waits."""
    return list(_complete(session))


def _complete(session: Session) -> Iterator[bool]:
    waiting = {row.request.round for row in stages.open_requests(session)}
    return (round_ not in waiting and _is_worked_off(session, round_) for round_ in range(session.spec.stop.rounds))


def _first_missing(session: Session) -> int | None:
    """The first round that is not complete; None where all are."""
    return next((round_ for round_, complete in enumerate(_complete(session)) if not complete), None)


def _is_worked_off(session: Session, round_: int) -> bool:
    key = (session.where, session.campaign_id, round_)
    return (
        session.store.stage_summary(session.campaign_id, round_, "select") is not None
        and not stages.pending_chunks(*key)
        and not stages.pending_batches(*key)
    )


def ended(session: Session) -> str:
    """Why the campaign is at its end, or an empty string while there is something to do or to wait for."""
    round_ = _first_missing(session)
    return all_complete(session) if round_ is None else budget_spent(session, round_)


def all_complete(session: Session) -> str:
    """What is said of a campaign whose rounds are all complete."""
    rounds = session.spec.stop.rounds
    return f"all {rounds} rounds are complete" if rounds > 1 else "the round is complete"


def budget_spent(session: Session, round_: int) -> str:
    """Why the round may not begin, or an empty string. The first round always may, and one that has begun goes on."""
    budget = session.spec.stop.budget_minutes
    if budget is None or round_ == 0 or session.store.chunks(session.campaign_id, round_):
        return ""
    if stages.screening_minutes(session) < budget:
        return ""
    return f"the budget of {budget:g} minutes is spent"


def ahead(session: Session) -> frozenset[str]:
    """What a run would find to do now, in words that change as it does it; empty where it could only wait.

    The laboratory is asked how the requests go that it has: an answer that is ready waits for a run.
    """
    round_ = _first_missing(session)
    if round_ is None or budget_spent(session, round_):
        return frozenset() if report_is_current(session) else frozenset({"report"})
    open_ = stages.open_requests(session)
    found = {f"request {row.request_id}: {row.state.value}" for row in open_ if _may_go_on(session, row)}
    if not _is_worked_off(session, round_):
        key = (session.where, session.campaign_id, round_)
        chunks, batches = stages.pending_chunks(*key), stages.pending_batches(*key)
        found.add(f"round {round_ + 1}: {len(chunks)} chunks, {sum(map(len, batches))} candidates")
    return frozenset(found)


def _may_go_on(session: Session, row: QueueItem) -> bool:
    """Whether a run can do something for a request that is open."""
    if row.state is RequestState.PROPOSED:
        return session.spec.lab.approval == "auto" and row.is_safe and not row.overridden
    if row.state in (RequestState.APPROVED, RequestState.CLAIMED):
        return not stop_reason()
    if row.state is RequestState.HELD:
        return False
    try:
        return session.driver.poll(row.request_id).state not in (JobState.WAITING, JobState.RUNNING)
    except (DriverError, OSError):  # it is asked again
        return False
    except Exception:  # noqa: BLE001 - a fault of the driver: a run asks too, and writes it down
        return True


def report_is_current(session: Session) -> bool:
    """True where the report was written after the last thing that happened in the campaign."""
    try:
        written = (session.folder / "report.html").stat().st_mtime
    except OSError:
        return False
    happened = [row.created_at for row in session.store.completed_stages(session.campaign_id)]
    happened += [event.at for event in session.queue.events(campaign=session.campaign_id)]
    return all(aware(at).timestamp() <= written for at in happened)
