"""Who holds a request: a token, not a name; for how long: by one clock, even one that is set back."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, update

from redoxa.data.lab.measurement import Measurement, Outcome
from redoxa.data.lab.request import QueueItem, RequestState
from redoxa.data.storage.database import open_engine
from redoxa.data.storage.schema_lab import requests
from redoxa.robotics.errors import LeaseError
from redoxa.robotics.queue.audit import verify_audit
from redoxa.robotics.queue.queue import MAX_ATTEMPTS, LabQueue
from redoxa.robotics.queue.service import ServiceOptions, run_queue
from redoxa.robotics.queue.worker_name import has_died, this_worker
from tests.unit.data.faults import Time, cut
from tests.unit.data.faults import quick as quick
from tests.unit.robotics.conftest import Clock
from tests.unit.robotics.labs import CountingLab
from tests.unit.robotics.samples import make_request

BASE = make_request("LiCoO2")
AT_ONCE = ServiceOptions(sleep=lambda _s: None)


def approved(queue: LabQueue, tag: str = "a") -> str:
    key = queue.propose(BASE.model_copy(update={"candidate_id": f"candidate-{tag}"}))
    queue.approve(key, by="Ada", why="good")
    return key


def claimed(queue: LabQueue, worker: str = "w", lease_s: float = 60) -> QueueItem:
    item = queue.claim(worker, lease_s)
    assert item is not None
    return item


def measured(item: QueueItem) -> Measurement:
    return Measurement(
        request_id=item.request_id,
        candidate_id=item.request.candidate_id,
        outcome=Outcome.TARGET_NOT_FORMED,
        simulated=True,
    )


def test_twins_of_one_name_do_not_touch_each_others_requests(queue: LabQueue, clock: Clock) -> None:
    """Two containers may have one host name and one process id."""
    key = approved(queue)
    first = claimed(queue, "lab:1")
    queue.start(key, first.lease_token, 60)
    clock.advance(61)
    (second,) = queue.adopt("lab:1", 60)
    assert (first.worker, first.attempts) == (second.worker, second.attempts) == ("lab:1", 1)
    assert len({first.lease_token, second.lease_token}) == 2
    acts: list[Callable[[], None]] = [
        lambda: queue.fail(key, first.lease_token, "mine broke"),
        lambda: queue.finish(key, first.lease_token, measured(first)),
        lambda: queue.heartbeat(key, first.lease_token, 60),
        lambda: queue.park(key, first.lease_token),
    ]
    for act in acts:
        with pytest.raises(LeaseError, match="held by lab:1: this lease of it has ended"):
            act()
    queue.finish(key, second.lease_token, measured(second))
    assert queue.get(key).state is RequestState.DONE


def test_a_claimed_request_is_as_its_claim_left_it(queue: LabQueue) -> None:
    approved(queue)
    item = claimed(queue)
    assert item == queue.get(item.request_id)
    assert item.lease_token is not None
    assert len(item.lease_token) == 32
    queue.give_back(item.request_id, item.lease_token, "not now")
    again = claimed(queue)
    assert again.attempts == 2
    assert again.lease_token != item.lease_token


@pytest.mark.parametrize("hours", [1, 24])
def test_a_clock_that_is_set_back_blocks_nothing(queue: LabQueue, clock: Clock, hours: int) -> None:
    waits, runs = approved(queue, "a"), approved(queue, "b")
    for key in (waits, runs):
        item = claimed(queue)
        assert item.request_id == key
    queue.start(runs, item.lease_token, 60)
    clock.advance(-3600 * hours)
    assert queue.expire() == [waits]
    assert [i.request_id for i in queue.adopt("other", 60)] == [runs]
    with pytest.raises(LeaseError):  # who held it before is fenced off, as by any lease that ran out
        queue.finish(runs, item.lease_token, measured(item))


def test_a_clock_that_is_a_little_slow_ends_no_lease(queue: LabQueue, clock: Clock) -> None:
    approved(queue)
    item = claimed(queue, lease_s=60)
    clock.advance(-59)
    assert queue.expire() == []
    queue.heartbeat(item.request_id, item.lease_token, 600)  # a long lease is no clock set back
    assert queue.expire() == []


def test_leases_go_by_the_clock_of_the_database(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts whose clocks are hours apart agree."""
    queue = LabQueue(open_engine(postgres))
    key = approved(queue)
    claimed(queue, lease_s=3)
    for hours in (5, -5):
        monkeypatch.setattr(
            "redoxa.robotics.queue.rows.utc_now", lambda hours=hours: datetime.now(UTC) + timedelta(hours=hours)
        )
        assert queue.expire() == []
    assert abs(queue.events(key)[-1].at - datetime.now(UTC)) < timedelta(minutes=1)
    with queue.engine.begin() as connection:
        connection.execute(update(requests).values(lease_until=datetime.now(UTC) - timedelta(seconds=1)))
    assert queue.expire() == [key]
    queue.engine.dispose()


