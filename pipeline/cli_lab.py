"""`redoxa queue` and `redoxa lab`: what people do with the requests."""

from __future__ import annotations

import getpass
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from data.database import store_name
from data.errors import InputError, RedoxaError
from data.lab import QueueItem, RequestState
from data.store import Store as DataStore
from pipeline.cli import DEFAULT_STORE, Json, Store
from pipeline.console import emit, note, say, table
from pipeline.lab_calls import audit, looked_at, stop_driver, tell_laboratory, why_held
from pipeline.station_file import DEFAULT_FILE, EXAMPLE, LABORATORY, current_station, read_station, station_file
from robotics.queue import LabQueue

By = Annotated[str, Parameter(name="--by", help="who decides; goes into the audit trail")]
Why = Annotated[str, Parameter(name="--why", help="the reason; goes into the audit trail")]
Rules = Annotated[list[str], Parameter(name="--rule", negative="", help="a rule that refuses it, e.g. S006; repeat it")]

queue_app = App(name="queue", help="Look at the laboratory queue; approve, hold, release or cancel requests.")
lab_app = App(name="lab", help="Say what the laboratory has; work the queue through it, or stop it.")


def open_queue(store: str) -> LabQueue:
    """The queue of an existing store, for the laboratory as its file describes it."""
    return LabQueue(DataStore.open(store, create=False).engine, current_station())


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
def show(request_id: str, *, store: Store = DEFAULT_STORE, as_json: Json = False) -> None:
    """Print one request as JSON: recipe, safety findings, predictions and history. With --json, on one line."""
    queue = open_queue(store)
    row = queue.get(_whole(queue, request_id))
    whole = {
        **_told(row),
        "request": row.request.model_dump(mode="json") | {"round": row.request.round + 1},
        "safety": [finding.model_dump(mode="json") for finding in row.safety],
        "history": [event.model_dump(mode="json") for event in queue.events(row.request_id)],
    }
    if as_json:
        emit("request", **whole)
    else:
        say(json.dumps(whole, indent=1))


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
        act(queue, request_id, by=by or _user(), why=why)
        rows.append(queue.get(request_id))
        if as_json:
            emit("request", **_told(rows[-1]))
        else:
            held = rows[-1].state is RequestState.HELD
            say(f"{request_id} {'held' if held else done}")
    return rows


def _user() -> str:
    try:
        return f"person:{getpass.getuser()}"
    except (KeyError, OSError, ImportError):  # a user without a name, as in some containers
        return f"person:{os.getuid()}"


def _work(store: str, rows: Sequence[QueueItem]) -> str:
    """The commands that hand requests to the laboratories of their campaigns."""
    opened = DataStore.open(store, create=False)
    names = {row["id"]: row["name"] for row in opened.campaigns()}
    opened.close()
    campaigns = sorted({names.get(row.request.campaign, row.request.campaign) for row in rows})
    given = "" if store in (DEFAULT_STORE, os.environ.get("REDOXA_STORE")) else f" --store {store_name(store)}"
    return ", ".join(f"redoxa lab work {name}{given}" for name in campaigns)


def _whole(queue: LabQueue, given: str) -> str:
    """The id of a request, of which the first characters are enough where they name one only."""
    from pipeline.lookup import whole_id

    return whole_id("request", given, (row.request_id for row in queue.list())) or given


@lab_app.command
def status(*, store: Store = DEFAULT_STORE, as_json: Json = False) -> None:
    """Count the requests by state, and say whether the laboratory is stopped."""
    from robotics.stop_mark import stop_reason

    if (stopped := stop_reason()) and not as_json:
        say(stopped)
    rows = open_queue(store).list()
    counts, held = Counter(row.state.value for row in rows), why_held(open_queue(store), rows)
    if as_json:
        emit("laboratory", requests=counts, stopped=bool(stopped), why_held=held)
    else:
        for request_id, reason in held.items():
            say(f"held: {request_id}: {reason}")
        say(", ".join(f"{n} {state}" for state, n in sorted(counts.items())) or "the queue is empty")


@lab_app.command
def work(campaign: str, *, store: Store = DEFAULT_STORE, as_json: Json = False) -> None:
    """Hand a campaign's approved requests to its laboratory and take results back; nothing else is run.

    Args:
        campaign: name, id or file.
    """
    from pipeline.lookup import find_campaign
    from pipeline.session import session_for
    from robotics.base import Rejects
    from robotics.service import run_queue

    session = session_for(store, find_campaign(store, campaign))
    done = run_queue(session.queue, session.driver, campaign=session.campaign_id)
    rejected, young = looked_at(session.driver) if isinstance(session.driver, Rejects) else ([], [])
    if as_json:
        counts = Counter(row.state.value for row in session.queue.list(campaign=session.campaign_id))
        emit("laboratory", requests=counts, campaign_id=session.campaign_id, rejected=rejected, **asdict(done))
        return
    for line in session.driver.folders() if isinstance(session.driver, Rejects) else ():
        say(line)
    for line in rejected:
        say(f"rejected: {line}")
    for name in young:
        say(f"not taken yet, it may still be being written: {name}")
    for line in done.troubles:
        say(f"trouble: {line}")
    status(store=store)


