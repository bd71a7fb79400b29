"""`redoxa serve`: campaigns as deployments of a Prefect server, one tick of a schedule after the other.

A tick that comes due while a run is going waits; one that finds another waiting already is skipped. With the schedule
`on_measurements` a look at the store and the laboratory, every `LOOK_S`, makes the runs. Runs whose process is gone are
marked and give their place back, since Prefect alone would let them stand as running, and the next wait.
Importing this module imports Prefect; call `pipeline.unattended.prefect_env.quiet_environment` first.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID
from warnings import catch_warnings

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId, FlowRunFilterStateType
from prefect.client.schemas.filters import FlowRunFilterState as StateFilter
from prefect.client.schemas.objects import (
    ConcurrencyLimitConfig,
    ConcurrencyLimitStrategy,
    FlowRun,
    StateType,
)
from prefect.exceptions import PrefectException
from prefect.runner import Runner
from prefect.states import Completed, Crashed

from redoxa.data.errors import RedoxaError
from redoxa.pipeline.campaign.lock import forget_runs, is_alive
from redoxa.pipeline.campaign.lookup import shown_as
from redoxa.pipeline.campaign.rounds import ahead
from redoxa.pipeline.campaign.session import Session, opened
from redoxa.pipeline.campaign.spec import CampaignSpec
from redoxa.pipeline.results.watchdog import Watchdog, everything
from redoxa.pipeline.unattended.flows import description, discovery_campaign, store_shown

LOOK_S = 10.0
"""Time between two looks at what runs and waits."""

WATCHDOG_S = 30.0
"""Time between two looks at what is wrong."""

BEGUN_S = 60.0
"""A run that has been pending for so long, without a process, will not begin any more."""

AGAIN_S = 900.0
"""After so long a run is made again for what the last one has left as it was (a share that was away, a fault)."""

AWAY = 3
"""Looks in vain after which somebody is told."""

PATIENCE = 30
"""Looks in vain after which the server is given up: five minutes."""

WAITING = frozenset({"AwaitingConcurrencySlot", "Late"})
TAKEN = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]


def serve(where: str, specs: Sequence[CampaignSpec], tell: Callable[[str, Sequence[str]], None]) -> None:
    """Register the campaigns, all of them in the store, as scheduled deployments, and run them until interrupted.

    Args:
        where: the store.
        specs: the campaigns, each with a schedule.
        tell: passes on what somebody should look at; see `watchdog.Watchdog`.
    """
    runner = Runner()
    ids = [runner.add_flow(discovery_campaign, **deployment_of(where, spec)) for spec in specs]
    found = [x for x in ids if isinstance(x, UUID)]  # outside a loop they all are
    watch = Watch(
        found,
        {
            deployment: partial(_ahead, where, spec.id)
            for deployment, spec in zip(found, specs, strict=True)
            if spec.schedule is not None and spec.schedule.on_measurements
        },
    )
    watch.look()
    over = threading.Event()
    watchdog = Watchdog(partial(_trouble, where, specs, watch), tell)
    for look, every_s in ((watch.look, LOOK_S), (watchdog.look, WATCHDOG_S)):
        threading.Thread(target=_again, args=(look, every_s, over), daemon=True).start()
    try:
        # Prefect prints and logs a traceback of each answer that it lost; `watch` tells of a server that is away.
        with open(os.devnull, "w") as nothing, redirect_stdout(nothing), catch_warnings(action="ignore"):
            asyncio.run(_until_told(runner, watch))
    finally:
        over.set()
        watch.to_do = {}
        end_flows(0)
        last = threading.Thread(target=watch.look, daemon=True)  # a server that is gone must not hold us up
        last.start()
        last.join(3)


def deployment_of(where: str, spec: CampaignSpec) -> dict[str, Any]:
    """What Prefect is told of a campaign."""
    schedule: dict[str, Any] = {}
    rounds = None
    if spec.schedule is not None:
        rounds = spec.schedule.rounds_per_run
        if spec.schedule.cron is not None:
            schedule["cron"] = spec.schedule.cron
        elif spec.schedule.every_minutes is not None:
            schedule["interval"] = 60 * spec.schedule.every_minutes
    return {
        "name": spec.name,
        "description": description(spec),
        "tags": ["redoxa", spec.goal.working_ion, spec.goal.electrode, f"lab: {spec.lab.driver}"],
        "version": importlib.metadata.version("redoxa"),
        "parameters": {"campaign": shown_as(where, spec), "store": store_shown(where), "rounds": rounds},
        "concurrency_limit": ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE),
        "paused": False,  # an earlier `redoxa serve` has paused it at its end
        **schedule,
    }


def _again(look: Callable[[], None], every_s: float, over: threading.Event) -> None:
    while not over.wait(every_s):
        look()


def _trouble(where: str, specs: Sequence[CampaignSpec], watch: Watch) -> list[str]:
    """What somebody should look at, as the store and the looks at Prefect's server say now."""
    away = ["Prefect's server does not answer; it is asked again and again"] if watch.in_vain >= AWAY else []
    sessions = [Session(where, spec) for spec in specs]
    try:
        return away + everything(sessions, datetime.now(UTC))
    finally:
        for session in sessions:
            session.close()