def test_what_ends_its_workers_is_held_for_a_person(queue: LabQueue, clock: Clock) -> None:
    key = approved(queue)
    for _ in range(2):
        for n in range(1, MAX_ATTEMPTS + 1):
            claimed(queue)
            clock.advance(61)
            assert queue.expire() == ([key] if n < MAX_ATTEMPTS else [])
        assert queue.get(key).state is RequestState.HELD
        assert queue.claim("w", 60) is None
        last = queue.events(key)[-1]
        assert (last.action, last.actor) == ("hold", "queue")
        assert "the lease of w ended before anything was sent, for the 5th time. Look what ends" in last.why
        queue.release(key, by="Ada", why="the driver is repaired")  # five more
        queue.approve(key, by="Ada", why="again")
    assert queue.get(key).attempts == 2 * MAX_ATTEMPTS


def test_a_laboratory_that_is_away_costs_no_attempts(queue: LabQueue) -> None:
    """Giving back is an orderly end."""
    key = approved(queue)
    for _ in range(3 * MAX_ATTEMPTS):
        item = claimed(queue)
        queue.give_back(key, item.lease_token, "no route to host")
    assert queue.expire() == []
    assert queue.get(key).state is RequestState.APPROVED


def test_a_last_look_that_outlasts_the_lease_loses_the_request_and_not_the_run(queue: LabQueue, clock: Clock) -> None:
    slow, fine = approved(queue, "a"), approved(queue, "b")
    lab = CountingLab()

    def check(request: object) -> list[str]:
        if request == queue.get(slow).request:
            clock.advance(61)
            queue.expire()
            other = claimed(queue, "somebody else")
            queue.start(other.request_id, other.lease_token, 600)
        return []

    lab.check = check  # type: ignore[method-assign,assignment]
    report = run_queue(queue, lab, options=replace(AT_ONCE, deadline_s=0))
    assert (report.lost, report.waiting) == ([slow], [fine])
    assert lab.arrivals == {fine: 1}


def test_a_request_that_a_person_holds_at_the_last_look_is_let_go(queue: LabQueue) -> None:
    first, second = approved(queue, "a"), approved(queue, "b")
    lab = CountingLab()

    def check(request: object) -> list[str]:
        if request == queue.get(first).request:
            queue.hold(first, by="Ada", why="out of cobalt")
        return []

    lab.check = check  # type: ignore[method-assign,assignment]
    report = run_queue(queue, lab, options=AT_ONCE)
    assert (report.lost, report.measured) == ([first], [second])
    assert queue.get(first).state is RequestState.HELD
    assert lab.arrivals == {second: 1}


def test_workers_know_the_dead_of_their_own_place_only() -> None:
    host, pid, place, start = this_worker().split(":")
    gone = str(2**22 + 1)
    assert has_died(f"{host}:{gone}:{place}:{start}")
    assert not has_died(this_worker())
    assert not has_died(f"{host}:{gone}:another:{start}")
    for untold in (f"{host}:{gone}", f"{host}:{gone}::", "Ada"):
        assert not has_died(untold)
    assert has_died(f"{host}:{pid}:{place}:{int(start) - 1}")  # its pid is ours by now
    assert not has_died(f"{host}:{pid}:{place}:")


