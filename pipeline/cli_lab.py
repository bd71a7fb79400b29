"""`redoxa queue` and `redoxa lab`: what people do with the requests."""

from __future__ import annotations

import getpass
import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated

from cyclopts import App, Parameter

from data.errors import InputError, RedoxaError
from data.lab import RequestState
from data.store import Store as DataStore
from pipeline.cli import DEFAULT_STORE, Json, Store
from pipeline.console import say, table
from robotics.queue import LabQueue

By = Annotated[str, Parameter(name="--by", help="who decides; goes into the audit trail")]
Why = Annotated[str, Parameter(name="--why", help="the reason; goes into the audit trail")]

queue_app = App(name="queue", help="Look at the laboratory queue; approve, hold, release or cancel requests.")
lab_app = App(name="lab", help="Work the queue through a campaign's laboratory, or stop it.")


def open_queue(store: str) -> LabQueue:
    """The queue of an existing store."""
    return LabQueue(DataStore.open(store, create=False).engine)


@queue_app.command(name="list")
def list_requests(*, state: RequestState | None = None, store: Store = DEFAULT_STORE, as_json: Json = False) -> None:
    """List requests, most urgent first.

    Args:
        state: only those that stand here.
    """
    rows = [
        {
            "request": row.request_id,
            "state": row.state.value,
            "formula": row.request.formula,
            "priority": row.request.priority,
            "safe": row.is_safe,
            "why": row.request.why,
        }
        for row in open_queue(store).list()
        if state is None or row.state is state
    ]
    if as_json:
        say(json.dumps(rows))
    elif rows:
        table(f"Queue of {store}", rows, list(rows[0]))
        for line in _rejected(store):
            say(f"rejected: {line}")
    else:
        say("the queue is empty" if state is None else f"no request is {state.value}")


def _rejected(store: str) -> list[str]:
    """Answers of laboratories that were refused, of all campaigns of a store that can be opened."""
    from pipeline.session import session_for

    opened = DataStore.open(store, create=False)
    ids = [row["id"] for row in opened.campaigns()]
    opened.close()
    lines: list[str] = []
    for campaign_id in ids:
        with suppress(RedoxaError, OSError):  # another version's campaign, a folder that is gone: the queue is shown
            lines += session_for(store, campaign_id).rejected_results()
    return lines


@queue_app.command
def show(request_id: str, *, store: Store = DEFAULT_STORE) -> None:
    """Print one request as JSON: recipe, safety findings, predictions and history."""
    queue = open_queue(store)
    request_id = _whole(queue, request_id)
    row = queue.get(request_id)
    say(
        json.dumps(
            {
                "request_id": request_id,
                "state": row.state.value,
                "request": row.request.model_dump(mode="json"),
                "safety": [finding.model_dump(mode="json") for finding in row.safety],
                "history": [event.model_dump(mode="json") for event in queue.events(request_id)],
            },
            indent=1,
        )
    )


@queue_app.command
def approve(
    *request_ids: str, by: By = "", why: Why = "approved on the command line", store: Store = DEFAULT_STORE
) -> None:
    """Approve proposed requests; the safety rules still have the last word."""
    _decide(LabQueue.approve, "approved", request_ids, store, by, why)


@queue_app.command
def hold(*request_ids: str, by: By = "", why: Why, store: Store = DEFAULT_STORE) -> None:
    """Hold requests back."""
    _decide(LabQueue.hold, "held", request_ids, store, by, why)


@queue_app.command
def release(*request_ids: str, by: By = "", why: Why, store: Store = DEFAULT_STORE) -> None:
    """Let held requests go on."""
    _decide(LabQueue.release, "released", request_ids, store, by, why)


@queue_app.command
def cancel(*request_ids: str, by: By = "", why: Why, store: Store = DEFAULT_STORE) -> None:
    """Cancel requests for good."""
    _decide(LabQueue.cancel, "cancelled", request_ids, store, by, why)


def _decide(act: Callable[..., object], done: str, request_ids: tuple[str, ...], store: str, by: str, why: str) -> None:
    """Do the same to each request, in the name of a person."""
    if not request_ids:
        raise InputError("name at least one request; `redoxa queue list` shows them")
    queue = open_queue(store)
    for request_id in [_whole(queue, given) for given in request_ids]:
        act(queue, request_id, by=by or f"person:{getpass.getuser()}", why=why)
        say(f"{request_id} {done}")


def _whole(queue: LabQueue, given: str) -> str:
    """The id of a request, of which the first characters are enough where they name one only."""
    from pipeline.lookup import whole_id

    return whole_id("request", given, (row.request_id for row in queue.list())) or given


@lab_app.command
def status(*, store: Store = DEFAULT_STORE, as_json: Json = False) -> None:
    """Count the requests by state."""
    counts = dict(Counter(row.state.value for row in open_queue(store).list()))
    if as_json:
        say(json.dumps(counts))
    else:
        say(", ".join(f"{n} {state}" for state, n in sorted(counts.items())) or "the queue is empty")


@lab_app.command
def work(campaign: str, *, store: Store = DEFAULT_STORE) -> None:
    """Hand a campaign's approved requests to its laboratory and take results back; nothing else is run.

    Args:
        campaign: name, id or file.
    """
    from pipeline.lookup import find_campaign
    from pipeline.session import session_for
    from robotics.base import Rejects
    from robotics.service import run_queue

    session = session_for(store, find_campaign(store, campaign))
    run_queue(session.queue, session.driver, campaign=session.campaign_id)
    if isinstance(session.driver, Rejects):
        for line in session.driver.folders():
            say(line)
        for line in session.driver.rejected():
            say(f"rejected: {line}")
    status(store=store)


@lab_app.command
def stop(campaign: str, *, store: Store = DEFAULT_STORE) -> None:
    """Stop everything the campaign's laboratory has running. Safe to call twice.

    Args:
        campaign: name, id or file.
    """
    from pipeline.lookup import find_campaign
    from pipeline.session import session_for

    session_for(store, find_campaign(store, campaign)).driver.stop()
    say("the laboratory was told to stop")
