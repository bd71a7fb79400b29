"""Many processes open one new store at once: each finds it usable, and its tables are made once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect

from redoxa.data.storage.database import store_url
from redoxa.data.storage.store import Store

PROCESSES, TIMES = 8, 5

OPENER = """
import sys
from redoxa.data.storage.store import Store
print("ready", flush=True)
for line in sys.stdin:
    where, me = line.split()
    store = Store.open(where)
    store.add_campaign(me, "c", {})
    store.close()
    print("opened", flush=True)
"""


@pytest.fixture(scope="module")
def openers() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that are ready to open the stores they are told."""
    started = [
        subprocess.Popen([sys.executable, "-c", OPENER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    try:
        for opener in started:
            assert opener.stdout is not None
            assert opener.stdout.readline() == "ready\n"
        yield started
    finally:
        for opener in started:
            opener.kill()
            opener.communicate()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_an_empty_store_is_opened_by_many_at_once(
    kind: str, openers: list[subprocess.Popen[str]], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    for time in range(TIMES):
        where = str(tmp_path / f"{time}.db") if kind == "sqlite" else new_database(request, time)
        for i, opener in enumerate(openers):
            assert opener.stdin is not None
            opener.stdin.write(f"{where} {i}\n")
            opener.stdin.flush()
        for opener in openers:
            assert opener.stdout is not None
            assert opener.stdout.readline() == "opened\n"
        store = Store.open(where, create=False)
        assert {row["id"] for row in store.campaigns()} == {str(i) for i in range(PROCESSES)}
        store.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_store_whose_making_was_interrupted_is_made_the_next_time(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = str(tmp_path / "new.db") if kind == "sqlite" else request.getfixturevalue("postgres")
    upgrade = command.upgrade

    def interrupted(config: Config, revision: str) -> None:
        upgrade(config, "0001")
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "upgrade", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Store.open(where)
    monkeypatch.undo()
    engine = create_engine(store_url(where))
    assert inspect(engine).get_table_names() == []
    engine.dispose()
    store = Store.open(where)
    store.add_campaign("1", "c", {})
    store.close()


def new_database(request: pytest.FixtureRequest, number: int) -> str:
    import psycopg

    server = request.getfixturevalue("postgres_server")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE opening_{number}")
    return str(server).replace("@/postgres?", f"@/opening_{number}?")
