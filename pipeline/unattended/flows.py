"""Prefect: the same loop with every stage as a task. Ids travel between tasks; the store, not Prefect, is the truth.

Importing this module imports Prefect; call `pipeline.unattended.prefect_env.quiet_environment` first.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run, task_run
from prefect.states import Completed

from redoxa.data.storage.database import store_file, store_name
from redoxa.pipeline.campaign import stages
from redoxa.pipeline.campaign.lock import live_with_parent
from redoxa.pipeline.campaign.lookup import find_campaign
from redoxa.pipeline.campaign.rounds import ended
from redoxa.pipeline.campaign.session import session_for
from redoxa.pipeline.campaign.spec import CampaignSpec
from redoxa.pipeline.campaign.summary import CampaignSummary
from redoxa.pipeline.pages.campaign.picture import pareto_url
from redoxa.pipeline.pages.card.strips import target_text
from redoxa.pipeline.pages.kit.text import label
from redoxa.pipeline.results.report_file import write_report
from redoxa.pipeline.results.tables import funnel, funnel_rows, top_rows
from redoxa.pipeline.run import run_campaign
from redoxa.screening.base import property_class

RETRIES: dict[Callable[..., Any], int] = {
    stages.generate_chunk: 1,
    stages.screen_batch: 1,
    stages.select_round: 1,
    stages.approve: 0,
    stages.work_laboratory: 0,
    write_report: 1,
}
"""Retries only where repeating is harmless: not where matter moves."""


def _run_name() -> str:
    """What a task does, as people count it: ``screen-batch, round 1``."""
    given = task_run.parameters
    told = [str(task_run.task_name)]
    if "round_" in given:
        told.append(f"round {given['round_'] + 1}")
    if "source" in given:
        told.append(f"{given['source']} {given['chunk'] + 1}")
    if "ids" in given:
        told.append(f"{len(given['ids'])} candidates")
    return ", ".join(told)


TASKS: dict[Callable[..., Any], Callable[..., Any]] = {
    stage: task(
        name=stage.__name__.replace("_", "-"),
        task_run_name=_run_name,
        retries=n,
        cache_policy=NO_CACHE,
        persist_result=False,
    )(stage)
    for stage, n in RETRIES.items()
}


@flow(name="discovery-campaign", flow_run_name="{campaign}", persist_result=False, validate_parameters=False)
def discovery_campaign(campaign: str, store: str, rounds: int | None = None) -> State[Any]:
    """Run a campaign of a store, or go on where it stopped: generate, screen, select, queue, measure, report.

    One task is one batch of a stage. What is finished is in the store and is never repeated.

    Args:
        campaign: name or id of a campaign in the store; of several of one name it is the newest.
        store: path of the store; of a database its URL without user and password, which stay in REDOXA_STORE.
        rounds: complete at most so many more rounds; null for all that the campaign is to have.
    """
    live_with_parent(str(flow_run.id))
    where = _reached(store)
    campaign_id = find_campaign(where, campaign)
    nothing_to_do = ended(session_for(where, campaign_id))
    result = run_campaign(where, campaign_id, lambda stage, *args: TASKS[stage](*args), rounds)
    if nothing_to_do:
        return Completed(message=f"nothing to do: {nothing_to_do}", data=result)
    publish_artifacts(where, result)
    return Completed(message=result.ended, data=result)


def store_shown(where: str) -> str:
    """The store as Prefect may keep and show it: its path, or a URL whose secrets stay in the environment."""
    if store_file(where) is not None:
        return where
    os.environ["REDOXA_STORE"] = where
    return store_name(where)


def _reached(shown: str) -> str:
    where = os.environ.get("REDOXA_STORE", "")
    return where if store_name(where) == shown else shown


def publish_artifacts(where: str, result: CampaignSummary) -> None:
    """Funnel, chosen candidates, Pareto plot and report link as artifacts, under keys that keep the latest version."""
    name, campaign_id = result.campaign, result.campaign_id
    key = "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-")
    session = session_for(where, campaign_id)
    stages, chosen = funnel_rows(funnel(session)), top_rows(session, 20)
    create_table_artifact(stages, key=f"{key}-funnel", description=f"Screening funnel of {name}")
    create_table_artifact(chosen, key=f"{key}-top", description=f"Candidates chosen for the laboratory by {name}")
    report = Path(result.report)
    if (plot := pareto_url(report.read_text(encoding="utf-8"))) is not None:
        text = f"![Pareto front of {name}]({plot})\n\nNumbers are those of the cards in the report."
        create_markdown_artifact(text, key=f"{key}-pareto", description=f"Pareto front of {name}")
    create_link_artifact(
        report.resolve().as_uri(),
        link_text=f"Report of {name}",
        key=f"{key}-report",
        description=f"{result.ended}; {result.measured} measured, {result.simulated} of them simulated",
    )


def description(spec: CampaignSpec) -> str:
    """A campaign in a few lines of Markdown, for its page."""
    goals = [
        f"{label(name).lower()} {target_text(wanted.min, wanted.max, _unit(name))}".rstrip()
        for name, wanted in spec.goal.objectives.items()
    ]
    steps = ", ".join(f"{step.count} from {step.source}" for step in spec.generate)
    approval = "a person approves" if spec.lab.approval == "person" else "what the safety rules allow is approved"
    simulated = " (a simulator: its values are no evidence about a material)" if spec.lab.driver == "simulated" else ""
    return "\n".join(
        (
            f"**{spec.goal.electrode.capitalize()}s for {spec.goal.working_ion}**: {'; '.join(goals)}.",
            "",
            f"- Elements: {', '.join(spec.allowed_symbols)}",
            f"- Candidates a round: {steps}; {spec.stop.rounds} {'round' if spec.stop.rounds == 1 else 'rounds'}",
            *_when(spec),
            f"- Laboratory: {spec.lab.driver}{simulated}, {spec.select.batch_size} a round; {approval}",
        )
    )


def _when(spec: CampaignSpec) -> list[str]:
    if spec.schedule is None:
        return []
    per_run = spec.schedule.rounds_per_run
    return [f"- Schedule: {spec.schedule.words}, {per_run} {'round' if per_run == 1 else 'rounds'} each time"]


def _unit(name: str) -> str:
    unit = property_class(name).unit
    return "" if unit == "1" else unit
