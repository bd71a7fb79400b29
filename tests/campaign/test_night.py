"""A schedule of one minute on a real Prefect server and PostgreSQL: six rounds, whatever is killed, as undisturbed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from sqlalchemy import create_engine, text

from redoxa.data.storage.database import store_url
from tests.campaign.conftest import TINY, command, contents, redoxa
from tests.campaign.test_kill import no_orphans
from tests.campaign.test_serve import free_port, until
from tests.campaign.test_ticks import child
from tests.conftest import pg_ctl

pytestmark = pytest.mark.slow

ROUNDS = 6
NEXT_S = 90
"""Within which a run goes on after a kill."""


class Night:
    """A Prefect server, `redoxa serve` and a store on PostgreSQL, each of which may be killed and started again."""

    def __init__(self, folder: Path, store: str) -> None:
        self.folder = folder
        port = str(free_port())
        api = f"http://127.0.0.1:{port}/api"
        self.client = httpx.Client(base_url=api, timeout=30.0)
        own = {"PREFECT_HOME": str(folder / "prefect"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
        self.env = {**os.environ, **own, "PREFECT_API_URL": api, "REDOXA_STORE": store}
        self.commands = {
            "server": [command()[0], "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port],
            "serve": command("serve", "tiny.yaml"),
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.engine = create_engine(store_url(store), pool_pre_ping=True)

    def start(self, what: str) -> None:
        said = (self.folder / f"{what}.txt").open("a")
        self.processes[what] = subprocess.Popen(
            self.commands[what], cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )

    def kill(self, what: str) -> None:
        self.processes[what].kill()
        self.processes[what].wait()

    def end(self) -> None:
        for what in ("serve", "server"):
            self.processes[what].terminate()
            self.processes[what].wait(30)

    def runs(self) -> list[dict[str, Any]]:
        """Runs that have begun, in order."""
        asked = {"sort": "START_TIME_ASC", "flow_runs": {"start_time": {"is_null_": False}}}
        answer = self.client.post("/flow_runs/filter", json=asked).raise_for_status()
        return list(answer.json())

    def midway(self) -> str:
        """Wait until a run goes on and has written something; returns its id."""
        run = until("a run", 180, lambda: next((x for x in self.runs() if x["state_type"] == "RUNNING"), None))
        before = self._rows()
        until("rows", 120, lambda: self._rows() > before)
        return str(run["id"])

    def flow(self) -> int:
        """The process of the flow that runs."""
        return child(self.processes["serve"].pid, "spawn_main")

    def goes_on(self, run: str) -> None:
        """Wait until this run, which was hit, has ended in order after all, or another was accepted."""
        earlier = {x["id"] for x in self.runs()} - {run}

        def it_does() -> bool:
            new = [x for x in self.runs() if x["id"] not in earlier]
            return any(x["state_name"] == "Completed" or (x["state_name"] == "Running" and x["id"] != run) for x in new)

        until("the next", NEXT_S, it_does)

    def _rows(self) -> int:
        with self.engine.connect() as connection:
            tables = ("results", "relaxations", "queue_events")
            return sum(int(connection.scalar(text(f"select count(*) from {x}")) or 0) for x in tables)


def test_six_ticks_are_six_rounds(postgres: str, postgres_server: str, tmp_path: Path) -> None:
    spec = yaml.safe_load(TINY.read_text())
    spec |= {
        "generate": [{"kind": "substitution", "count": 4}],
        "stop": {"rounds": ROUNDS},
        "schedule": {"every_minutes": 1},
    }
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    for folder in (undisturbed, disturbed):
        folder.mkdir()
        (folder / "tiny.yaml").write_text(yaml.safe_dump(spec))
    assert redoxa("run", "tiny.yaml", "--no-prefect", "--json", cwd=undisturbed).code == 0

    night = Night(disturbed, postgres)
    night.start("server")
    until("server", 120, lambda: night.client.get("/health").is_success)
    night.start("serve")
    try:
        run = night.midway()
        os.kill(night.flow(), signal.SIGKILL)
        night.goes_on(run)

        run = night.midway()
        night.kill("serve")
        night.start("serve")
        night.goes_on(run)

        run = night.midway()
        night.kill("server")
        time.sleep(60)
        night.start("server")
        until("server", 60, lambda: night.client.get("/health").is_success)
        night.goes_on(run)

        run = night.midway()
        pg_ctl(postgres_server, "restart", "-m", "fast")
        night.goes_on(run)

        said = until("all rounds", 600, lambda: _told_the_end(night.runs()))
    finally:
        night.end()
    rounds = [f"round {i} of {ROUNDS} is complete" for i in range(1, ROUNDS)]
    assert said[:-1] == [*rounds, f"all {ROUNDS} rounds are complete"]
    log = (disturbed / "serve.txt").read_text()
    assert "somebody should look: Prefect's server does not answer" in log
    assert "Traceback" not in log
    assert "ERROR" not in log
    assert no_orphans(disturbed)
    assert contents(postgres) == contents(undisturbed / "runs" / "redoxa.db")


def _told_the_end(runs: list[dict[str, Any]]) -> list[str]:
    """What the runs that ended in order said, once one of them had nothing to do."""
    done = sorted((x for x in runs if x["state_name"] == "Completed"), key=lambda x: x["end_time"])
    said = [str(x["state"]["message"]) for x in done]
    return said if said and said[-1] == f"nothing to do: all {ROUNDS} rounds are complete" else []
