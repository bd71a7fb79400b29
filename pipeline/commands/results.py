"""`redoxa status`, `digest`, `report`, `export` and `diff`: what campaigns have found."""

from __future__ import annotations

from pathlib import Path

from redoxa.data.errors import InputError
from redoxa.pipeline.commands.app import DEFAULT_STORE, Json, Store

MOST_SHOWN = 60
"""Differences in a table."""


def status(campaign: str | None = None, *, store: Store = DEFAULT_STORE, as_json: Json = False) -> None:
    """Show the campaigns of a store: rounds, candidates, queue, measurements, and what somebody should look at.

    Args:
        campaign: only this one: its name, id or file.
    """
    from datetime import UTC, datetime

    from redoxa.data.storage.database import store_name
    from redoxa.data.storage.store import Store as DataStore
    from redoxa.pipeline.campaign.lookup import find_campaign
    from redoxa.pipeline.campaign.session import opened
    from redoxa.pipeline.campaign.summary import CampaignSummary, summary
    from redoxa.pipeline.commands.console import emit, note, say, table
    from redoxa.pipeline.results.watchdog import trouble

    whole = DataStore.open(store, create=False)
    ids = [row.id for row in whole.campaigns()] if campaign is None else [find_campaign(store, campaign)]
    whole.close()
    now = datetime.now(UTC)
    found: list[tuple[CampaignSummary, list[str]]] = []
    for campaign_id in ids:
        with opened(store, campaign_id) as session:
            found.append((summary(session), trouble(session, now)))
    rows = [
        {
            "campaign": x.campaign,
            "id": x.campaign_id,
            "rounds": x.rounds,
            **{k: x.counts[k] for k in ("candidates", "screened", "verdict_pass", "selected")},
            "queued": x.queued,
            "waiting_for_approval": x.waiting_for_approval,
            "measured": x.measured,
        }
        for x, _ in found
    ]
    if as_json:
        for one, troubles in found:
            emit("campaign", **one.to_json(), trouble=troubles)
    elif rows:
        table(f"Campaigns in {store_name(store)}", rows, list(rows[0]))
        for one, troubles in found:
            for line in troubles:
                note(f"! {one.campaign}: {line}")
    else:
        say(f"{store_name(store)}: no campaigns yet. `redoxa run FILE` starts one.")


def digest(
    *,
    hours: float = 24,
    webhook: bool = False,
    mail: list[str] | None = None,
    only_trouble: bool = False,
    html: Path | None = None,
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
) -> int:
    """Say what happened in the last hours: rounds, choices, measurements, what waits for you, and what went wrong.

    Ends with 1 where somebody should look: a tick that was missed, a request that is held, a stopped laboratory.

    Args:
        hours: how far to look back.
        webhook: send it to the URL in REDOXA_WEBHOOK too.
        mail: send it to this address too, through the server in REDOXA_SMTP; may be repeated.
        only_trouble: send only where somebody should look.
        html: file to write it to as a page too.
    """
    from datetime import UTC, datetime, timedelta

    from redoxa.pipeline.commands.console import emit, note, say
    from redoxa.pipeline.results.digest import digest as of_store
    from redoxa.pipeline.results.digest import lines, troubles
    from redoxa.pipeline.results.digest_file import write_page
    from redoxa.pipeline.unattended import alert

    if not 0 < hours <= 24 * 366:
        raise InputError(f"--hours {hours:g}: a time above 0 and at most a year")
    now = datetime.now(UTC)
    since = now - timedelta(hours=hours)
    found = of_store(store, since, now)
    text, is_trouble = list(lines(store, found, since)), bool(troubles(found))
    if html is not None:
        write_page(html, store, found, since, now)
        note(f"page: {html}")
    if as_json:
        for campaign in found:
            emit("digest", **campaign.values())
    else:
        for line in text:
            say(line)
        if any(x.waiting for x in found):
            note("next: redoxa queue list, then redoxa queue approve ID")
    if is_trouble or not only_trouble:
        subject = "somebody should look" if is_trouble else "all is well"
        for told in alert.send(subject, text, webhook=webhook, mail_to=mail or []):
            note(f"told {told}")
    return int(is_trouble)


def report(campaign: str, *, store: Store = DEFAULT_STORE, out: Path | None = None, as_json: Json = False) -> None:
    """Write a campaign's report again.

    Args:
        campaign: name, id or file.
        out: file to write; by default the campaign's own report.html.
    """
    from redoxa.pipeline.campaign.lookup import find_campaign
    from redoxa.pipeline.campaign.session import opened
    from redoxa.pipeline.commands.console import emit, say
    from redoxa.pipeline.results.report_file import write_report

    campaign_id = find_campaign(store, campaign)
    with opened(store, campaign_id):
        path = write_report(store, campaign_id, out=out)
    if as_json:
        emit("file", file=path)
    else:
        say(path)


def export(campaign: str, out: Path, *, store: Store = DEFAULT_STORE, as_json: Json = False) -> None:
    """Write a campaign's results to a file: .csv, .json, .parquet, .zip (CIF files) or .extxyz.

    Args:
        campaign: name, id or file.
        out: file to write; its ending chooses the format.
    """
    from redoxa.pipeline.campaign.lookup import find_campaign
    from redoxa.pipeline.campaign.session import opened
    from redoxa.pipeline.commands.console import emit, say
    from redoxa.pipeline.results.export import export as write

    with opened(store, find_campaign(store, campaign)) as session:
        rows = write(session, out)
    if as_json:
        emit("file", file=out, rows=rows)
    else:
        say(f"{out}: {rows} {'crystals' if out.suffix in ('.zip', '.extxyz') else 'rows'}")


def diff(a: str, b: str, *, store: Store = DEFAULT_STORE, as_json: Json = False) -> None:
    """Say what differs between two campaigns of a store, and why: files, candidates, results, choices.

    Args:
        a: name, id or file of a campaign.
        b: of another.
    """
    from dataclasses import asdict

    from redoxa.pipeline.campaign.lookup import find_campaign
    from redoxa.pipeline.commands.console import emit, note, say, table
    from redoxa.pipeline.results.diff import differences, why

    found = differences(store, find_campaign(store, a), find_campaign(store, b))
    if as_json:
        for row in found:
            emit("difference", **asdict(row))
        return
    if found:
        table(f"{a} and {b}", [asdict(row) for row in found[:MOST_SHOWN]], ["kind", "what", "a", "b"])
    if len(found) > MOST_SHOWN:
        note(f"{len(found) - MOST_SHOWN} more; --json gives all")
    say(f"{len(found)} {'difference' if len(found) == 1 else 'differences'}: {why(found)}")
