"""One tick is one round, whatever is killed meanwhile, and the ticks end where one undisturbed run ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import yaml

from redoxa.pipeline.unattended.serve import LOOK_S
from tests.campaign.conftest import TINY, command, contents, redoxa
from tests.campaign.test_kill import no_orphans, rows_of
from tests.campaign.test_serve import final_state, until

pytestmark = pytest.mark.slow

QUICK = {"PREFECT_RUNNER_POLL_FREQUENCY": "1", "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "2"}
STORE = Path("runs", "redoxa.db")


class Served:
    """`redoxa serve` in a folder, with the server that it starts."""

    def __init__(
        self,
        folder: Path,
        name: str = "tiny",
        words: Sequence[str] = tuple(command("serve", "tiny.yaml")),
        env: Mapping[str, str] = os.environ,
    ) -> None:
        self.folder = folder
        self.said = folder / "said.txt"
        with self.said.open("w") as said:
            self.process = subprocess.Popen(words, cwd=folder, env={**env, **QUICK}, stdout=said, stderr=said)
        address = until("server", 120, lambda: re.search(r"on (http://\S+)", self.said.read_text()))
        self.client = httpx.Client(base_url=f"{address[1]}/api", timeout=30.0)
        found = until("deployment", 60, lambda: self._get(f"/deployments/name/discovery-campaign/{name}"))
        self.deployment = found["id"]

    def tick(self) -> str:
        """Let a run be due now; returns its id."""
        path, key = f"/deployments/{self.deployment}/create_flow_run", {"idempotency_key": uuid4().hex}
        # A server on SQLite answers 503 while its database is locked, and expects the client to ask again.
        made = until("tick", 60, lambda: self.client.post(path, json=key).raise_for_status().json())
        return str(made["id"])

    def state(self, run: str) -> dict[str, Any]:
        state: dict[str, Any] = self._get(f"/flow_runs/{run}")["state"]
        return state

    def ended(self, run: str, seconds: float = 150) -> tuple[str, str]:
        """How a run has ended, and what is said of it."""
        until(run, seconds, lambda: final_state({"state_type": self.state(run)["type"]}))
        state = self.state(run)
        return state["type"], state["message"]

    def ended_runs(self, least: int, seconds: float = 200) -> list[str]:
        """What is said of all runs, oldest first, once at least so many have ended."""
        wanted = {"sort": "START_TIME_ASC", "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}

        def said() -> list[str]:
            runs = self.client.post("/flow_runs/filter", json=wanted).raise_for_status().json()
            return [run["state"]["message"] for run in runs]

        until(f"{least} runs", seconds, lambda: len(said()) >= least)
        return said()

    def flow(self) -> int:
        """Process of the flow that runs."""
        return child(self.process.pid, "spawn_main")

    def server(self) -> int:
        """Process of the server."""
        return child(self.process.pid, "redoxa.pipeline.unattended.prefect_env")

    def grown(self) -> None:
        """Wait until the run that goes on has written something."""
        before = rows_of(self.folder / STORE)
        until("rows", 120, lambda: rows_of(self.folder / STORE) > before + 1)

    def _get(self, path: str) -> Any:
        return self.client.get(path).raise_for_status().json()


def child(parent: int, word: str) -> int:
    """The child of a process whose command line holds a word."""
    children = [pid for x in Path(f"/proc/{parent}/task").glob("*/children") for pid in x.read_text().split()]
    return next(int(pid) for pid in children if word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes())


def _rounds(folder: Path) -> int:
    done = redoxa("status", "tiny", "--json", cwd=folder)
    return int(done.summary["rounds"])


def test_three_ticks_are_three_rounds_whatever_is_killed(tmp_path: Path) -> None:
    spec = yaml.safe_load(TINY.read_text())
    spec |= {
        "generate": [{"kind": "substitution", "count": 4}],
        "stop": {"rounds": 3},
        "schedule": {"every_minutes": 600},
    }
    undisturbed, ticked = tmp_path / "undisturbed", tmp_path / "ticked"
    for folder in (undisturbed, ticked):
        folder.mkdir()
        (folder / "tiny.yaml").write_text(yaml.safe_dump(spec))
    assert redoxa("run", "tiny.yaml", "--no-prefect", "--json", cwd=undisturbed).code == 0
    served = Served(ticked)
    try:
        assert served.ended(served.tick()) == ("COMPLETED", "round 1 of 3 is complete")
        assert _rounds(ticked) == 1

        # kill -9 of the flow: its run is marked, and the tick that waited goes on from there.
        killed = served.tick()
        until("running", 90, lambda: served.state(killed)["type"] == "RUNNING")
        waited = served.tick()
        until("waiting", 30, lambda: served.state(waited)["name"] == "AwaitingConcurrencySlot")
        served.grown()
        os.kill(served.flow(), signal.SIGKILL)
        assert served.ended(killed, 90)[0] == "CRASHED"

        # kill -9 of `redoxa serve`: nothing is left behind, and its next start sees to the run it left.
        until("running", 90, lambda: served.state(waited)["type"] == "RUNNING")
        served.process.kill()
        served.process.wait()
        assert no_orphans(ticked)
        served = Served(ticked)
        assert served.ended(waited, 90)[0] == "CRASHED"

        assert served.ended(served.tick()) == ("COMPLETED", "round 2 of 3 is complete")
        # kill -9 of the server: it is started again, and the run goes on.
        last = served.tick()
        until("running", 90, lambda: served.state(last)["type"] == "RUNNING")
        served.grown()
        os.kill(served.server(), signal.SIGKILL)
        assert served.ended(last) == ("COMPLETED", "all 3 rounds are complete")
        assert served.ended(served.tick()) == ("COMPLETED", "nothing to do: all 3 rounds are complete")
    finally:
        began = time.monotonic()
        served.process.terminate()
        code = served.process.wait(30)
    assert (code, time.monotonic() - began < 10) == (0, True)
    assert no_orphans(ticked)
    assert contents(ticked / STORE) == contents(undisturbed / STORE)


def test_a_round_begins_by_itself_when_a_person_gives_a_result(tmp_path: Path) -> None:
    spec = yaml.safe_load(TINY.read_text())
    spec |= {
        "generate": [{"kind": "substitution", "count": 4}],
        "select": {"batch_size": 1, "min_probability": 0},
        "lab": {"driver": "file_drop", "approval": "person", "options": {"settle_s": 0}},
        "stop": {"rounds": 2},
        "schedule": {"on_measurements": True},
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(spec))
    served = Served(tmp_path)
    try:
        (first,) = served.ended_runs(1)
        assert first.startswith("requests wait for a person")
        request = until("request", 10, lambda: redoxa("queue", "list", "--json", cwd=tmp_path).summary)["request_id"]
        assert redoxa("queue", "approve", request, "--by", "Ada", cwd=tmp_path).code == 0
        lab = tmp_path / "runs" / "tiny" / "lab"
        until("handed over", 90, (lab / "outbox" / f"{request}.json").exists)
        assert _rounds(tmp_path) == 1
        served.ended_runs(2)
        failed = {"request_id": request, "outcome": "failed", "note": "the crucible broke"}
        (lab / "inbox" / "result.json").write_text(json.dumps(failed))
        said = served.ended_runs(4)
        assert said[2] == "round 1 of 2 is complete"
        assert _rounds(tmp_path) == 2
        time.sleep(2 * LOOK_S)
        assert served.ended_runs(4) == said  # it waits for a person, and no more runs are made
    finally:
        served.process.terminate()
        served.process.wait(30)
    assert no_orphans(tmp_path)
