"""What was spent before a kill -9 is known afterwards."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.campaign.conftest import TINY
from tests.campaign.test_kill import no_orphans

EVERY_s = 0.2


def killed(campaign: Path, folder: Path, when: str) -> sqlite3.Connection:
    """The store of a run that writes its costs often, and was killed as soon as a query found something."""
    often = f"import redoxa.pipeline.campaign.costs; redoxa.pipeline.campaign.costs.EVERY_s = {EVERY_s}; from redoxa.pipeline.commands.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", often, "run", str(campaign), "--no-prefect"], cwd=folder, stderr=subprocess.DEVNULL
    )
    store = folder / "runs" / "redoxa.db"
    while not (store.exists() and found(store, when)):
        assert process.poll() is None, "the run ended before it came so far"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert no_orphans(folder)
    return sqlite3.connect(store)


def found(store: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(store)
    try:
        return connection.execute(query).fetchall()
    except sqlite3.OperationalError:  # the tables are not made yet
        return []
    finally:
        connection.close()


@pytest.mark.slow
def test_a_killed_screening_keeps_what_it_has_spent(tmp_path: Path) -> None:
    store = killed(TINY, tmp_path, "select 1 from relaxations limit 1 offset 15")
    rows = store.execute("select record, julianday(created_at) * 86400 from relaxations order by created_at").fetchall()
    ends_s = [at for _, at in rows]
    # What ended so long before the last but one was written with that one at the latest.
    settled = [json.loads(record)["seconds"] for record, at in rows if at < ends_s[-2] - EVERY_s]
    ((spent_s,),) = store.execute("select sum(seconds) from costs where stage not like 'generate%'")
    assert len(settled) >= 3
    assert spent_s >= sum(settled)
    ((counted,),) = store.execute("select sum(entered) from costs where stage not like 'generate%'")
    assert counted == 0  # by the run that finishes the batch
    store.close()


@pytest.mark.slow
def test_a_killed_generator_keeps_what_it_has_spent(tmp_path: Path) -> None:
    campaign = tmp_path / "long.yaml"
    campaign.write_text(TINY.read_text().replace("count: 6", "count: 64").replace("kind: flow", "kind: diffusion"))
    store = killed(campaign, tmp_path, "select 1 from costs")
    assert store.execute("select count(*) from chunks").fetchone() == (0,)
    ((stage, entered, seconds),) = store.execute("select stage, entered, seconds from costs")
    assert (stage, entered) == ("generate diffusion", 0)
    assert seconds >= EVERY_s / 2
    store.close()
