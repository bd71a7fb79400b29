"""Counting rounds: as many as are asked for, none twice, and a campaign at its end costs nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from redoxa.data.errors import InputError
from redoxa.data.records import Candidate, Origin
from redoxa.data.storage.store import Chunk
from redoxa.pipeline.campaign import stages
from redoxa.pipeline.campaign.lookup import shown_as
from redoxa.pipeline.campaign.rounds import ahead, complete_rounds, ended
from redoxa.pipeline.campaign.session import Session, register, session_for
from redoxa.pipeline.campaign.spec import CampaignSpec
from redoxa.pipeline.results.report_file import write_report
from redoxa.pipeline.run import LEFT, run_campaign
from redoxa.robotics.stop_mark import lift_marks, write_mark
from tests.unit.pipeline.test_cli import run as command
from tests.unit.robotics.samples import make_request

SPEC: dict[str, Any] = {
    "name": "small",
    "generate": [{"kind": "substitution", "count": 1}],
    "lab": {"approval": "auto"},
    "stop": {"rounds": 3},
}


class Calls:
    """Runs the real stages, but for a generator that finds nothing and a report that is an empty file."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.done: list[str] = []

    def __call__(self, stage: Callable[..., Any], *args: Any) -> Any:
        self.done.append(stage.__name__)
        if stage is stages.generate_chunk:
            self.session.store.add_chunk(Chunk(*args[1:5], 0), [], 0.0)
            return 0
        if stage is write_report:
            path = self.session.own_folder() / "report.html"
            path.write_text(args[2])
            return str(path)
        return stage(*args)

    def run(self, rounds: int | None = None) -> str:
        self.done = []
        return str(run_campaign(self.session.where, self.session.campaign_id, self, rounds)["ended"])


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    monkeypatch.chdir(tmp_path)
    found = started()
    yield found
    found.session.close()


def started(**changes: Any) -> Calls:
    spec = CampaignSpec.model_validate(SPEC | changes)
    session = session_for("runs/s.db", register("runs/s.db", spec))
    session.spec = spec
    return Calls(session)


def test_one_round_each_time_until_there_are_no_more(calls: Calls) -> None:
    assert calls.run(1) == "round 1 of 3 is complete"
    assert calls.done.count("write_report") == 1
    assert complete_rounds(calls.session) == [True, False, False]
    assert calls.run(1) == "round 2 of 3 is complete"
    assert not ended(calls.session)
    assert calls.run(1) == ended(calls.session) == "all 3 rounds are complete"
    assert calls.done.count("generate_chunk") == calls.done.count("write_report") == 1
    assert calls.run(1) == "all 3 rounds are complete"
    assert calls.done == []


def test_all_that_are_missing(calls: Calls) -> None:
    calls.run(1)
    assert calls.run() == "all 3 rounds are complete"
    assert calls.done.count("generate_chunk") == calls.done.count("write_report") == 2


def test_what_is_ahead_until_the_end(calls: Calls) -> None:
    assert ahead(calls.session) == {"round 1: 1 chunks, 0 candidates"}
    calls.run(1)
    assert ahead(calls.session) == {"round 2: 1 chunks, 0 candidates"}
    calls.run()
    assert not ahead(calls.session)
    (calls.session.folder / "report.html").unlink()
    assert ahead(calls.session) == {"report"}


def test_a_run_is_ahead_on_an_approval_and_on_a_result_and_not_meanwhile(calls: Calls) -> None:
    lab = {"driver": "file_drop", "approval": "person", "options": {"settle_s": 0}}
    people = started(lab=lab, stop={"rounds": 1})
    session, queue = people.session, people.session.queue
    people.run()
    key = queue.propose(make_request(campaign=session.campaign_id))
    assert not ahead(session)
    queue.hold(key, "Ada", "let me look")
    assert not ahead(session)
    queue.release(key, "Ada", "good")
    queue.approve(key, "Ada", "good")
    assert ahead(session) == {f"request {key}: approved"}
    write_mark("Ada", "a leak")
    assert not ahead(session)
    lift_marks()
    people.run()
    assert not ahead(session)
    inbox = session.folder / "lab" / "inbox"
    (inbox / "no.json").write_text("{}")
    assert not ahead(session)
    (inbox / "yes.json").write_text(f'{{"request_id": "{key}", "outcome": "failed", "note": "broken"}}')
    assert ahead(session) == {f"request {key}: running"}
    people.run()
    assert not ahead(session)
    assert ended(session) == "the round is complete"


@pytest.mark.parametrize(("approval", "is_ahead"), [("auto", True), ("person", False)])
def test_what_the_policy_may_approve_is_ahead(calls: Calls, approval: str, is_ahead: bool) -> None:
    waits = started(lab={"approval": approval}, stop={"rounds": 1})
    waits.run()
    waits.session.queue.propose(make_request(campaign=waits.session.campaign_id))
    assert bool(ahead(waits.session)) is is_ahead


