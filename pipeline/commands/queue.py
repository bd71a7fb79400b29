"""`redoxa queue`: what people do with the requests."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Annotated

from cyclopts import App, Parameter

from redoxa.data.errors import InputError, RedoxaError
from redoxa.data.lab.laboratory import Laboratory
from redoxa.data.lab.request import QueueItem, RequestState
from redoxa.data.lab.steps import Step
from redoxa.data.storage.database import store_name
from redoxa.data.storage.store import Store as DataStore
from redoxa.pipeline.commands.app import DEFAULT_STORE, Json, Store
from redoxa.pipeline.commands.console import emit, note, say, table
from redoxa.pipeline.laboratory.laboratory_file import current_laboratory
from redoxa.pipeline.tasks.laboratory import tell_laboratory
from redoxa.robotics.planning.equipment import able
from redoxa.robotics.planning.steps import plan_steps
from redoxa.robotics.queue.queue import LabQueue
from redoxa.robotics.queue.waiting import why_held

By = Annotated[str, Parameter(name="--by", help="who decides; goes into the audit trail")]
Why = Annotated[str, Parameter(name="--why", help="the reason; goes into the audit trail")]
Rules = Annotated[list[str], Parameter(name="--rule", negative="", help="a rule that refuses it, e.g. S006; repeat it")]

queue_app = App(name="queue", help="Look at the laboratory queue; approve, hold, release or cancel requests.")


def open_queue(store: str) -> LabQueue:
    """The queue of an existing store, for the laboratory as its file describes it."""
    return LabQueue(DataStore.open(store, create=False).engine, current_laboratory())


@queue_app.command(name="list")
def list_requests(*, state: RequestState | None = None, store: Store = DEFAULT_STORE, as_json: Json = False) -> None:
    """List requests, most urgent first.

    Args:
        state: only those that stand here.
    """
    queue = open_queue(store)
    found = [row for row in queue.list() if state is None or row.state is state]
    if as_json:
        held = why_held(queue, found)
        for row in found:
            emit("request", **_told(row), why_held=held.get(row.request_id))
    elif found:
        rows = [
            {
                "request": row.request_id,
                "state": row.state.value,
                "formula": row.request.formula,
                "priority": row.request.priority,
                "safe": row.is_safe,
                "why": row.request.why,
            }
            for row in found
        ]
        table(f"Queue of {store_name(store)}", rows, list(rows[0]))
        for request_id, why in why_held(queue, found).items():
            say(f"held: {request_id}: {why}")
        for line in _rejected(store):
            say(f"rejected: {line}")
        if waiting := [row for row in found if row.state is RequestState.PROPOSED and row.is_safe]:
            note(
                f"next: redoxa queue show {waiting[0].request_id[:8]}, redoxa queue approve {waiting[0].request_id[:8]}"
            )
    else:
        say("the queue is empty" if state is None else f"no request is {state.value}")


def _told(row: QueueItem) -> dict[str, object]:
    """A request for machines, in the names of the exported results."""
    return {
        "request_id": row.request_id,
        "request_state": row.state.value,
        "safe": row.is_safe,
        "overridden": row.overridden,
        "campaign_id": row.request.campaign,
        "candidate_id": row.request.candidate_id,
        "formula": row.request.formula,
        "round": row.request.round + 1,
        "priority": row.request.priority,
        "why": row.request.why,
    }


def _rejected(store: str) -> list[str]:
    """Answers of laboratories that were refused, of all campaigns of a store that can be opened."""
    from redoxa.pipeline.campaign.session import opened

    whole = DataStore.open(store, create=False)
    ids = [row.id for row in whole.campaigns()]
    whole.close()
    lines: list[str] = []
    for campaign_id in ids:
        # Another version's campaign, a folder that is gone: the queue is shown.
        with suppress(RedoxaError, OSError), opened(store, campaign_id) as session:
            lines += session.rejected_results()
    return lines


@queue_app.command
def show(request_id: str, *, store: Store = DEFAULT_STORE, as_json: Json = False) -> None:
    """Print one request as JSON: recipe, steps, safety findings, predictions, result, history. --json: on a line."""
    queue = open_queue(store)
    row = queue.get(_whole(queue, request_id))
    whole = {
        **_told(row),
        "request": row.request.model_dump(mode="json") | {"round": row.request.round + 1},
        "steps": [_step(step, queue.laboratory) for step in plan_steps(row.request_id, row.request.recipe)],
        "measurement": row.measurement and row.measurement.model_dump(mode="json"),
        "safety": [finding.model_dump(mode="json") for finding in row.safety],
        "history": [event.model_dump(mode="json") for event in queue.events(row.request_id)],
    }
    if as_json:
        emit("request", **whole)
    else:
        say(json.dumps(whole, indent=1))


def _step(step: Step, laboratory: Laboratory) -> dict[str, object]:
    """A step of the work, and which stations can do it; the recipe has its numbers."""
    gives = [sample.sample_id for sample in step.gives]
    return {
        "step_id": step.step_id, "capability": step.capability, "takes": step.takes, "gives": gives,
        "after": step.after, "longest_h": round(step.longest_s / 3600, 2),
        "stations": [station.name for station in able(step, laboratory)],
    }  # fmt: skip


@queue_app.command
def approve(
    *request_ids: str,
    by: By = "",
    why: Why = "approved on the command line",
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Approve proposed requests; the safety rules still have the last word."""
    approved = _decide(LabQueue.approve, "approved", request_ids, store, by, why, as_json)
    if not as_json:
        note(f"next: {_work(store, approved)}")


