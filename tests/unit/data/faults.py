"""Accidents of a database server, and a time that does not have to be waited for."""

from __future__ import annotations

import random
from typing import Any

import pytest
from sqlalchemy import Engine

from redoxa.data.storage import patience
from redoxa.data.storage.patience import Patience


class Time:
    """A clock that only sleeping moves, and what was slept."""

    def __init__(self) -> None:
        self.now, self.slept = 100.0, list[float]()

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)

    def patience(self, seed: int = 1) -> Patience:
        return Patience(clock=lambda: self.now, sleep=self.sleep, chance=random.Random(seed))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Time:
    """No real waiting."""
    time = Time()
    monkeypatch.setattr(patience, "PATIENCE", time.patience())
    return time


def drop(engine: Engine) -> None:
    """Every connection to the database of an engine, as an administrator does it."""
    import psycopg

    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where pid <> pg_backend_pid() and datname = current_database()"
        )


def cut(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, *, after: bool, times: int = 1, every: int | None = None
) -> None:
    """Connections drop at COMMIT: before it arrives, or after, so that only the answer is lost.

    The next `times` commits are cut off; or, with `every`, one after each `every` - 1 that pass, the first one at once.
    """
    import psycopg

    commit, count = engine.dialect.do_commit, [0]

    def do_commit(connection: Any) -> None:
        count[0] += 1
        if not (count[0] <= times if every is None else count[0] % every == 1):
            commit(connection)
            return
        if after:
            commit(connection)
        connection.driver_connection.close()
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(engine.dialect, "do_commit", do_commit)