def test_containers_of_one_host_name_do_not_take_each_other_for_dead() -> None:
    """Two pid namespaces, as two containers have them."""
    code = "from redoxa.robotics.queue.worker_name import this_worker; print(this_worker())"
    python, other = [sys.executable, "-c"], ["unshare", "--pid", "--fork", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*other, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let us make a pid namespace")
    there = subprocess.run([*other, *python, code], capture_output=True, text=True, check=True).stdout.strip()
    here = subprocess.run([*python, code], capture_output=True, text=True, check=True).stdout.strip()
    assert there.split(":")[:2] == [socket.gethostname(), "1"]
    assert not has_died(there)
    assert has_died(here)
    ask = f"from redoxa.robotics.queue.worker_name import has_died; print(has_died({here!r}), has_died({this_worker()!r}))"
    asked = subprocess.run([*other, *python, ask], capture_output=True, text=True, check=True)
    assert asked.stdout.split() == ["False", "False"]


def life(queue: LabQueue) -> list[tuple[str, str, str]]:
    """Everything that a queue does, and what its trail says of it: request, action, reason."""
    a, b, c = (approved(queue, tag) for tag in "abc")
    item = claimed(queue)
    queue.give_back(a, item.lease_token, "not now")
    item = claimed(queue)
    queue.start(a, item.lease_token, 60)
    queue.heartbeat(a, item.lease_token, 60)
    queue.park(a, item.lease_token)
    (item,) = queue.adopt("v", 60)  # leaves no line
    (item,) = queue.adopt("u", 60, is_gone=lambda _worker: True)
    queue.note(a, "u", "it hums")
    queue.finish(a, item.lease_token, measured(item))
    claimed(queue)
    assert queue.expire(is_gone=lambda _worker: True) == [b]
    item = claimed(queue)
    queue.fail(b, item.lease_token, "the crucible broke")
    queue.hold(c, by="Ada", why="wait")
    queue.release(c, by="Ada", why="go on")
    queue.cancel(c, by="Ada", why="no longer wanted")
    assert queue.claim("w", 60) is None
    assert [queue.get(key).attempts for key in (a, b, c)] == [2, 2, 0]
    return [(event.request_id, event.action, event.why) for event in queue.events()]


@pytest.mark.parametrize("after", [False, True], ids=["commit-lost", "answer-lost"])
def test_a_connection_that_drops_at_every_commit_changes_nothing(
    postgres: str, clock: Clock, quick: Time, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """Every transaction loses its first COMMIT, or only the answer to it; each step is done and logged once."""
    undisturbed = LabQueue(open_engine("sqlite:///:memory:"), clock=clock)
    queue = LabQueue(open_engine(postgres), clock=clock)
    cut(queue.engine, monkeypatch, after=after, every=2)
    assert life(queue) == life(undisturbed)
    assert len(quick.slept) >= 22
    monkeypatch.undo()
    assert verify_audit(queue.engine) == []
    queue.engine.dispose()


def test_a_worker_outlives_connections_that_drop(postgres: str, quick: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    queue, lab = LabQueue(open_engine(postgres)), CountingLab()
    keys = [approved(queue, tag) for tag in "abc"]
    cut(queue.engine, monkeypatch, after=True, every=2)
    report = run_queue(queue, lab, options=AT_ONCE)
    assert (report.measured, report.troubles) == (keys, [])
    assert lab.arrivals == dict.fromkeys(keys, 1)
    queue.engine.dispose()


def test_columns_hold_what_is_written(engine: Engine, queue: LabQueue) -> None:
    approved(queue)
    item = claimed(queue, lease_s=90)
    with engine.connect() as connection:
        row = connection.execute(requests.select()).mappings().one()
    assert (row["lease_token"], row["lease_s"]) == (item.lease_token, 90)
    queue.give_back(item.request_id, item.lease_token, "x")
    with engine.connect() as connection:
        row = connection.execute(requests.select()).mappings().one()
    assert (row["worker"], row["lease_token"], row["lease_until"], row["lease_s"]) == (None,) * 4
