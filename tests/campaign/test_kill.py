"""kill -9 at any moment, then run again: nothing is lost and nothing is done twice."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from tests.campaign.conftest import TINY, Finished, command, contents, redoxa

KILLS = 5
COUNTED = ("candidates", "relaxations", "results", "selections", "queue_events", "measurements", "rounds")


def test_five_kills_end_where_an_undisturbed_run_ends(tiny_run: tuple[Path, Finished], tmp_path: Path) -> None:
    undisturbed, done = tiny_run
    assert done.code == 0, done.err
    store = tmp_path / "runs" / "redoxa.db"
    chance = random.Random(7)
    for target in sorted(chance.sample(range(1, rows_of(undisturbed / "runs" / "redoxa.db")), KILLS)):
        process = subprocess.Popen(
            command("run", TINY, "--no-prefect"), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while rows_of(store) < target:
            assert process.poll() is None, "the run ended before it had written as much as an undisturbed one"
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.wait()
    last = redoxa("run", TINY, "--no-prefect", "--json", cwd=tmp_path)
    assert last.code == 0, last.err
    assert contents(store) == contents(undisturbed / "runs" / "redoxa.db")
    assert no_orphans(tmp_path)


@pytest.mark.parametrize(("by", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_terminal_ends_a_run_and_its_prefect_server(by: signal.Signals, code: int, tmp_path: Path) -> None:
    """Ctrl-C reaches every process of a terminal's group: the command says one line, not what Prefect then meets."""
    process = subprocess.Popen(
        command("run", TINY),
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while rows_of(tmp_path / "runs" / "redoxa.db") < 10:
        assert process.poll() is None, "the run ended before it had written anything"
        time.sleep(0.01)
    os.killpg(process.pid, by)
    _, said = process.communicate()
    assert process.returncode == code
    assert "Traceback" not in said
    assert "ERROR" not in said
    assert code != 130 or said.splitlines()[-1].startswith("redoxa: interrupted; runs/redoxa.db keeps ")
    assert no_orphans(tmp_path)


def rows_of(store: Path) -> int:
    """How far a campaign has come: the rows of its store."""
    if not store.exists():
        return 0
    with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        try:
            return sum(connection.execute(f"select count(*) from {table}").fetchone()[0] for table in COUNTED)
        except sqlite3.OperationalError:  # the tables are not made yet
            return 0


def no_orphans(folder: Path) -> bool:
    """No worker of a killed run is left behind (workers watch their parent)."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        left = [p for p in Path("/proc").glob("[0-9]*") if _cwd(p) == folder and int(p.name) != os.getpid()]
        if not left:
            return True
        time.sleep(0.5)
    return False


def _cwd(process: Path) -> Path | None:
    try:
        return (process / "cwd").readlink()
    except OSError:
        return None
