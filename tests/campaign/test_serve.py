"""A scheduled deployment on a real Prefect server: registered, run when asked for, one run at a time."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from redoxa.pipeline.unattended.prefect_env import _own_server
from tests.campaign.conftest import TINY, command, redoxa


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _raise_for_status(response: httpx.Response) -> None:
    response.raise_for_status()


def until(what: str, seconds: float, check: Callable[[], Any]) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if found := check():
                return found
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"{what}: not within {seconds} s")


@contextmanager
def ended(args: list[str], folder: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended as by Ctrl-C."""
    sink = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    process = subprocess.Popen(args, cwd=folder, env=env, **sink)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


@contextmanager
def real_server(folder: Path) -> Iterator[tuple[dict[str, str], httpx.Client]]:
    """A Prefect server of its own: the environment of what uses it, and a client."""
    port = free_port()
    api = f"http://127.0.0.1:{port}/api"
    env = {
        **os.environ,
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    start = [command()[0], "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    client = httpx.Client(base_url=api, timeout=30.0, event_hooks={"response": [_raise_for_status]})
    with ended(start, folder, env):
        until("server", 120, lambda: client.get("/health"))
        yield {**env, "PREFECT_API_URL": api}, client


def test_a_served_campaign_runs_on_a_real_server(tmp_path: Path) -> None:
    spec = yaml.safe_load(TINY.read_text())
    spec |= {
        "schedule": {"every_minutes": 600},
        "stop": {"rounds": 1},
        "generate": [{"kind": "substitution", "count": 3}],
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(spec))
    with real_server(tmp_path) as (env, client), ended(command("serve", "tiny.yaml"), tmp_path, env):
        deployment = until("deployment", 90, lambda: client.get("/deployments/name/discovery-campaign/tiny").json())
        assert deployment["schedules"][0]["schedule"]["interval"] == 36_000
        assert deployment["global_concurrency_limit"]["limit"] == 1
        assert deployment["concurrency_options"]["collision_strategy"] == "ENQUEUE"
        assert deployment["parameters"] == {"campaign": "tiny", "store": "runs/redoxa.db", "rounds": 1}
        assert deployment["description"].startswith("**Cathodes for Li**: average voltage")
        assert "a simulator: its values are no evidence" in deployment["description"]
        assert {"redoxa", "Li", "cathode", "lab: simulated"} == set(deployment["tags"])
        described = deployment["parameter_openapi_schema"]["properties"]["store"]
        assert "without user and password" in described["description"]
        # A server on SQLite answers 503 while its database is locked, and expects the client to ask again.
        create = f"/deployments/{deployment['id']}/create_flow_run"
        run = until("run", 60, lambda: client.post(create, json={"idempotency_key": "once"}).json())
        final = until("flow run", 240, lambda: final_state(client.get(f"/flow_runs/{run['id']}").json()))
        assert final == "COMPLETED"
        artifacts = until("artifacts", 60, lambda: client.post("/artifacts/latest/filter", json={}).json())
        assert {a["key"] for a in artifacts} >= {"tiny-funnel", "tiny-pareto", "tiny-report"}
        # A tick after the end says so, and costs next to nothing.
        late = until("run", 60, lambda: client.post(create, json={"idempotency_key": "twice"}).json())
        until("flow run", 120, lambda: final_state(client.get(f"/flow_runs/{late['id']}").json()))
        said = client.get(f"/flow_runs/{late['id']}").json()["state"]["message"]
        assert said == "nothing to do: the round is complete"
    status = redoxa("status", "--json", cwd=tmp_path)
    assert status.summary["counts"]["screened"] == 3, status.err


def final_state(run: dict[str, object]) -> object:
    return run["state_type"] if run["state_type"] in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"} else None


def test_the_page_of_a_server_on_any_port_asks_that_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    for url in _own_server(free_port(), 120):
        assert httpx.get(f"{url.removesuffix('/api')}/ui-settings").json()["api_url"] == url
