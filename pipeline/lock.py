"""One run of a campaign at a time: a lock that frees itself when its process dies, however it dies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from sqlalchemy import text

from data.errors import StoreError

if TYPE_CHECKING:
    from pipeline.session import Session


@contextmanager
def campaign_lock(session: Session) -> Iterator[None]:
    """Hold the campaign for this process: a file lock beside an SQLite store, an advisory lock inside PostgreSQL.

    Raises:
        StoreError: another process runs this campaign.
    """
    hold = _in_database if session.store.engine.dialect.name == "postgresql" else _beside_the_store
    with hold(session):
        yield


@contextmanager
def _beside_the_store(session: Session) -> Iterator[None]:
    lock = FileLock(session.own_folder() / "run.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise _busy(session) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _in_database(session: Session) -> Iterator[None]:
    """The lock belongs to one connection, so it holds for every machine that works on this store."""
    key = int.from_bytes(bytes.fromhex(session.campaign_id)[:8], signed=True)
    with session.store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not connection.scalar(text("select pg_try_advisory_lock(:key)"), {"key": key}):
            raise _busy(session)
        try:
            yield
        finally:
            connection.execute(text("select pg_advisory_unlock(:key)"), {"key": key})


def _busy(session: Session) -> StoreError:
    return StoreError(
        f"campaign '{session.spec.name}' is already running on this store. Wait for it, or stop it; then run again."
    )
