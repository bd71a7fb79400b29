"""What somebody should look at: a run that failed or has fallen silent, a missed tick, held requests, a stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from redoxa.data.errors import RedoxaError
from redoxa.data.lab.request import RequestState
from redoxa.data.storage.rows import Run
from redoxa.pipeline.campaign.cron import last_due
from redoxa.pipeline.campaign.rounds import ended
from redoxa.pipeline.campaign.session import Session
from redoxa.pipeline.campaign.spec import SILENCE_MINUTES, Schedule
from redoxa.robotics.queue.waiting import why_held
from redoxa.robotics.stop_mark import find_mark

GRACE = timedelta(minutes=10)
"""How long after its time a tick may still begin without being missed."""


class Watchdog:
    """Tells what somebody should look at when it begins, and when all is well again.

    Args:
        look: what somebody should look at now, a line each.
        tell: passes a subject and lines on; a RedoxaError from it means that they are told again at the next look.
    """

    def __init__(self, look: Callable[[], list[str]], tell: Callable[[str, Sequence[str]], None]) -> None:
        self._look, self._tell = look, tell
        self._told: list[str] = []

    def look(self) -> None:
        """Look once."""
        try:
            found = self._look()
        except (RedoxaError, OSError) as error:
            found = [f"nobody can look: {error}"]
        try:
            if new := [line for line in found if line not in self._told]:
                self._tell("somebody should look", new)
            elif self._told and not found:
                self._tell("all is well again", self._told)
        except RedoxaError:
            return
        self._told = found


def everything(sessions: Sequence[Session], now: datetime) -> list[str]:
    """What somebody should look at in some campaigns and in the laboratory."""
    return stopped() + [line for x in sessions for line in of_campaign(x.spec.name, trouble(x, now), held(x))]


def stopped() -> list[str]:
    """That the laboratory is stopped, where it is."""
    mark = find_mark()
    return [f"the laboratory is stopped: {mark.text}"] if mark else []


def of_campaign(name: str, trouble: Sequence[str], held: Sequence[str]) -> list[str]:
    """The lines of one campaign, under its name."""
    return [f"{name}: {line}" for line in (*trouble, *(f"held: {x}" for x in held))]


def held(session: Session) -> list[str]:
    """Requests of a campaign that are held, with why."""
    rows = session.queue.list(session.campaign_id, RequestState.HELD)
    why = why_held(session.queue, rows)
    return [f"{row.request.formula} {row.request_id}: {why[row.request_id]}" for row in rows]


def trouble(session: Session, now: datetime) -> list[str]:
    """Everything that is wrong with how a campaign goes on, a line each, as judged now."""
    store, key, schedule = session.store, session.campaign_id, session.spec.schedule
    silence = timedelta(minutes=SILENCE_MINUTES if schedule is None else schedule.silence_minutes)
    last = next(reversed(store.runs(key)), None)
    found = [] if last is None else list(_of_the_run(last, store.last_written(key), now, silence))
    if schedule is not None and not ended(session):
        (own,) = [row for row in store.campaigns() if row.id == key]
        found += _of_the_schedule(schedule, last, own.created_at, now)
    return found


def _of_the_run(run: Run, written: datetime | None, now: datetime, silence: timedelta) -> Iterator[str]:
    if run.failed:
        yield f"the run of {run.began_at:%Y-%m-%d %H:%M} UTC failed: {run.said}"
    elif run.ended_at is None and written is not None and now - written > silence:
        yield (
            f"the run of {run.began_at:%Y-%m-%d %H:%M} UTC has written nothing since {written:%Y-%m-%d %H:%M} UTC: it "
            "hangs, or its process was killed"
        )


def _of_the_schedule(schedule: Schedule, last: Run | None, known: datetime, now: datetime) -> Iterator[str]:
    """A tick has passed without a run since the campaign is known; what comes due during a run waits."""
    if schedule.on_measurements or (last is not None and last.ended_at is None):
        return
    if schedule.every_minutes is not None:
        due = now - timedelta(minutes=schedule.every_minutes)
    else:
        due = last_due(str(schedule.cron), now - GRACE)
    if (last.ended_at if last is not None and last.ended_at else known) >= due - GRACE:
        return
    seen = "none ever has" if last is None else f"the last began {last.began_at:%Y-%m-%d %H:%M} UTC"
    yield f"a tick was missed: no run began, {seen}, and it goes {schedule.words}. Is `redoxa serve` running?"
