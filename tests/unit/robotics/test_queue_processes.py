"""Several processes on one queue: every request is claimed by exactly one of them."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from data.database import writing
from data.lab import RequestState
from robotics.audit import verify_audit
from robotics.queue import LabQueue
from robotics.queue_rows import Rows
from tests.unit.robotics.samples import make_request

CLAIMER = """
import sys
from data.database import open_engine
from data.lab import Measurement, Outcome
from robotics.audit import verify_audit
from robotics.queue import LabQueue
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
