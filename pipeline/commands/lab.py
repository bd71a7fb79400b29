"""`redoxa lab`: what the laboratory has; its work, and its stop."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from redoxa.data.errors import InputError
from redoxa.pipeline.commands.app import DEFAULT_STORE, Json, Store
from redoxa.pipeline.commands.console import emit, note, say
from redoxa.pipeline.commands.queue import By, Why, open_queue, this_user
from redoxa.pipeline.laboratory.laboratory_file import (
    DEFAULT_FILE,
    EXAMPLE,
    LABORATORY,
    current_laboratory,
    laboratory_file,
    read_laboratory,
)
from redoxa.pipeline.tasks.laboratory import audit, looked_at, stop_driver
from redoxa.robotics.queue.waiting import why_held

lab_app = App(name="lab", help="Say what the laboratory has; work the queue through it, or stop it.")


@lab_app.command
def status(*, store: Store = DEFAULT_STORE, as_json: Json = False) -> None:
    """Count the requests by state, and say whether the laboratory is stopped."""
    from redoxa.robotics.stop_mark import stop_reason

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
    from redoxa.pipeline.campaign.lookup import find_campaign
    from redoxa.pipeline.campaign.session import opened
    from redoxa.robotics.base import Rejects
    from redoxa.robotics.queue.service import run_queue

    with opened(store, find_campaign(store, campaign)) as session:
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
        for line in done.late:
            say(line)
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
    from redoxa.robotics.stop_mark import write_mark

    mark, made = write_mark(by or this_user(), why)
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
    from redoxa.robotics.people import ensure_person
    from redoxa.robotics.stop_mark import lift_marks, not_audited

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
    from redoxa.pipeline.laboratory.laboratory_view import laboratory_lines, laboratory_values

    in_use = None if file and not _is_in_use(file) else laboratory_file()
    shown = file or in_use
    laboratory = current_laboratory() if shown is None else read_laboratory(shown)
    if as_json:
        emit("laboratory", **laboratory_values(laboratory, shown))
        return
    for line in laboratory_lines(laboratory, shown):
        say(line)
    if shown is None:
        note(f"next: redoxa lab example > {DEFAULT_FILE}, and edit it")
    elif in_use is None:
        note(f"next: export {LABORATORY}={shown}, or name it {DEFAULT_FILE}, to use it")
    else:
        note("next: redoxa queue list")


def _is_in_use(file: Path) -> bool:
    with suppress(InputError, OSError):
        used = laboratory_file()
        return used is not None and file.samefile(used)
    return False


@lab_app.command
def example() -> None:
    """Print an example of a laboratory file, with every field and what it means."""
    say(EXAMPLE.read_text(encoding="utf-8").rstrip("\n"))


@lab_app.command
def rules(*, as_json: Json = False) -> None:
    """Print the safety rules: what each asks, why, its source, and whether it can be overridden."""
    from redoxa.pipeline.laboratory.safety_page import rules_page
    from redoxa.robotics.safety.check import rule_texts, rules_version

    laboratory = current_laboratory()
    if not as_json:
        say(rules_page(laboratory).rstrip("\n"))
        return
    version = rules_version(laboratory)
    for text in rule_texts().values():
        emit("rule", version=version, **text.model_dump())


@lab_app.command
def plan(formula: str, *, mass_g: Annotated[float, Parameter(name="--mass")] = 2.0, as_json: Json = False) -> None:
    """Plan how to make a compound here: powders, firing, why these, and what else there was. Nothing is proposed.

    Args:
        formula: of the compound as made, e.g. LiMnO2 or Na3V2(PO4)3.
        mass_g: how much of it, in grams.
    """
    from redoxa.robotics.planning.synthesis import plan_synthesis
    from redoxa.robotics.planning.wording import synthesis_lines

    if not 0 < mass_g <= 1000:
        raise InputError(f"--mass {mass_g:g}: a mass in grams, above 0 and at most 1000")
    synthesis = plan_synthesis(formula, mass_g, current_laboratory())
    if as_json:
        emit("synthesis", **synthesis.model_dump(mode="json"))
        return
    for line in synthesis_lines(synthesis):
        say(line)
    note("next: redoxa lab rules says what is asked of it; a campaign proposes it with cells and cycling")