def _ahead(where: str, campaign_id: str) -> frozenset[str]:
    """What a run of a campaign would find to do (see `rounds.ahead`), as its store says now."""
    with opened(where, campaign_id) as session:
        return ahead(session)


async def _until_told(runner: Runner, watch: Watch) -> None:
    """Run what comes due, until SIGTERM or Ctrl-C; then end the flows first, since the runner waits for them.

    Raises:
        RedoxaError: the server has not answered for a while.
    """
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    serving = asyncio.create_task(runner.start())
    while not (runner.started or serving.done()):
        await asyncio.sleep(0.05)
    for number in (signal.SIGTERM, signal.SIGINT):  # after the runner's own, which waits half a minute
        loop.add_signal_handler(number, told.set)
    while not (told.is_set() or serving.done() or watch.in_vain >= PATIENCE):
        await asyncio.wait({serving}, timeout=0.2)
    if not serving.done():
        await asyncio.to_thread(end_flows, 2)
        serving.cancel()
        await asyncio.wait({serving}, timeout=4 if told.is_set() else 1)
        end_flows(0)
    if watch.in_vain >= PATIENCE:
        raise RedoxaError("Prefect's server does not answer any more. Serve again; what was finished is kept.")
    if serving.done() and not serving.cancelled():
        serving.result()


def end_flows(grace_s: float) -> None:
    """End the processes of the flows: asked first, then killed. What is finished is in the store."""
    children = multiprocessing.active_children()
    if grace_s:
        end = time.monotonic() + grace_s
        for child in children:
            child.terminate()
        for child in children:
            child.join(max(0.0, end - time.monotonic()))
    for child in children:
        child.kill()


