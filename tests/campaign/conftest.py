"""Running the real command, in a process of its own or in this one."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, select

import redoxa.data.storage.schema_lab
from redoxa.data.storage.database import store_url
from redoxa.data.storage.schema import metadata
from redoxa.data.storage.store import Store
from redoxa.pipeline.commands.app import main

ROOT = Path(__file__).parents[2]
TINY = Path(__file__).parent / "tiny.yaml"


@dataclass
class Finished:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def summary(self) -> dict[str, Any]:
        """The JSON of the last line of stdout."""
        parsed: dict[str, Any] = json.loads(self.out.strip().splitlines()[-1])
        return parsed


def command(*args: object) -> list[str]:
    """The `redoxa` command of this interpreter, without relying on the PATH."""
    return [sys.executable, "-c", "from redoxa.pipeline.commands.main import main; main()", *map(str, args)]


def redoxa(*args: object, cwd: Path, env: dict[str, str] | None = None, timeout: float = 900) -> Finished:
    """Run `redoxa` in a folder."""
    done = subprocess.run(
        command(*args), cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=timeout
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def here(*args: object, cwd: Path) -> Finished:
    """Run `redoxa` in this process, which has imported everything: for what the command says and writes."""
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch, contextlib.chdir(cwd),
        contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended,
    ):  # fmt: skip
        patch.setattr(sys, "argv", ["redoxa", *map(str, args)])
        main()
    return Finished(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def lend(source: Path, target: str | Path) -> int:
    """Put nine of ten relaxations of a store into another, so that only some are left to compute; returns how many."""
    giver, taker = Store.open(source), Store.open(target)
    lent = [row for i, row in enumerate(contents(source)["relaxations"]) if i % 10]
    for (key,) in lent:
        taker.put_relaxation(json.loads(key), giver.get_relaxation(json.loads(key)) or {})
    giver.close()
    taker.close()
    return len(lent)


def contents(where: str | Path) -> dict[str, list[tuple[Any, ...]]]:
    """Everything of a store that must not depend on when or how often a campaign was interrupted."""
    columns = {
        "candidates": "id, formula, chemical_system, working_ion, n_atoms, crystal",
        "proposals": "campaign_id, round, generator, sample, candidate_id, origin",
        "chunks": "campaign_id, round, generator, chunk, proposed",
        "results": "candidate_id, settings_hash, verdict, record",
        "relaxations": "key",
        "selections": "campaign_id, round, candidate_id, rank, why, request_id, note",
        "rounds": "campaign_id, round, stage, summary",
        "requests": "id, payload_hash, campaign, round, candidate_id, state, request, safety",
        "measurements": "request_id, candidate_id, outcome, simulated, measurement",
    }
    engine = create_engine(store_url(where))
    tables = {}
    with engine.connect() as connection:
        for table, wanted in columns.items():
            found = [metadata.tables[table].c[name] for name in wanted.split(", ")]
            rows = connection.execute(select(*found))
            tables[table] = sorted(tuple(json.dumps(x, sort_keys=True) for x in row) for row in rows)
        candidates = metadata.tables["candidates"].c
        order = connection.execute(select(candidates.id).order_by(candidates.seq))
        tables["order of arrival"] = [tuple(row) for row in order]
    return tables


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Finished]:
    """A finished undisturbed run of the tiny campaign under Prefect, with the network blocked."""
    folder = tmp_path_factory.mktemp("tiny")
    log = folder / "network.log"
    env = {
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent / "offline"), str(ROOT)]),
        "REDOXA_TEST_NETWORK_LOG": str(log),
    }
    done = redoxa("run", TINY, "--json", cwd=folder, env=env)
    return folder, done
