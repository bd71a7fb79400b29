"""What somebody should look at: runs that failed or hang, and ticks that were missed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from redoxa.data.errors import RedoxaError, StoreError
from redoxa.data.storage.store import Run
from redoxa.pipeline.campaign import stages
from redoxa.pipeline.results.watchdog import Watchdog, everything, trouble
from redoxa.pipeline.run import run_campaign
from redoxa.robotics.stop_mark import write_mark
from tests.unit.pipeline.test_cli import run as command
from tests.unit.pipeline.test_rounds import Calls, started
from tests.unit.robotics.samples import make_request


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    monkeypatch.chdir(tmp_path)
    found = started(schedule={"every_minutes": 60})
    yield found
    found.session.close()


def after(minutes: float) -> datetime:
    return datetime.now(UTC) + timedelta(minutes=minutes)


def runs(calls: Calls) -> list[Run]:
    return calls.session.store.runs(calls.session.campaign_id)


def broken(calls: Calls, error: BaseException) -> None:
    """A run that ends with an error, or without a word."""

    def call(stage: Callable[..., Any], *args: Any) -> Any:
        if stage is stages.select_round:
            raise error
        return calls(stage, *args)

    with pytest.raises(type(error)):
        run_campaign(calls.session.where, calls.session.campaign_id, call)


def test_a_run_is_recorded_with_how_it_ended(calls: Calls) -> None:
    before = datetime.now(UTC)
    calls.run(1)
    broken(calls, ValueError("no such element\nat all"))
    broken(calls, KeyboardInterrupt())
    broken(calls, StoreError("the database is away"))
    assert [(run.said, run.failed) for run in runs(calls)[:3]] == [
        ("round 1 of 3 is complete", False),
        ("no such element", True),
        ("it was stopped", False),
    ]
    assert runs(calls)[3].ended_at is None
    calls.run()
    assert [(run.said, run.failed) for run in runs(calls)[3:]] == [
        ("its process was killed", True),
        ("all 3 rounds are complete", False),
    ]
    assert all(before <= run.began_at <= run.ended_at for run in runs(calls) if run.ended_at)
    calls.run()  # nothing to do
    assert len(runs(calls)) == 5
    assert calls.session.store.runs(calls.session.campaign_id, since=after(1)) == []


def test_a_run_that_failed_is_told_until_one_goes_well(calls: Calls) -> None:
    broken(calls, ValueError("no such element"))
    (line,) = trouble(calls.session, after(0))
    assert line.startswith("the run of 20")
    assert line.endswith("UTC failed: no such element")
    calls.run(1)
    assert trouble(calls.session, after(0)) == []


def test_a_run_that_has_fallen_silent_is_told(calls: Calls) -> None:
    broken(calls, StoreError("the database is away"))
    assert trouble(calls.session, after(59)) == []
    (line,) = trouble(calls.session, after(61))
    assert "has written nothing since" in line
    sooner = started(schedule={"every_minutes": 60, "silence_minutes": 5})
    (line,) = trouble(sooner.session, after(6))
    assert "it hangs, or its process was killed" in line


def test_a_missed_tick_is_told(calls: Calls) -> None:
    assert trouble(calls.session, after(69)) == []  # it is new
    (line,) = trouble(calls.session, after(71))
    assert "none ever has" in line
    calls.run(1)
    assert trouble(calls.session, after(69)) == []
    (line,) = trouble(calls.session, after(71))
    assert line.startswith("a tick was missed: no run began, the last began 20")
    assert "every 60 minutes" in line
    calls.run()
    assert trouble(calls.session, after(600)) == []  # it is at its end


def test_held_requests_and_a_stop_are_told_under_the_campaigns_name(calls: Calls) -> None:
    queue = calls.session.queue
    key = queue.propose(make_request(campaign=calls.session.campaign_id))
    assert everything([calls.session], after(0)) == []
    queue.hold(key, "Ada", "the hood is broken")
    assert everything([calls.session], after(0)) == [f"small: held: LiFePO4 {key}: the hood is broken"]
    write_mark("Ada", "smoke")
    assert everything([calls.session], after(0))[0].startswith("the laboratory is stopped: by Ada at 20")


def test_a_watchdog_tells_each_thing_once_and_when_all_is_well_again() -> None:
    told = list[tuple[str, list[str]]]()
    found: list[str] | Exception = ["a"]

    def look() -> list[str]:
        if isinstance(found, Exception):
            raise found
        return found

    watchdog = Watchdog(look, lambda subject, lines: told.append((subject, list(lines))))
    watchdog.look()
    watchdog.look()
    assert told == [("somebody should look", ["a"])]
    found = ["a", "b"]
    watchdog.look()
    assert told[1:] == [("somebody should look", ["b"])]
    found = StoreError("it is away")
    watchdog.look()
    assert told[2:] == [("somebody should look", ["nobody can look: it is away"])]
    found = []
    watchdog.look()
    watchdog.look()
    assert told[3:] == [("all is well again", ["nobody can look: it is away"])]


def test_what_could_not_be_told_is_told_at_the_next_look() -> None:
    told = list[list[str]]()

    def tell(_subject: str, lines: Sequence[str]) -> None:
        told.append(list(lines))
        if len(told) == 1:
            raise RedoxaError("the webhook does not answer")

    watchdog = Watchdog(lambda: ["a"], tell)
    for _ in range(3):
        watchdog.look()
    assert told == [["a"], ["a"]]


def test_serve_refuses_to_tell_nobody(calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = command(capsys, "serve", "small", "--store", "runs/s.db", "--webhook")
    assert (code, "REDOXA_WEBHOOK names no webhook" in err) == (2, True)
    code, _, err = command(capsys, "serve", "small", "--store", "runs/s.db", "--mail", "ada@example.org")
    assert (code, "REDOXA_SMTP names no mail server" in err) == (2, True)
