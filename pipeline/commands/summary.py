"""The last lines of a run."""

from __future__ import annotations

from redoxa.data.storage.database import store_name
from redoxa.data.storage.store import Store
from redoxa.pipeline.campaign.session import opened
from redoxa.pipeline.campaign.spec import CampaignSpec
from redoxa.pipeline.campaign.summary import CampaignSummary
from redoxa.pipeline.commands.console import say, table
from redoxa.pipeline.results.tables import funnel, funnel_rows, in_order, top_rows


def print_summary(where: str, summary: CampaignSummary) -> None:
    """Funnel, chosen candidates and counts of a campaign, on stdout."""
    campaign_id = summary.campaign_id
    with opened(where, campaign_id) as session:
        stages, top = funnel_rows(funnel(session)), top_rows(session, 10)
    table(f"Funnel of {summary.campaign}", stages, ["stage", "entered", "passed", "seconds", "reasons"])
    if top:
        table("Chosen for the laboratory", top, in_order(top, ["formula", "request"], ["candidate"]))
    counts, measured, simulated = summary.counts, summary.measured, summary.simulated
    of_them = "" if not simulated else " (simulated)" if simulated == measured else f" ({simulated} simulated)"
    say(
        f"{counts['candidates']} candidates, {counts['relaxed_both_states']} relaxed in both states, "
        f"{counts['verdict_pass']} passed, {counts['selected']} chosen, {summary.queued} queued, "
        f"{measured} measured{of_them}. Ended: {summary.ended}."
    )
    name = summary.campaign
    waiting = summary.waiting_for_approval
    say(f"Next: {'redoxa queue list, or ' if waiting else ''}redoxa export {name} {name}.zip for crystals and numbers")


def kept(where: str, spec: CampaignSpec) -> str:
    """What of a campaign is in the store by now, in words."""
    store = Store.open(where, create=False)
    candidates, screened = store.tally(spec.id, spec.screening.settings_hash)
    store.close()
    return f"{store_name(where)} keeps {candidates} candidates, {screened} of them screened"
