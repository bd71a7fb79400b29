"""What somebody should look at: a run that failed or has fallen silent, a tick that was missed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from data.store import Run
from pipeline.campaign import Schedule
from pipeline.cron import last_due
from pipeline.rounds import ended
from pipeline.session import Session

GRACE = timedelta(minutes=10)
"""How long after its time a tick may still begin without being missed."""

SILENCE = timedelta(minutes=60)
"""How long a run may go on without writing anything; one relaxation of a large cell takes minutes."""


def trouble(session: Session, now: datetime, silence: timedelta = SILENCE) -> list[str]:
    """Everything that is wrong with how a campaign goes on, a line each.

    Args:
        session: of the campaign.
        now: against which it is judged.
        silence: how long a run may go on without writing anything.
    """
    store, key = session.store, session.campaign_id
    last = next(reversed(store.runs(key)), None)
    found = [] if last is None else list(_of_the_run(last, store.last_written(key), now, silence))
    if session.spec.schedule is not None and not ended(session):
        found += _of_the_schedule(session.spec.schedule, last, now)
    return found


def _of_the_run(run: Run, written: datetime | None, now: datetime, silence: timedelta) -> Iterator[str]:
    if run.failed:
        yield f"the run of {run.began_at:%Y-%m-%d %H:%M} UTC failed: {run.said}"
    elif run.ended_at is None and written is not None and now - written > silence:
        yield (
            f"the run of {run.began_at:%Y-%m-%d %H:%M} UTC has written nothing since {written:%Y-%m-%d %H:%M} UTC: it "
            "hangs, or its process was killed"
        )


def _of_the_schedule(schedule: Schedule, last: Run | None, now: datetime) -> Iterator[str]:
    """A tick has passed without a run; what comes due during a run waits."""
    if schedule.on_measurements:
        return
    if schedule.every_minutes is not None:
        due = now - timedelta(minutes=schedule.every_minutes)
    else:
        due = last_due(str(schedule.cron), now - GRACE)
    if last is not None and (last.ended_at is None or last.ended_at >= due - GRACE):
        return
    seen = "none ever has" if last is None else f"the last began {last.began_at:%Y-%m-%d %H:%M} UTC"
    yield f"a tick was missed: no run began, {seen}, and it goes {schedule.words}. Is `redoxa serve` running?"
