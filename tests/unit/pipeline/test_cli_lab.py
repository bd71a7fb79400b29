"""`redoxa lab` and `redoxa queue` when something goes wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.campaign import CampaignSpec
from pipeline.cli_lab import open_queue
from pipeline.session import register, session_for
from tests.unit.pipeline.test_cli import lines, run
from tests.unit.robotics.samples import make_request

STORE = "runs/redoxa.db"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def redoxa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    session_for.cache_clear()
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