class Watch:
    """Looks after the runs of some deployments.

    Attributes:
        deployments: whose runs.
        to_do: of each deployment whose runs are due when there is something to do: tells what that is.
        in_vain: looks in turn that the server has not answered.
    """

    def __init__(
        self, deployments: Sequence[UUID], to_do: Mapping[UUID, Callable[[], frozenset[str]]] | None = None
    ) -> None:
        self.deployments = list(deployments)
        self.to_do = dict(to_do or {})
        self._begun: dict[UUID, tuple[frozenset[str], float]] = {}
        """For what, and when, the last run of such a deployment was made."""
        self._idle: set[UUID] = set(deployments)
        """Deployments that had no run at the last look; at the first, nothing of ours has begun yet."""
        self.in_vain = 0

    def look(self) -> None:
        """Mark runs whose process is gone, free the places they held, skip what waits in vain, begin what is due.

        A server that does not answer now is asked at the next look.
        """
        try:
            self._look()
        except (httpx.HTTPError, PrefectException, RuntimeError):  # a RuntimeError where nothing answers at all
            self.in_vain += 1
        else:
            self.in_vain = 0

    def _look(self) -> None:
        with get_client(sync_client=True) as client:
            taken = [run for run in self._runs(client, TAKEN) if not _mark_if_gone(client, run)]
            busy = {run.deployment_id for run in taken if run.deployment_id is not None}
            self._free_places(client, busy)
            forget_runs({str(run.id) for run in taken})
            now, scheduled = datetime.now(UTC), self._runs(client, [StateType.SCHEDULED])
            for run in superfluous(scheduled, now):
                why = "nothing to do: another run was waiting already"
                client.set_flow_run_state(run.id, Completed(name="Skipped", message=why), force=True)
            waiting = {run.deployment_id for run in scheduled if _is_due(run, now)}
            for deployment, to_do in self.to_do.items():
                if deployment not in busy | waiting:
                    self._begin(client, deployment, to_do)

    def _begin(self, client: SyncPrefectClient, deployment: UUID, to_do: Callable[[], frozenset[str]]) -> None:
        """Make a run where it would find something to do: something else than the last, or the same after a while."""
        try:
            found = to_do()
        except (RedoxaError, OSError):  # the store is away; it is asked at the next look
            return
        before, at = self._begun.get(deployment, (frozenset(), 0.0))
        is_new = found != before or time.monotonic() - at > AGAIN_S
        if found and is_new and not client.read_deployment(deployment).paused:
            client.create_flow_run_from_deployment(deployment)
            self._begun[deployment] = found, time.monotonic()
        elif not found:
            self._begun.pop(deployment, None)

    def _runs(self, client: SyncPrefectClient, states: list[StateType]) -> list[FlowRun]:
        wanted = FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=self.deployments),
            state=StateFilter(type=FlowRunFilterStateType(any_=states)),
        )
        return client.read_flow_runs(flow_run_filter=wanted, limit=200)

    def _free_places(self, client: SyncPrefectClient, busy: set[UUID]) -> None:
        """Free what is held by no run: a server that was restarted has forgotten who held it."""
        idle = set(self.deployments) - busy
        for deployment in idle & self._idle:  # twice in turn, so that no run is between taking its place and showing it
            limit = client.read_deployment(deployment).global_concurrency_limit
            if limit is not None and limit.active_slots:
                client.update_global_concurrency_limit(limit.name, GlobalConcurrencyLimitUpdate(active_slots=0))
        self._idle = idle


def _mark_if_gone(client: SyncPrefectClient, run: FlowRun) -> bool:
    """Mark a run as crashed where its process is gone; returns whether it is."""
    alive = is_alive(str(run.id))
    if alive is None and run.state is not None and run.state.is_pending():
        alive = datetime.now(UTC) - run.state.timestamp < timedelta(seconds=BEGUN_S)
    if alive is not False:
        return False
    now_state = client.read_flow_run(run.id).state  # it may have ended in order while we looked
    if now_state is None or now_state.type not in TAKEN:
        return True
    why = "The process of this run is gone. What was finished is kept, and the next run goes on from there."
    client.set_flow_run_state(run.id, Crashed(message=why), force=True)
    return True


def superfluous(scheduled: Sequence[FlowRun], now: datetime) -> list[FlowRun]:
    """Runs that are due but need not be: of each deployment one may wait, and what a person asks for always may."""
    due = [run for run in scheduled if _is_due(run, now)]
    due.sort(key=lambda run: (run.auto_scheduled, run.expected_start_time or now))
    kept: set[UUID | None] = set()
    surplus = []
    for run in due:
        if run.deployment_id in kept and run.auto_scheduled:
            surplus.append(run)
        kept.add(run.deployment_id)
    return surplus


def _is_due(run: FlowRun, now: datetime) -> bool:
    if run.state is not None and run.state.name in WAITING:
        return True
    return run.next_scheduled_start_time is not None and run.next_scheduled_start_time <= now
