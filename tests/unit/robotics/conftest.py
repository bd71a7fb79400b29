from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete

from redoxa.data.storage.database import open_engine
from redoxa.data.storage.schema_lab import measurements, queue_events, requests, samples, steps
from redoxa.robotics.queue.queue import LabQueue


class Clock:
    """A clock that moves only when told to, and a microsecond at each look, so that no two rows are of one age."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(microseconds=1)
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def clear(engine: Engine) -> None:
    with engine.begin() as connection:
        for table in (queue_events, measurements, samples, steps, requests):
            connection.execute(delete(table))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def sqlite_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = open_engine(tmp_path_factory.mktemp("queue") / "redoxa.db")
    yield engine
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An empty queue on each kind of database."""
    if request.param == "sqlite":
        found: Engine = request.getfixturevalue("sqlite_engine")
    else:
        found = open_engine(request.getfixturevalue("postgres_server"))
    clear(found)
    yield found
    if request.param == "postgres":
        found.dispose()


@pytest.fixture
def queue(engine: Engine, clock: Clock) -> LabQueue:
    return LabQueue(engine, clock=clock)


@pytest.fixture
def where(tmp_path: Path) -> Path:
    return tmp_path / "redoxa.db"
