"""What happened since a moment: for the morning after, in a few lines or as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

from redoxa.data.lab.request import QueueItem, RequestState
from redoxa.data.storage.database import aware, store_name
from redoxa.data.storage.rows import Run
from redoxa.data.storage.store import Store
from redoxa.pipeline.campaign import stages
from redoxa.pipeline.campaign.rounds import complete_rounds, ended
from redoxa.pipeline.campaign.session import Session, opened
from redoxa.pipeline.pages.kit.digest_model import CampaignDigest
from redoxa.pipeline.results.watchdog import held, of_campaign, stopped, trouble
from redoxa.robotics.base import driver_class
from redoxa.robotics.queue.transitions import LATE


def digest(where: str, since: datetime, now: datetime) -> list[CampaignDigest]:
    """Every campaign of a store since a moment, oldest first.

    Args:
        where: the store.
        since: with its time zone.
        now: against which a missed tick is judged.
    """
    store = Store.open(where, create=False)
    ids = [row.id for row in store.campaigns()]
    store.close()
    found = []
    for campaign_id in ids:
        with opened(where, campaign_id) as session:
            found.append(_of_campaign(session, since, now))
    return found


def _of_campaign(session: Session, since: datetime, now: datetime) -> CampaignDigest:
    store, spec, key = session.store, session.spec, session.campaign_id
    results = store.results(key, spec.screening.settings_hash)
    stages_done = store.completed_stages(key)
    rows = session.queue.list(campaign=key)
    written = [event.at for event in session.queue.events(campaign=key)]
    new = {row.round for row in stages_done if row.stage == "select" and aware(row.created_at) >= since}
    formulas = {r.candidate_id: r.formula for r in results}
    by_state = Counter(row.state for row in rows)
    report = session.folder / "report.html"
    return CampaignDigest(
        campaign=spec.name,
        campaign_id=key,
        runs=tuple(_run(run, now) for run in store.runs(key, since)),
        screening_minutes=round(stages.minutes_of(store.costs(key, since)), 1),
        rounds=(sum(complete_rounds(session)), spec.stop.rounds),
        completed=tuple(sorted(x + 1 for x in new)),
        screened=(len(results), sum(r.verdict.value == "pass" for r in results)),
        chosen=tuple(formulas.get(x.candidate_id, "?") for r in sorted(new) for x in store.selections(key, r)),
        measured=tuple(_measured(row) for row in rows if row.measurement is not None and row.updated_at >= since),
        waiting=tuple(f"{row.request.formula} {row.request_id}" for row in rows if row.state is RequestState.PROPOSED),
        held=tuple(held(session)),
        with_laboratory=by_state[RequestState.RUNNING] + by_state[RequestState.CLAIMED],
        last_progress=max(filter(None, (*written, store.last_written(key))), default=None),
        ended=ended(session),
        trouble=tuple(trouble(session, now)),
        simulated=driver_class(spec.lab.driver).simulated,
        report=str(report) if report.exists() else None,
    )


def _run(run: Run, now: datetime) -> str:
    minutes = ((run.ended_at or now) - run.began_at).total_seconds() / 60
    said = "failed: " * run.failed + run.said if run.ended_at else "goes on"
    return f"{run.began_at:%Y-%m-%d %H:%M} UTC, {minutes:.0f} min: {said}"


def _measured(row: QueueItem) -> str:
    late = "" if row.state is RequestState.DONE else f" ({LATE})"
    return f"{row.request.formula}: {row.measurement.summary if row.measurement else ''}{late}"


def troubles(found: Sequence[CampaignDigest]) -> list[str]:
    """What somebody should look at, a line each; none where all is well."""
    return stopped() + [line for x in found for line in of_campaign(x.campaign, x.trouble, x.held)]


def lines(where: str, found: list[CampaignDigest], since: datetime) -> Iterator[str]:
    """The digest for people."""
    yield f"{store_name(where)} since {since:%Y-%m-%d %H:%M} UTC"
    yield from (f"! {line}" for line in stopped())
    for x in found:
        news = f"rounds {', '.join(map(str, x.completed))} completed" if x.completed else "no round completed"
        yield f"{x.campaign}: {news} ({x.rounds[0]} of {x.rounds[1]}); {x.screened[1]} of {x.screened[0]} passed"
        if x.screening_minutes:
            yield f"  screening: {x.screening_minutes:g} min of processor time"
        yield from (f"  ! {text}" for text in x.trouble)
        told = {"runs": x.runs, "chosen": x.chosen, "measured": x.measured, "waits for you": x.waiting, "held": x.held}
        for what, items in told.items():
            if items:
                yield f"  {what}: {'; '.join(items)}"
        if x.with_laboratory:
            yield f"  with the {'simulated ' if x.simulated else ''}laboratory: {x.with_laboratory}"
        if x.ended:
            yield f"  {x.ended}"
