"""The morning after: what happened, what waits, what was missed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from redoxa.pipeline.campaign.cron import last_due
from redoxa.pipeline.results.digest import digest, lines
from tests.unit.pipeline.test_cli import run as command
from tests.unit.pipeline.test_rounds import Calls, started
from tests.unit.robotics.samples import make_request

STORE = "runs/s.db"


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    monkeypatch.chdir(tmp_path)
    found = started(schedule={"every_minutes": 60})
    yield found
    found.session.close()


def test_a_night_with_a_round_and_a_request_that_waits(calls: Calls) -> None:
    calls.run(1)
    queue = calls.session.queue
    key = queue.propose(make_request(campaign=calls.session.campaign_id))
    now = datetime.now(UTC)
    (found,) = digest(STORE, now - timedelta(hours=1), now)
    assert (found.completed, found.rounds) == ((1,), (0, 3))  # the request of round 1 waits
    assert found.waiting == (f"LiFePO4 {key}",)
    assert (found.held, found.trouble, found.ended) == ((), (), "")
    text = "\n".join(lines(STORE, [found], now))
    assert "rounds 1 completed (0 of 3)" in text
    assert f"waits for you: LiFePO4 {key}" in text
    (later,) = digest(STORE, now + timedelta(seconds=1), now + timedelta(minutes=30))
    assert later.completed == ()


def test_a_missed_tick_and_a_held_request_are_trouble(calls: Calls) -> None:
    calls.run(1)
    now = datetime.now(UTC)
    assert digest(STORE, now, now + timedelta(minutes=65))[0].trouble == ()
    (found,) = digest(STORE, now, now + timedelta(minutes=75))
    assert found.trouble[0].startswith("a tick was missed: no run began, the last began")
    key = calls.session.queue.propose(make_request(campaign=calls.session.campaign_id))
    calls.session.queue.hold(key, "Ada", "the hood is broken")
    (found,) = digest(STORE, now, now)
    assert found.held == (f"LiFePO4 {key}: the hood is broken",)


def test_a_campaign_at_its_end_misses_nothing(calls: Calls) -> None:
    calls.run()
    (found,) = digest(STORE, datetime.now(UTC), datetime.now(UTC) + timedelta(days=30))
    assert (found.trouble, found.ended) == ((), "all 3 rounds are complete")


def test_the_command_says_by_its_exit_code_whether_to_look(calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    calls.run(1)
    code, out, _ = command(capsys, "digest", "--store", STORE, "--json")
    (row,) = [json.loads(line) for line in out.splitlines()]
    assert (code, row["schema"], row["completed"]) == (0, "redoxa.digest/1", [1])
    assert command(capsys, "lab", "stop", "--by", "Ada", "--why", "smoke")[0] == 0
    code, out, _ = command(capsys, "digest", "--store", STORE)
    assert code == 1
    assert "the laboratory is stopped" in out
    assert command(capsys, "digest", "--hours", "-1", "--store", STORE)[0] == 2


def test_when_a_cron_line_was_last_due() -> None:
    noon = datetime(2026, 11, 29, 12, tzinfo=UTC)
    assert last_due("0 2 * * *", noon) == datetime(2026, 11, 29, 2, tzinfo=UTC)
    assert last_due("0 12 * * *", noon) == noon
    assert last_due("0 13 * * 1", noon) == datetime(2026, 11, 23, 13, tzinfo=UTC)


def test_the_page_tells_the_trouble_first_and_leads_to_the_reports(
    calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    calls.run(1)
    key = calls.session.queue.propose(make_request(campaign=calls.session.campaign_id))
    calls.session.queue.hold(key, "Ada", "the <hood> is broken")
    code, _, err = command(capsys, "digest", "--html", "pages/today & now.html", "--store", STORE)
    assert (code, "page: pages/today & now.html" in err) == (1, True)
    page = Path("pages/today & now.html").read_text()
    held, linked = f"small: held: LiFePO4 {key}: the &lt;hood&gt; is broken", 'href="../runs/small/report.html"'
    assert page.index("Somebody should look: 1 trouble") < page.index(held) < page.index(linked)
    assert "completed since: 1; 0 of 3 in all" in page
    assert [path.name for path in Path("pages").iterdir()] == ["today & now.html"]
    calls.session.queue.release(key, "Ada", "mended")
    assert command(capsys, "digest", "--html", "pages/today & now.html", "--store", STORE)[0] == 0
    assert "All is well" in Path("pages/today & now.html").read_text()
