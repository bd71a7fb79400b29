"""`redoxa lab` and `redoxa queue` when something goes wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from redoxa.pipeline.campaign.session import register
from redoxa.pipeline.campaign.spec import CampaignSpec
from redoxa.pipeline.commands.queue import open_queue
from tests.unit.pipeline.test_cli import lines, run
from tests.unit.robotics.samples import make_request

STORE = "runs/redoxa.db"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def redoxa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *args: run(capsys, *args)


def campaign_of(driver: str, name: str = "bench", **options: object) -> str:
    """Id of a campaign whose laboratory is this."""
    lab = {"driver": driver, "options": options}
    return register(STORE, CampaignSpec.model_validate({"name": name, "lab": lab}))


def approved(campaign_id: str, tag: str = "a") -> str:
    """An approved request of the campaign."""
    queue = open_queue(STORE)
    key = queue.propose(make_request("LiCoO2", tag=tag, campaign=campaign_id))
    queue.approve(key, by="Ada", why="good")
    return key


def test_bad_results_are_told_at_once_also_where_no_request_waits(redoxa: Run) -> None:
    campaign_of("file_drop", settle_s=0)
    inbox = Path("runs/bench/lab/inbox")
    inbox.mkdir(parents=True)
    os.mkfifo(inbox / "a.json")
    (inbox / "b.json").write_text("{")
    code, out, _ = redoxa("lab", "work", "bench")
    assert code == 0
    assert "rejected/a.json: a pipe" in out
    assert "rejected/b.json: Invalid JSON" in out
    (told,) = lines(redoxa("lab", "work", "bench", "--json")[1])
    assert len(told["rejected"]) == 2


def test_a_result_that_is_too_young_is_told(redoxa: Run) -> None:
    campaign_of("file_drop", settle_s=60)
    inbox = Path("runs/bench/lab/inbox")
    inbox.mkdir(parents=True)
    (inbox / "a.json").write_text("{")
    assert "still be being written: a.json" in redoxa("lab", "work", "bench")[1]


def test_stop_needs_no_store_and_resume_says_so_on_the_audit_trail(redoxa: Run, tmp_path: Path) -> None:
    assert redoxa("lab", "resume", "--by", "Ada", "--why", "x")[0] == 2  # nothing is stopped
    code, out, err = redoxa("lab", "stop", "--by", "Ada", "--why", "smoke")
    assert (code, "stopped: by Ada at" in out, "redoxa lab resume" in err) == (0, True, True)
    assert "stopped already: by Ada" in redoxa("lab", "stop")[1]
    assert not Path("runs").exists()

    code, out, _ = redoxa("lab", "stop", "nobody")  # a slip of the pen does not keep the laboratory running
    assert (code, "the mark holds all the same" in out) == (0, True)
    key = approved(campaign_of("file_drop"))
    code, out, _ = redoxa("lab", "work", "bench")
    assert (code, "trouble: stopped: by Ada" in out, "stopped: by Ada" in redoxa("lab", "status")[1]) == (0, True, True)
    (told,) = lines(redoxa("lab", "work", "bench", "--json")[1])
    assert (told["stopped"], told["requests"]) == (True, {"approved": 1})
    assert redoxa("lab", "resume", "--by", "Ada")[0] == 2  # no reason
    assert redoxa("lab", "resume", "--by", " ", "--why", "x")[0] == 2  # nobody
    assert Path("laboratory.stop").exists()
    assert redoxa("lab", "resume", "--by", "Ada", "--why", "aired")[0] == 0
    assert redoxa("lab", "work", "bench")[0] == 0

    code, out, _ = redoxa("lab", "stop", "bench", "--by", "Bob", "--why", "fire")
    assert "the laboratory was told to stop" in out
    assert Path("runs/bench/lab/outbox/STOP.txt").exists()
    (told,) = lines(redoxa("lab", "resume", "--by", "Ada", "--why", "out", "--json")[1])
    assert (told["stopped"], told["trouble"]) == (False, "")
    last = open_queue(STORE).events(key)[-1]
    assert (last.actor, "stopped by Bob" in last.why, "resumed by Ada: out" in last.why) == ("Ada", True, True)
    assert len(list(tmp_path.glob("laboratory.stop.*"))) == 2


def test_stop_works_with_an_unreadable_store_and_is_audited_when_it_is_back(redoxa: Run, tmp_path: Path) -> None:
    key = approved(campaign_of("file_drop"))
    redoxa("lab", "work", "bench")
    kept = [(path, path.rename(tmp_path / path.name)) for path in Path("runs").glob("redoxa.db*")]
    Path(STORE).write_bytes(b"not a database" * 1000)
    (told,) = lines(redoxa("lab", "stop", "bench", "--by", "Ada", "--why", "smoke", "--json")[1])
    assert (told["stopped"], told["campaign_id"]) == (True, None)
    assert told["trouble"]
    code, _, err = redoxa("lab", "resume", "--by", "Ada", "--why", "aired")
    assert (code, "not on the audit trail yet" in err) == (0, True)
    assert not Path("laboratory.stop").exists()
    for path, aside in kept:
        aside.replace(path)
    assert redoxa("lab", "resume", "--by", "Ada", "--why", "aired")[0] == 0
    assert "stopped by Ada" in open_queue(STORE).events(key)[-1].why
    assert not list(tmp_path.glob("*.not-audited"))


def test_what_could_not_be_handed_over_is_shown_and_retried(redoxa: Run) -> None:
    key = approved(campaign_of("file_drop"))
    queue = open_queue(STORE)
    item = queue.claim("worker", 60)
    assert item is not None
    queue.start(key, item.lease_token, 60)
    queue.shelve(key, item.lease_token, "could not be handed over: the outbox is away (5 tries)")
    for args in (("queue", "list"), ("lab", "status")):
        assert f"held: {key}: could not be handed over: the outbox is away" in redoxa(*args)[1]
    assert lines(redoxa("queue", "list", "--json")[1])[0]["why_held"].startswith("could not be")
    assert lines(redoxa("lab", "status", "--json")[1])[0]["why_held"][key].startswith("could not be")
    code, out, err = redoxa("queue", "retry", key[:8])
    assert (code, out, f"next: redoxa queue approve {key[:8]}" in err) == (0, f"{key} released\n", True)
    assert redoxa("queue", "retry", key[:8])[0] == 1  # it is no longer held
    assert redoxa("queue", "approve", key[:8])[0] == 0
    (told,) = lines(redoxa("lab", "work", "bench", "--json")[1])
    assert (told["waiting"], told["held"]) == ([key], [])


def test_a_request_is_called_back_from_the_laboratory(redoxa: Run) -> None:
    key = approved(campaign_of("file_drop"))
    redoxa("lab", "work", "bench")
    assert redoxa("queue", "cancel", key[:8], "--by", "Ada")[0] == 2  # no reason
    code, out, err = redoxa("queue", "cancel", key[:8], "--by", "Ada", "--why", "the furnace leaks")
    assert code == 0
    assert out == f"{key} held\n{key}: the laboratory was told to do no more\n"
    assert f"next: redoxa queue settle {key[:8]} --sample" in err
    assert Path(f"runs/bench/lab/outbox/{key}.cancelled.txt").exists()
    assert f"held: {key}: withdrawn; where is the sample? (the furnace leaks)" in redoxa("lab", "status")[1]
    for verb in ("release", "retry", "cancel"):
        code, _, err = redoxa("queue", verb, key[:8], "--why", "x")
        assert (code, "queue settle" in err) == (1, True)
    assert redoxa("queue", "settle", key[:8], "--by", "Ada")[0] == 2  # where is it?
    assert redoxa("queue", "settle", key[:8], "--sample", "thrown away")[0] == 2  # who says so?
    (told,) = lines(redoxa("queue", "settle", key[:8], "--sample", "thrown away", "--by", "Ada", "--json")[1])
    assert told["request_state"] == "cancelled"
    assert [event.action for event in open_queue(STORE).events(key)][-3:] == ["withdraw", "note", "settle"]


def test_a_result_after_all_is_said_and_shown(redoxa: Run) -> None:
    key = approved(campaign_of("file_drop", settle_s=0))
    redoxa("lab", "work", "bench")
    redoxa("queue", "cancel", key, "--why", "the furnace leaks")
    redoxa("queue", "settle", key, "--sample", "thrown away", "--by", "Ada")
    answer = {"request_id": key, "outcome": "success", "values": {"average_voltage": {"value": 3.4, "sigma": 0.1}}}
    Path("runs/bench/lab/inbox/late.json").write_text(json.dumps(answer))
    assert f"{key}: late, after it was called back; kept as evidence" in redoxa("lab", "work", "bench")[1]
    (told,) = lines(redoxa("queue", "show", key, "--json")[1])
    assert (told["request_state"], told["measurement"]["outcome"]) == ("cancelled", "success")
    assert "average voltage 3.4 V (late, after it was called back" in redoxa("digest")[1]
    assert lines(redoxa("status", "--json")[1])[0]["measured"] == 0


def test_a_laboratory_that_cannot_be_told_is_said(redoxa: Run) -> None:
    key = approved(campaign_of("file_drop"))
    redoxa("lab", "work", "bench")
    Path("runs/bench/lab/outbox").rename("away")
    out = redoxa("queue", "cancel", key, "--why", "x")[1]
    assert "could not be told, tell the people there:" in out
    other = approved(campaign_of("simulated", "other", delay_s=1000), "b")
    item = open_queue(STORE).claim("worker", 60)
    assert item is not None
    open_queue(STORE).start(other, item.lease_token, 60)
    out = redoxa("queue", "cancel", other, "--why", "x")[1]
    assert "it never reached the laboratory" in out
