"""`redoxa serve` and `redoxa deploy`: campaigns that run by their schedules, here or on the workers of a pool."""

from __future__ import annotations

import os
from collections.abc import Sequence

from redoxa.data.errors import InputError, RedoxaError
from redoxa.data.storage.database import store_file
from redoxa.pipeline.campaign.lookup import find_spec
from redoxa.pipeline.campaign.session import register, runs_folder
from redoxa.pipeline.campaign.spec import CampaignSpec
from redoxa.pipeline.commands.app import DEFAULT_STORE, Json, Store
from redoxa.pipeline.commands.console import emit, note, say
from redoxa.pipeline.unattended import alert
from redoxa.pipeline.unattended.prefect_env import ended_in_order, faults_told, quiet_environment, server


def serve(*campaigns: str, webhook: bool = False, mail: list[str] | None = None, store: Store = DEFAULT_STORE) -> None:
    """Run campaigns by their schedules on a Prefect server, until interrupted or ended.

    The server is the one of PREFECT_API_URL; without it, one is started on 127.0.0.1 for as long as this runs.

    Args:
        campaigns: campaign files with a `schedule` section; or names or ids of such campaigns in the store.
        webhook: tell the URL in REDOXA_WEBHOOK what somebody should look at.
        mail: tell this address, through the server in REDOXA_SMTP; may be repeated.
    """
    alert.ensure_set(webhook=webhook, mail=mail or [])
    specs = _scheduled(campaigns, store)
    _prepare(specs, store)

    def tell(subject: str, lines: Sequence[str]) -> None:
        for line in lines:
            note(f"{subject}: {line}")
        try:
            alert.send(subject, lines, webhook=webhook, mail_to=mail or [])
        except RedoxaError as error:
            note(f"not told: {error}")
            raise

    with ended_in_order(), faults_told(), server() as url:
        from redoxa.pipeline.unattended.serve import serve as serve_all

        for spec in specs:
            note(f"Serving '{spec.name}' on {url.removesuffix('/api')} ({spec.schedule and spec.schedule.words})")
        note("Ctrl-C ends it")
        serve_all(store, specs, tell)


def deploy(*campaigns: str, pool: str, store: Store = DEFAULT_STORE, as_json: Json = False) -> None:
    """Let the workers of a work pool run campaigns by their schedules, on any machine where Redoxa is installed.

    The server is the one of PREFECT_API_URL. A worker runs them in the folder that is the current one now.

    Args:
        campaigns: campaign files with a `schedule` section; or names or ids of such campaigns in the store.
        pool: name of a work pool of type process; it is made where there is none.
    """
    specs = _scheduled(campaigns, store)
    for spec in specs:
        if spec.schedule is not None and spec.schedule.on_measurements:
            raise InputError(
                f"{spec.name}: nobody watches the laboratory for a pool. Give cron or every_minutes instead of "
                "on_measurements, or use `redoxa serve`."
            )
    if not os.environ.get("PREFECT_API_URL"):
        raise InputError(
            "PREFECT_API_URL: names no Prefect server. `prefect server start` starts one and says its URL."
        )
    _prepare(specs, store)
    with faults_told():
        from redoxa.pipeline.unattended.deploy import deploy as deploy_all

        is_new = deploy_all(store, specs, pool)
    if is_new:
        note(f"The work pool '{pool}' was made")
    for spec in specs:
        words = spec.schedule and spec.schedule.words
        if as_json:
            emit("deployment", campaign=spec.name, campaign_id=spec.id, pool=pool, new_pool=is_new, schedule=words)
        else:
            say(f"'{spec.name}' is deployed to '{pool}' ({words})")
    note(f"next, on each machine that is to work: prefect worker start --pool {pool}")
    if store_file(store) is None:
        note("Prefect is not told the user and the password of the store: give each worker REDOXA_STORE")


def _scheduled(campaigns: Sequence[str], store: str) -> list[CampaignSpec]:
    """The campaigns, each with a schedule and a name of its own."""
    if not campaigns:
        raise InputError("name at least one campaign file")
    specs: dict[str, CampaignSpec] = {}
    for campaign in campaigns:
        spec = find_spec(store, campaign)
        if spec.schedule is None:
            raise InputError(f"{campaign}: has no schedule section. Add for example `schedule: {{cron: '0 2 * * *'}}`.")
        if spec.name in specs:
            raise InputError(f"{campaign}: another of these campaigns is named '{spec.name}' too. Rename one of them.")
        specs[spec.name] = spec
    return list(specs.values())


def _prepare(specs: Sequence[CampaignSpec], store: str) -> None:
    for spec in specs:
        register(store, spec)
    quiet_environment(runs_folder(store) / ".prefect")
