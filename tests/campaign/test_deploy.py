"""Campaigns on the worker of a work pool, with a real Prefect server and a real worker."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
import yaml

from tests.campaign.conftest import TINY, command, redoxa
from tests.campaign.test_kill import no_orphans
from tests.campaign.test_serve import ended, final_state, real_server, until

pytestmark = pytest.mark.slow


def test_a_worker_runs_what_is_deployed(tmp_path: Path) -> None:
    spec = yaml.safe_load(TINY.read_text())
    spec |= {"generate": [{"kind": "substitution", "count": 3}], "schedule": {"cron": "0 2 * * *"}}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(spec))
    with real_server(tmp_path) as (env, client):
        client.post("/work_pools/", json={"name": "boxes", "type": "docker"})
        refused = redoxa("deploy", "tiny.yaml", "--pool", "boxes", cwd=tmp_path, env=env)
        assert (refused.code, "is a work pool of type docker" in refused.err) == (2, True)
        assert "Traceback" not in refused.err
        for new in (True, False):
            done = redoxa("deploy", "tiny.yaml", "--pool", "night", "--json", cwd=tmp_path, env=env)
            assert done.code == 0, done.err
            assert (done.summary["pool"], done.summary["new_pool"]) == ("night", new)
        assert "next, on each machine that is to work: prefect worker start --pool night" in done.err
        deployment = client.get("/deployments/name/discovery-campaign/tiny").json()
        assert deployment["entrypoint"] == "redoxa.pipeline.unattended.flows.discovery_campaign"
        assert deployment["parameters"] == {"campaign": "tiny", "store": "runs/redoxa.db", "rounds": 1}
        assert [x["schedule"]["cron"] for x in deployment["schedules"]] == ["0 2 * * *"]
        assert deployment["global_concurrency_limit"]["limit"] == 1

        worker = [command()[0], "-m", "prefect", "worker", "start", "--pool", "night"]
        with ended(worker, tmp_path, {**env, "PREFECT_WORKER_QUERY_SECONDS": "1"}):
            path = f"/deployments/{deployment['id']}/create_flow_run"
            run = until("run", 60, lambda: client.post(path, json={"idempotency_key": "once"}).json())
            assert until("end", 240, lambda: _final(client, run["id"])) == "COMPLETED"
            assert client.get(f"/flow_runs/{run['id']}").json()["state"]["message"] == "round 1 of 2 is complete"
            late = until("run", 60, lambda: client.post(path, json={"idempotency_key": "twice"}).json())
            until("running", 90, lambda: client.get(f"/flow_runs/{late['id']}").json()["state_type"] == "RUNNING")
    assert redoxa("status", "tiny", "--json", cwd=tmp_path).summary["rounds"] == 1
    assert no_orphans(tmp_path)


def _final(client: httpx.Client, run: str) -> object:
    return final_state(client.get(f"/flow_runs/{run}").json())
