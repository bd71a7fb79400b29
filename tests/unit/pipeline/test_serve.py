"""Looking after scheduled runs: who is gone, who waits in vain, and which process still lives."""

from __future__ import annotations

import multiprocessing
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType

from redoxa.data.errors import StoreError
from redoxa.pipeline.campaign.lock import forget_runs, is_alive, live_with_parent, run_lock
from redoxa.pipeline.campaign.spec import CampaignSpec
from redoxa.pipeline.unattended import serve
from redoxa.pipeline.unattended.flows import description
from redoxa.pipeline.unattended.serve import BEGUN_S, Watch, _mark_if_gone, superfluous

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def scheduled(deployment: UUID, minutes: float, name: str = "Scheduled", *, by_hand: bool = False) -> FlowRun:
    """A run that is due so many minutes from now."""
    at = NOW + timedelta(minutes=minutes)
    return FlowRun(
        flow_id=uuid4(), deployment_id=deployment, auto_scheduled=not by_hand, expected_start_time=at,
        next_scheduled_start_time=at, state=State(type=StateType.SCHEDULED, name=name),
    )  # fmt: skip


def test_one_tick_waits_and_the_others_are_superfluous() -> None:
    a, b = uuid4(), uuid4()
    first, second, third = scheduled(a, -30, "AwaitingConcurrencySlot"), scheduled(a, -20, "Late"), scheduled(a, -10)
    other, future = scheduled(b, -5), scheduled(a, 10)
    assert superfluous([third, other, future, second, first], NOW) == [second, third]


def test_what_a_person_asks_for_is_never_superfluous() -> None:
    a = uuid4()
    tick, asked, again = scheduled(a, -30), scheduled(a, -1, by_hand=True), scheduled(a, -0.5, by_hand=True)
    assert superfluous([tick, asked, again], NOW) == [tick]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    return tmp_path


def _live(run: str, begun: Any) -> None:
    live_with_parent(run)
    begun.set()
    time.sleep(60)


def test_a_run_lives_as_long_as_its_process(home: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    begun = spawn.Event()
    child = spawn.Process(target=_live, args=("run", begun))
    assert is_alive("run") is None
    child.start()
    assert begun.wait(60)
    forget_runs(set())
    assert is_alive("run") is True
    child.kill()
    child.join()
    assert is_alive("run") is False
    forget_runs({"run"})
    assert is_alive("run") is False
    forget_runs(set())
    assert is_alive("run") is None


def test_a_process_that_nobody_serves_locks_nothing(home: Path) -> None:
    live_with_parent("run")
    assert not run_lock("run").exists()


class Server:
    """Stands for Prefect's client: one run, in the state that the server has by now."""

    def __init__(self, run: FlowRun) -> None:
        self.run = run
        self.set: list[State[Any]] = []

    def read_flow_run(self, _id: UUID) -> FlowRun:
        return self.run

    def set_flow_run_state(self, _id: UUID, state: State[Any], *, force: bool) -> None:
        assert force
        self.set.append(state)


@pytest.mark.parametrize(
    ("kind", "age_s", "by_now", "file", "gone", "marked"),
    [
        (StateType.RUNNING, 5, StateType.RUNNING, True, True, True),
        (StateType.RUNNING, 5, StateType.COMPLETED, True, True, False),  # ended in order while we looked
        (StateType.RUNNING, 900, StateType.RUNNING, False, False, False),  # on another machine
        (StateType.PENDING, BEGUN_S - 30, StateType.PENDING, False, False, False),
        (StateType.PENDING, BEGUN_S + 30, StateType.PENDING, False, True, True),
    ],
)
def test_which_runs_are_gone(
    home: Path, kind: StateType, age_s: float, by_now: StateType, file: bool, gone: bool, marked: bool
) -> None:
    state = State[Any](type=kind, timestamp=datetime.now(UTC) - timedelta(seconds=age_s))
    run = FlowRun(flow_id=uuid4(), state=state)
    server: Any = Server(run.model_copy(update={"state": State[Any](type=by_now)}))
    if file:
        run_lock("x").parent.mkdir()
        run_lock(str(run.id)).touch()
    assert _mark_if_gone(server, run) is gone
    assert [s.type for s in server.set] == ([StateType.CRASHED] if marked else [])


def test_looks_in_vain_are_counted_until_one_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch([])
    for fault in (httpx.ConnectError("no"), RuntimeError("Failed to reach API"), None, httpx.ReadTimeout("late")):
        monkeypatch.setattr(watch, "_look", Mock(side_effect=fault))
        watch.look()
        assert (watch.in_vain > 0) is (fault is not None)
    assert watch.in_vain == 1


class Page:
    """Stands for Prefect's client: deployments that may be paused, of which runs are made."""

    def __init__(self) -> None:
        self.paused = False
        self.made = 0

    def read_deployment(self, _id: UUID) -> Page:
        return self

    def create_flow_run_from_deployment(self, _id: UUID) -> None:
        self.made += 1


def test_a_run_is_made_for_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    page: Any = Page()
    a = uuid4()
    watch = Watch([a])

    def made(*words: str) -> int:
        watch._begin(page, a, lambda: frozenset(words))
        return int(page.made)

    assert made() == 0
    assert [made("round 1"), made("round 1")] == [1, 1]  # the same again would find nothing again
    assert made("round 2") == 2
    assert [made(), made("round 2")] == [2, 3]
    page.paused = True
    assert made("round 3") == 3
    page.paused = False
    assert made("round 3") == 4
    monkeypatch.setattr(serve, "AGAIN_S", 0.0)
    assert made("round 3") == 5


def test_a_store_that_is_away_is_asked_at_the_next_look() -> None:
    page: Any = Page()
    a = uuid4()
    watch = Watch([a])
    to_do = Mock(side_effect=[StoreError("away"), OSError("gone"), frozenset({"round 1"})])
    for made in (0, 0, 1):
        watch._begin(page, a, to_do)
        assert page.made == made


def test_the_page_tells_the_schedule() -> None:
    said = description(CampaignSpec.model_validate({"name": "a", "schedule": {"every_minutes": 60}}))
    assert "- Schedule: every 60 minutes, 1 round each time" in said
    said = description(CampaignSpec.model_validate({"name": "a", "schedule": {"on_measurements": True}}))
    assert "- Schedule: when the laboratory has something new, 1 round each time" in said
    assert "Schedule" not in description(CampaignSpec(name="a"))