@queue_app.command
def override(
    request_id: str,
    *,
    rule: Rules,
    by: By,
    second: Annotated[str, Parameter(name="--second", help="another person, who decides it too")],
    why: Why,
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Let a refused request through limits of the laboratory, in the name of two persons; it still needs approval.

    Args:
        request_id: a request that the safety rules refused.
    """
    queue = open_queue(store)
    whole = _whole(queue, request_id)
    queue.override(whole, rule, by, second, why)
    if as_json:
        emit("request", **_told(queue.get(whole)))
    else:
        say(f"{whole}: {', '.join(rule)} overridden")
        note(f"next: redoxa queue approve {whole[:8]}")


@queue_app.command
def hold(*request_ids: str, by: By = "", why: Why, store: Store = DEFAULT_STORE, as_json: Json = False) -> None:
    """Hold requests back."""
    _decide(LabQueue.hold, "held", request_ids, store, by, why, as_json)


@queue_app.command
def release(*request_ids: str, by: By = "", why: Why, store: Store = DEFAULT_STORE, as_json: Json = False) -> None:
    """Let held requests go on."""
    _decide(LabQueue.release, "released", request_ids, store, by, why, as_json)


@queue_app.command
def retry(
    *request_ids: str,
    by: By = "",
    why: Why = "to be handed over again",
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Let requests that could not be handed over go on; each has to be approved again."""
    released = _decide(LabQueue.release, "released", request_ids, store, by, why, as_json)
    if not as_json:
        note(f"next: {', '.join(f'redoxa queue approve {row.request_id[:8]}' for row in released)}")


@queue_app.command
def cancel(*request_ids: str, by: By = "", why: Why, store: Store = DEFAULT_STORE, as_json: Json = False) -> None:
    """Cancel requests for good. What is with the laboratory is called back, and held until `redoxa queue settle`."""
    rows = _decide(_cancel_or_withdraw, "cancelled", request_ids, store, by, why, as_json)
    for row in rows:
        if row.state is not RequestState.HELD:
            continue
        told = tell_laboratory(store, open_queue(store), row)
        if not as_json:
            say(f"{row.request_id}: {told}")
            note(f"next: redoxa queue settle {row.request_id[:8]} --sample 'where it is now' --by NAME")


def _cancel_or_withdraw(queue: LabQueue, request_id: str, by: str, why: str) -> None:
    running = queue.get(request_id).state is RequestState.RUNNING
    (queue.withdraw if running else queue.cancel)(request_id, by=by, why=why)


@queue_app.command
def settle(
    *request_ids: str,
    sample: Annotated[str, Parameter(name="--sample", help="where the sample is now; goes into the audit trail")],
    by: By,
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Close requests that were called back from the laboratory, once it is known where the sample is."""

    def act(queue: LabQueue, request_id: str, by: str, why: str) -> None:
        queue.settle(request_id, by=by, sample=why)

    _decide(act, "cancelled", request_ids, store, by, sample, as_json)


def _decide(
    act: Callable[..., object], done: str, given: tuple[str, ...], store: str, by: str, why: str, as_json: bool
) -> list[QueueItem]:
    """Do the same to each request, in the name of a person; the requests as they stand then."""
    if not given:
        raise InputError("name at least one request; `redoxa queue list` shows them")
    queue = open_queue(store)
    rows = []
    for request_id in [_whole(queue, start) for start in given]:
        act(queue, request_id, by=by or this_user(), why=why)
        rows.append(queue.get(request_id))
        if as_json:
            emit("request", **_told(rows[-1]))
        else:
            held = rows[-1].state is RequestState.HELD
            say(f"{request_id} {'held' if held else done}")
    return rows


def this_user() -> str:
    """Who types, as the audit trail names persons."""
    try:
        return f"person:{getpass.getuser()}"
    except (KeyError, OSError, ImportError):  # a user without a name, as in some containers
        return f"person:{os.getuid()}"


def _work(store: str, rows: Sequence[QueueItem]) -> str:
    """The commands that hand requests to the laboratories of their campaigns."""
    opened = DataStore.open(store, create=False)
    names = {row.id: row.name for row in opened.campaigns()}
    opened.close()
    campaigns = sorted({names.get(row.request.campaign, row.request.campaign) for row in rows})
    given = "" if store in (DEFAULT_STORE, os.environ.get("REDOXA_STORE")) else f" --store {store_name(store)}"
    return ", ".join(f"redoxa lab work {name}{given}" for name in campaigns)


def _whole(queue: LabQueue, given: str) -> str:
    """The id of a request, of which the first characters are enough where they name one only."""
    from redoxa.pipeline.campaign.lookup import whole_id

    return whole_id("request", given, (row.request_id for row in queue.list())) or given