@lab_app.command
def stop(
    campaign: str | None = None,
    *,
    by: By = "",
    why: Why = "stopped on the command line",
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Stop the laboratory: from now on no worker sends anything, until `redoxa lab resume`. It needs no store.

    Writes a mark, laboratory.stop beside the laboratory file or in this folder, or where REDOXA_STOP says. Safe to call
    twice.

    Args:
        campaign: name, id or file; its laboratory is told too, and stops what it has running.
    """
    from robotics.stop_mark import write_mark

    mark, made = write_mark(by or _user(), why)
    campaign_id, trouble = stop_driver(store, campaign) if campaign else (None, "")
    if as_json:
        emit("laboratory", stopped=True, file=str(mark.path), told=mark.text, campaign_id=campaign_id, trouble=trouble)
        return
    say(f"{'stopped' if made else 'stopped already'}: {mark.text} ({mark.path})")
    if campaign_id:
        say("the laboratory was told to stop")
    elif campaign:
        say(f"the laboratory of '{campaign}' could not be told, the mark holds all the same: {trouble}")
    note("next: redoxa lab resume --by NAME --why REASON")


@lab_app.command
def resume(*, by: By, why: Why, store: Store = DEFAULT_STORE, as_json: Json = False) -> None:
    """Let a stopped laboratory go on. The mark is kept as laboratory.stop.DATE, and the audit trail tells of it."""
    from robotics.people import ensure_person
    from robotics.stop_mark import lift_marks, not_audited

    ensure_person(by, "resume")
    earlier = not_audited()
    try:
        lifted = lift_marks()
    except InputError:
        if not earlier:
            raise
        lifted = []
    trouble = audit(lambda: open_queue(store), [*earlier, *lifted], f"resumed by {by}: {why}", by)
    if as_json:
        emit("laboratory", stopped=False, file=[str(mark.path) for mark in lifted], trouble=trouble)
        return
    for mark in lifted:
        say(f"no longer stopped {mark.text}")
    if trouble:
        note(f"not on the audit trail yet, as the store is away: {trouble}")
        note("next: the same once more when it is there")
    else:
        note("next: redoxa lab work CAMPAIGN; where a laboratory put STOP.txt beside its work lists, remove it first")


@lab_app.command
def check(file: Path | None = None, *, as_json: Json = False) -> None:
    """Check the file that says what the laboratory has, and show what is read from it.

    Args:
        file: a laboratory file; by default the one in use: that of REDOXA_LABORATORY, or laboratory.yaml here.
    """
    from pipeline.station_view import station_lines, station_values

    in_use = None if file and not _is_in_use(file) else station_file()
    shown = file or in_use
    station = current_station() if shown is None else read_station(shown)
    if as_json:
        emit("station", **station_values(station, shown))
        return
    for line in station_lines(station, shown):
        say(line)
    if shown is None:
        note(f"next: redoxa lab example > {DEFAULT_FILE}, and edit it")
    elif in_use is None:
        note(f"next: export {LABORATORY}={shown}, or name it {DEFAULT_FILE}, to use it")
    else:
        note("next: redoxa queue list")


def _is_in_use(file: Path) -> bool:
    with suppress(InputError, OSError):
        used = station_file()
        return used is not None and file.samefile(used)
    return False


@lab_app.command
def example() -> None:
    """Print an example of a laboratory file, with every field and what it means."""
    say(EXAMPLE.read_text(encoding="utf-8").rstrip("\n"))


@lab_app.command
def rules(*, as_json: Json = False) -> None:
    """Print the safety rules: what each asks, why, its source, and whether it can be overridden."""
    from pipeline.safety_page import rules_page
    from robotics.safety import rule_texts, rules_version

    station = current_station()
    if not as_json:
        say(rules_page(station).rstrip("\n"))
        return
    version = rules_version(station)
    for text in rule_texts().values():
        emit("rule", version=version, **text.model_dump())


@lab_app.command
def plan(formula: str, *, mass_g: Annotated[float, Parameter(name="--mass")] = 2.0, as_json: Json = False) -> None:
    """Plan how to make a compound here: powders, firing, why these, and what else there was. Nothing is proposed.

    Args:
        formula: of the compound as made, e.g. LiMnO2 or Na3V2(PO4)3.
        mass_g: how much of it, in grams.
    """
    from robotics.synthesis import plan_synthesis
    from robotics.wording import synthesis_lines

    if not 0 < mass_g <= 1000:
        raise InputError(f"--mass {mass_g:g}: a mass in grams, above 0 and at most 1000")
    synthesis = plan_synthesis(formula, mass_g, current_station())
    if as_json:
        emit("synthesis", **synthesis.model_dump(mode="json"))
        return
    for line in synthesis_lines(synthesis):
        say(line)
    note("next: redoxa lab rules says what is asked of it; a campaign proposes it with cells and cycling")
