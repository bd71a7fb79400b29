"""Prefect: the same loop with every stage as a task. Ids travel between tasks; the store, not Prefect, is the truth.

Importing this module imports Prefect; call `pipeline.prefect_env.quiet_environment` first.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_link_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy

from pipeline import stages
from pipeline.campaign import CampaignSpec
from pipeline.report_file import write_report
from pipeline.run import run_campaign
from pipeline.tables import funnel_rows, top_rows

RETRIES: dict[Callable[..., Any], int] = {
    stages.generate_chunk: 1,
    stages.screen_batch: 1,
    stages.select_round: 1,
    stages.approve: 0,
    stages.work_laboratory: 0,
    write_report: 1,
}
"""Retries only where repeating is harmless: not where matter moves."""

TASKS: dict[Callable[..., Any], Callable[..., Any]] = {
    stage: task(name=stage.__name__.replace("_", "-"), retries=n, cache_policy=NO_CACHE, persist_result=False)(stage)
    for stage, n in RETRIES.items()
}


@flow(name="discovery-campaign", flow_run_name="{name}", persist_result=False, validate_parameters=False)
def discovery_campaign(where: str, campaign_id: str, name: str) -> dict[str, Any]:
    """Run a campaign that is in the store, one task for each batch of a stage."""
    result = run_campaign(where, campaign_id, lambda stage, *args: TASKS[stage](*args))
    publish_artifacts(result, name)
    return result


def publish_artifacts(result: dict[str, Any], name: str) -> None:
    """Funnel, top candidates and report link as Prefect artifacts, under keys that keep their latest version."""
    key = "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-")
    where, campaign_id = result["store"], result["campaign_id"]
    create_table_artifact(funnel_rows(where, campaign_id), key=f"{key}-funnel", description="Screening funnel")
    create_table_artifact(top_rows(where, campaign_id, 20), key=f"{key}-top", description="Best candidates")
    create_link_artifact(Path(result["report"]).resolve().as_uri(), link_text="Report", key=f"{key}-report")


def serve(where: str, spec: CampaignSpec, campaign_id: str) -> None:
    """Register a scheduled deployment of the campaign on the Prefect server and run it until interrupted.

    One run at a time: a run that comes due while another is going is cancelled, since the next one goes on anyway.
    """
    schedule: dict[str, Any] = {}
    if spec.schedule is not None and spec.schedule.cron is not None:
        schedule["cron"] = spec.schedule.cron
    elif spec.schedule is not None and spec.schedule.every_minutes is not None:
        schedule["interval"] = 60 * spec.schedule.every_minutes
    with suppress(KeyboardInterrupt):
        discovery_campaign.serve(
            name=spec.name,
            parameters={"where": where, "campaign_id": campaign_id, "name": spec.name},
            global_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
            print_starting_message=False,
            **schedule,
        )
