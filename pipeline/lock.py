"""One run of a campaign at a time: a lock that frees itself when its process dies, however it dies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from sqlalchemy import Connection, text

from data.errors import StoreError
from data.patience import persist

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
    """The lock belongs to one connection, so it holds for every machine that works on this store.

    A server that restarts, or a connection that drops, frees it, and the run goes on: a second run that begins then
    computes some things twice, and loses nothing, since every row is keyed.
    """
    key = int.from_bytes(bytes.fromhex(session.campaign_id)[:8], signed=True)
    connection = persist(lambda: _locked(session, key))
    try:
        yield
    finally:
        # Where the connection has dropped, there is nothing to free, and what the run itself says comes first.
        with suppress(StoreError), connection:
            connection.execute(text("select pg_advisory_unlock(:key)"), {"key": key})


def _locked(session: Session, key: int) -> Connection:
    """A connection that holds the lock."""
    connection = session.store.engine.connect()
    try:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        if connection.scalar(text("select pg_try_advisory_lock(:key)"), {"key": key}):
            return connection
    except StoreError:
        connection.close()
        raise
    connection.close()
    raise _busy(session)


def _busy(session: Session) -> StoreError:
    return StoreError(
        f"campaign '{session.spec.name}' is already running on this store. Wait for it, or stop it; then run again."
    )
