"""Several processes on one queue: every request is claimed by exactly one of them."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from redoxa.data.lab.request import RequestState
from redoxa.data.storage.database import writing
from redoxa.robotics.queue.audit import verify_audit
from redoxa.robotics.queue.queue import LabQueue
from redoxa.robotics.queue.rows import Rows
from tests.unit.robotics.samples import make_request

CLAIMER = """
import sys
from redoxa.data.storage.database import open_engine
from redoxa.data.lab.measurement import Measurement, Outcome
from redoxa.robotics.queue.audit import verify_audit
from redoxa.robotics.queue.queue import LabQueue
queue, worker = LabQueue(open_engine(sys.argv[1])), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
while (item := queue.claim(worker, 60)) is not None:
    key = item.request_id
    print(key, flush=True)
    queue.start(key, item.lease_token, 60)
    outcome = Outcome.TARGET_NOT_FORMED
    candidate = item.request.candidate_id
    measurement = Measurement(request_id=key, candidate_id=candidate, outcome=outcome, simulated=True)
    queue.finish(key, item.lease_token, measurement)
"""

WORKERS, REQUESTS = 3, 30


def test_each_request_is_claimed_by_one_process(engine: Engine) -> None:
    queue = LabQueue(engine)
    base = make_request("LiCoO2")
    keys = {
        queue.propose(base.model_copy(update={"candidate_id": f"candidate-{i}", "priority": i % 3}))
        for i in range(REQUESTS)
    }
    for key in keys:
        queue.approve(key, by="Ada", why="good")
    url = engine.url.render_as_string(hide_password=False)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMER, url, f"w{i}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for i in range(WORKERS)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"  # all are there before any begins
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    claimed = Counter(key for worker in workers for key in worker.communicate(timeout=120)[0].split())
    assert [worker.returncode for worker in workers] == [0] * WORKERS
    assert claimed == dict.fromkeys(keys, 1)
    assert {item.state for item in queue.list()} == {RequestState.DONE}
    assert len(queue.measured()) == REQUESTS
    starts = [e for e in queue.events() if e.action == "claim"]
    priority = {item.request_id: item.priority for item in queue.list()}
    assert verify_audit(engine) == []  # however many wrote it
    # Taken in order of priority: no claim of a lower priority is logged before the last of a higher one.
    order = [priority[e.request_id] for e in starts]
    assert order == sorted(order, reverse=True)


def test_a_claim_waits_for_the_one_before_it(engine: Engine) -> None:
    """Else it would pass over the row in the other's hands, and a lower priority would be taken first."""
    queue = LabQueue(engine)
    base = make_request("LiCoO2")
    first, second = (
        queue.propose(base.model_copy(update={"candidate_id": f"candidate-{p}", "priority": p})) for p in (2, 1)
    )
    for key in (first, second):
        queue.approve(key, by="Ada", why="good")
    with ThreadPoolExecutor(1) as pool:
        with writing(engine) as connection:
            rows = Rows(connection, datetime.now(UTC))
            row = rows.next_approved(None)
            assert row is not None
            assert row["id"] == first
            other = pool.submit(queue.claim, "b", 60)
            with pytest.raises(TimeoutError):
                other.result(timeout=0.5)
            rows.move(row, "claim", "a", "next in the queue", rows.lease("a", 60))
        item = other.result(timeout=30)
    assert item is not None
    assert item.request_id == second
    assert [e.request_id for e in queue.events() if e.action == "claim"] == [first, second]


STRESS, STRESSED = map(int, os.environ.get("REDOXA_STRESS", "2000,8").split(","))
"""Requests and workers under stress; every second costs a worker its life."""