def test_a_laboratory_that_is_away_is_asked_again_and_of_a_fault_a_run_tells(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = started(lab={"driver": "file_drop"}, stop={"rounds": 1})
    away.run()
    key = away.session.queue.propose(make_request(campaign=away.session.campaign_id))
    away.session.queue.approve(key, "Ada", "good")
    away.run()
    outbox = away.session.folder / "lab" / "outbox"
    outbox.rename(outbox.with_name("away"))
    assert not ahead(away.session)
    monkeypatch.setattr(away.session.driver, "poll", lambda _id: {}["fault"])
    assert ahead(away.session) == {f"request {key}: running"}


def test_two_at_once_and_more_than_there_are(calls: Calls) -> None:
    assert calls.run(2) == "round 2 of 3 is complete"
    assert calls.run(2) == "all 3 rounds are complete"
    assert calls.done.count("generate_chunk") == 1


def test_more_rounds_go_on_where_the_others_ended(calls: Calls) -> None:
    calls.run()
    more = started(stop={"rounds": 5}, schedule={"every_minutes": 60, "rounds_per_run": 2})
    assert more.session.campaign_id == calls.session.campaign_id
    assert more.run(1) == "round 4 of 5 is complete"
    assert started(stop={"rounds": 1}).run() == "the round is complete"


def test_the_budget_ends_a_campaign(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    spent = started(stop={"rounds": 3, "budget_minutes": 1})
    assert spent.run(1) == "round 1 of 3 is complete"
    monkeypatch.setattr(stages, "screening_minutes", lambda _session: 2.0)
    assert spent.run() == ended(spent.session) == "the budget of 1 minutes is spent"
    assert spent.done == []
    spent.session.store.add_chunk(Chunk(spent.session.campaign_id, 1, "substitution", 0, 0), [], 0.0)
    assert ended(spent.session) == ""  # what has begun is worked off, and its results are taken back
    assert spent.run() == "the budget of 1 minutes is spent"
    assert complete_rounds(spent.session) == [True, True, False]


def test_a_round_that_waits_for_a_person_is_not_complete(calls: Calls) -> None:
    waits = started(lab={"approval": "person"})
    waits.run()
    waits.session.queue.propose(make_request(campaign=waits.session.campaign_id, round=1))
    assert complete_rounds(waits.session) == [True, False, True]
    assert waits.run(1).startswith("requests wait for a person")
    assert "generate_chunk" not in waits.done


@pytest.mark.parametrize("lost", ["missing", "old"])
def test_a_report_that_was_not_written_is(calls: Calls, lost: str) -> None:
    calls.run()
    report = calls.session.folder / "report.html"
    report.unlink() if lost == "missing" else os.utime(report, (0, 0))
    assert calls.run() == "all 3 rounds are complete"
    assert calls.done == ["write_report"]
    calls.run()
    assert calls.done == []


def test_a_finished_campaign_says_so_in_a_line(
    calls: Calls, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls.run()
    monkeypatch.setitem(sys.modules, "redoxa.pipeline.unattended.flows", None)  # an import would fail
    code, out, err = command(capsys, "run", "small", "--store", "runs/s.db")
    assert (code, err) == (0, "")
    assert out == "Nothing to do for 'small': all 3 rounds are complete. Report: runs/small/report.html\n"


def test_rounds_are_one_or_more(calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="less than one"):
        calls.run(0)
    assert command(capsys, "run", "small", "--rounds", "0", "--store", "runs/s.db")[0] == 2


def test_a_campaign_is_shown_by_what_finds_it_again(calls: Calls) -> None:
    older = calls.session.spec
    assert shown_as("runs/s.db", older) == "small"
    newer = started(seed=1).session.spec
    assert (shown_as("runs/s.db", newer), shown_as("runs/s.db", older)) == ("small", older.id)


def test_what_cannot_be_served_together(calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    for name, seed in (("a.yaml", 1), ("b.yaml", 2)):
        Path(name).write_text(f"name: same\nseed: {seed}\nschedule: {{every_minutes: 60}}\n")
    code, _, err = command(capsys, "serve", "a.yaml", "b.yaml")
    assert (code, "b.yaml: another of these campaigns is named 'same' too" in err) == (2, True)
    assert command(capsys, "serve")[0] == 2


@pytest.mark.parametrize(
    ("schedule", "told"),
    [("on_measurements: true", "nobody watches the laboratory"), ("every_minutes: 60", "names no Prefect server")],
)
def test_what_cannot_be_deployed(
    schedule: str, told: str, calls: Calls, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    Path("a.yaml").write_text(f"schedule: {{{schedule}}}\n")
    code, _, err = command(capsys, "deploy", "a.yaml", "--pool", "night", "--store", "runs/s.db")
    assert (code, told in err, len(err.splitlines())) == (2, True, 1)


def test_what_lost_its_worker_is_left_and_taken_up_by_the_next_run(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = make_request()
    lost = Candidate(
        crystal=request.crystal, working_ion="Li", origin=Origin(generator="flow", seed=0, campaign="small", round=2)
    )
    calls.run()
    calls.session.store.add_chunk(Chunk(calls.session.campaign_id, 2, "substitution", 1, 1), [lost], 0.0)
    asked: list[list[str]] = []
    monkeypatch.setattr(stages, "screen_batch", lambda *args: asked.append(list(args[3])) or {"undetermined": 1})
    assert calls.run() == LEFT
    assert calls.run() == LEFT
    assert asked == [[lost.id], [lost.id]]
