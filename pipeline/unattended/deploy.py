"""`redoxa deploy`: campaigns as deployments of a work pool, whose workers run them.

Importing this module imports Prefect; call `pipeline.unattended.prefect_env.quiet_environment` first.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.types.entrypoint import EntrypointType

from redoxa.data.errors import InputError
from redoxa.pipeline.campaign.spec import CampaignSpec
from redoxa.pipeline.unattended.flows import discovery_campaign
from redoxa.pipeline.unattended.serve import deployment_of

TYPE = "process"
"""Of the pool: its workers start the installed Redoxa in a process of its own."""


def deploy(where: str, specs: Sequence[CampaignSpec], pool: str) -> bool:
    """Register the campaigns, all of them in the store; returns whether the pool had to be made.

    No code is sent: a worker imports the Redoxa of its own machine, in the folder that is the current one here.

    Raises:
        InputError: the pool is of another type.
    """
    is_new = _made(pool)
    for spec in specs:
        RunnerDeployment.from_flow(
            discovery_campaign,
            **deployment_of(where, spec),
            work_pool_name=pool,
            job_variables={"working_dir": str(Path.cwd())},
            entrypoint_type=EntrypointType.MODULE_PATH,
        ).apply()
    return is_new


def _made(pool: str) -> bool:
    with get_client(sync_client=True) as client:
        try:
            found = client.read_work_pool(pool)
        except ObjectNotFound:
            client.create_work_pool(WorkPoolCreate(name=pool, type=TYPE))
            return True
    if found.type != TYPE:
        raise InputError(f"--pool {pool}: is a work pool of type {found.type}. Name one of type {TYPE}, or a new one.")
    return False
