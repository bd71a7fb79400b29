"""Ctrl-C and SIGTERM at any moment: one line says what is kept and how to go on, and the rest is done later."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from tests.campaign.conftest import TINY, Finished, command, contents, redoxa
from tests.campaign.test_kill import no_orphans

BY = {
    "ctrl-c": (signal.SIGINT, os.killpg, 130),
    "kill -INT": (signal.SIGINT, os.kill, 130),
    "kill": (signal.SIGTERM, os.kill, 143),
}


def begun(*args: object, cwd: Path) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(command(*args), cwd=cwd, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def rows(table: str, folder: Path) -> int:
    """How many rows a campaign has written; none where there is no store or no table yet."""
    where = f"file:{folder}/runs/redoxa.db?mode=ro"
    with (
        contextlib.suppress(sqlite3.OperationalError),
        contextlib.closing(sqlite3.connect(where, uri=True)) as connection,
    ):
        return int(connection.execute(f"select count(*) from {table}").fetchone()[0])
    return 0


def wait_for(table: str, folder: Path, process: subprocess.Popen[str], before: int = 0) -> None:
    """Until a process has written a row of this table."""
    while rows(table, folder) <= before:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def wait_for_library(name: str, process: subprocess.Popen[str]) -> None:
    """Until a process has a library in its memory."""
    while name not in Path(f"/proc/{process.pid}/maps").read_text():
        assert process.poll() is None, process.communicate()


def interrupt(process: subprocess.Popen[str], how: str) -> str:
    number, send, code = BY[how]
    send(process.pid, number)
    _, said = process.communicate(timeout=20)  # on a busy machine; 10 s where it has a core
    assert process.returncode == code, said
    assert "Traceback" not in said
    return said.splitlines()[-1]


@pytest.mark.slow
def test_interrupted_at_every_stage_a_campaign_ends_where_an_undisturbed_one_ends(
    tiny_run: tuple[Path, Finished], tmp_path: Path
) -> None:
    undisturbed, done = tiny_run
    assert done.code == 0, done.err
    how = [name for _ in range(3) for name in BY]
    for nth, table in enumerate(("campaigns", "chunks", "relaxations", "results", "selections", "measurements")):
        before = rows(table, tmp_path)
        process = begun("run", TINY, *(["--no-prefect"] if nth % 2 else []), cwd=tmp_path)
        wait_for(table, tmp_path, process, before)
        last = interrupt(process, how[nth])
        assert last.startswith("redoxa: interrupted; runs/redoxa.db keeps ")
        assert f"of them screened; to go on: redoxa run {TINY}" in last
        assert no_orphans(tmp_path)
    last_run = redoxa("run", TINY, "--json", cwd=tmp_path)
    assert last_run.code == 0, last_run.err
    assert contents(tmp_path / "runs" / "redoxa.db") == contents(undisturbed / "runs" / "redoxa.db")
    for folder in (tmp_path, undisturbed):
        assert redoxa("export", "tiny", "tiny.csv", cwd=folder).code == 0
    assert (tmp_path / "tiny.csv").read_bytes() == (undisturbed / "tiny.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("how", BY)
def test_a_screening_says_whether_anything_is_kept(how: str, tmp_path: Path) -> None:
    made = redoxa("generate", "--generator", "substitution", "-n", 30, "--require", "Li", "--out", "x", cwd=tmp_path)
    assert made.code == 0, made.err
    for store, told in (("runs/redoxa.db", "relaxations are kept in runs/redoxa.db"), (None, "nothing is kept")):
        process = begun("screen", "x", *(["--store", store] if store else []), cwd=tmp_path)
        if store:
            wait_for("relaxations", tmp_path, process)
        else:
            wait_for_library("libtorch_cpu", process)
        assert told in interrupt(process, how)
    assert no_orphans(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("library", ["_queue", "_pydantic_core", "libtorch_cpu"])
@pytest.mark.parametrize("how", BY)
def test_interrupted_while_libraries_are_imported(how: str, library: str, tmp_path: Path) -> None:
    """The signal comes as soon as a library is in the memory of the process."""
    process = begun("run", TINY, cwd=tmp_path)
    wait_for_library(library, process)
    assert "; to go on: redoxa run " in interrupt(process, how)
    assert no_orphans(tmp_path)