LABORER = """
import os, sys, time
from redoxa.data.storage.database import open_engine
from redoxa.data.lab.measurement import Measurement, Outcome
from redoxa.robotics.queue.queue import LabQueue
from redoxa.robotics.queue.worker_name import has_died, this_worker
from sqlalchemy import func, select
from redoxa.data.storage.schema_lab import requests
queue, worker, laboratory = LabQueue(open_engine(sys.argv[1])), this_worker(), sys.argv[2]

def knows(key):
    with open(laboratory) as file:
        return key in file.read().split()

def send(key):
    arrived = os.open(laboratory, os.O_WRONLY | os.O_APPEND)
    os.write(arrived, f"{key}\\n".encode())
    os.close(arrived)

def finish(item):
    outcome, candidate = Outcome.TARGET_NOT_FORMED, item.request.candidate_id
    found = Measurement(request_id=item.request_id, candidate_id=candidate, outcome=outcome, simulated=True)
    queue.finish(item.request_id, item.lease_token, found)

def take_back():
    queue.expire(has_died)
    for item in queue.adopt(worker, 600, None, has_died):
        if not knows(item.request_id):
            send(item.request_id)
        finish(item)

def are_left():
    with queue.engine.connect() as connection:
        return connection.scalar(select(func.count()).where(requests.c.state.in_(["approved", "claimed", "running"])))

take_back()
turn = 0
while True:
    turn += 1
    item = queue.claim(worker, 600)
    if item is None:
        if not are_left():
            break
        take_back()
        time.sleep(0.05)
        continue
    queue.start(item.request_id, item.lease_token, 600)
    send(item.request_id)
    finish(item)
    if turn % 50 == 0:
        take_back()
"""


def in_order(queue: LabQueue) -> bool:
    """Whether each claim took what came first of all that was approved by then, by the audit trail."""
    turn = {item.request_id: (-item.priority, item.created_at, item.request_id) for item in queue.list()}
    waiting = set[str]()
    for event in queue.events():
        if event.action == "claim":
            if event.request_id != min(waiting, key=turn.__getitem__):
                return False
            waiting.remove(event.request_id)
        elif event.to_state is RequestState.APPROVED:
            waiting.add(event.request_id)
    return not waiting


@pytest.mark.slow
def test_workers_that_are_killed_at_random_lose_nothing_and_send_nothing_twice(engine: Engine, tmp_path: Path) -> None:
    queue, laboratory = LabQueue(engine), tmp_path / "arrivals"
    laboratory.touch()
    base, chance = make_request("LiCoO2"), random.Random(3)
    keys = [
        queue.propose(base.model_copy(update={"candidate_id": f"candidate-{i}", "priority": chance.randrange(5)}))
        for i in range(STRESS)
    ]
    for key in keys:
        queue.approve(key, by="Ada", why="good")

    def worker() -> subprocess.Popen[bytes]:
        url = engine.url.render_as_string(hide_password=False)
        return subprocess.Popen([sys.executable, "-c", LABORER, url, str(laboratory)])

    began, workers, kills = time.monotonic(), [worker() for _ in range(STRESSED)], 0
    try:
        while any(process.poll() is None for process in workers):
            time.sleep(chance.uniform(0.5, 1.5))
            victim = chance.randrange(STRESSED)
            if workers[victim].poll() is None:
                workers[victim].kill()
                workers[victim].wait()  # else it would still count as a process
                workers[victim] = worker()
                kills += 1
    finally:
        for process in workers:
            process.kill()
            process.wait()
    seconds = time.monotonic() - began
    print(f"{engine.dialect.name}: {STRESS} requests, {kills} kills, {seconds:.0f} s")  # noqa: T201
    assert [process.returncode for process in workers] == [0] * STRESSED
    assert kills >= max(5, seconds / 2)
    assert Counter(laboratory.read_text().split()) == dict.fromkeys(keys, 1)
    assert {item.state for item in queue.list()} == {RequestState.DONE}
    assert [
        request_id
        for request_id, n in Counter(e.request_id for e in queue.events() if e.action == "finish").items()
        if n != 1
    ] == []
    assert len(queue.measured()) == STRESS
    assert in_order(queue)
    assert verify_audit(engine) == []
