"""The same campaign on PostgreSQL: the same candidates, results, requests and measurements as on SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest

from redoxa.data.errors import StoreError
from redoxa.pipeline.campaign.lock import campaign_lock
from redoxa.pipeline.campaign.session import Session, register
from redoxa.pipeline.campaign.spec_file import read_spec
from tests.campaign.conftest import TINY, Finished, contents, lend, redoxa
from tests.unit.data.faults import drop


def test_a_campaign_on_postgresql_ends_where_one_on_sqlite_does(
    postgres: str, tiny_run: tuple[Path, Finished], tmp_path: Path
) -> None:
    on_sqlite, _ = tiny_run
    url = postgres.replace("redoxa@", "redoxa:hid-den@")
    lend(on_sqlite / "runs" / "redoxa.db", postgres)
    done = redoxa("run", TINY, "--store", url, "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert contents(postgres) == contents(on_sqlite / "runs" / "redoxa.db")
    assert "hid-den" not in done.out + done.err
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.parent.name == ".prefect" for path in files)
    assert not [path for path in files if b"hid-den" in path.read_bytes()]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_campaign_runs_once_at_a_time(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    where = str(tmp_path / "redoxa.db") if kind == "sqlite" else request.getfixturevalue("postgres")
    spec = read_spec(TINY)
    register(where, spec)
    first, second = Session(where, spec), Session(where, spec)
    with campaign_lock(first), pytest.raises(StoreError, match="already running"), campaign_lock(second):
        pass
    with campaign_lock(second):
        pass
    first.close()
    second.close()


def test_a_lock_that_the_server_has_dropped_is_taken_again(postgres: str) -> None:
    spec = read_spec(TINY)
    register(postgres, spec)
    first, second = Session(postgres, spec), Session(postgres, spec)
    with campaign_lock(first) as still_held:
        drop(first.store.engine)
        still_held()
        with pytest.raises(StoreError, match="already running"), campaign_lock(second):
            pass
        drop(first.store.engine)
        with campaign_lock(second), pytest.raises(StoreError, match="already running"):
            still_held()
    first.close()
    second.close()
