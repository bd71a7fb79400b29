"""Locks that free themselves when their process dies, however it dies.

One says that a campaign is running, so that it runs once at a time; one says that the process of a scheduled run lives.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from sqlalchemy import Connection, text
from sqlalchemy.exc import ResourceClosedError

from redoxa.data.errors import StoreError
from redoxa.data.storage.patience import persist

if TYPE_CHECKING:
    from redoxa.pipeline.campaign.session import Session


@contextmanager
def campaign_lock(session: Session) -> Iterator[Callable[[], None]]:
    """Hold the campaign for this process: a file lock beside an SQLite store, an advisory lock inside PostgreSQL.

    Yields a function that makes sure that it still is held; call it before each piece of work.

    Raises:
        StoreError: another process runs this campaign; also from the function.
    """
    hold = _in_database if session.store.engine.dialect.name == "postgresql" else _beside_the_store
    with hold(session) as still_held:
        yield still_held


@contextmanager
def _beside_the_store(session: Session) -> Iterator[Callable[[], None]]:
    lock = FileLock(session.own_folder() / "run.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise _busy(session) from None
    try:
        yield lambda: None  # nothing but the end of this process takes it away
    finally:
        lock.release()


@contextmanager
def _in_database(session: Session) -> Iterator[Callable[[], None]]:
    """The lock belongs to one connection, so it holds for every machine that works on this store.

    A server that restarts, or a connection that drops, frees it: it is taken again before the next piece of work. A
    second run that begins between the two computes some things twice, and loses nothing, since every row is keyed; the
    first then finds it gone, and ends.
    """
    key = int.from_bytes(bytes.fromhex(session.campaign_id)[:8], signed=True)
    connection = persist(lambda: _locked(session, key))

    def still_held() -> None:
        nonlocal connection
        try:
            connection.execute(text("select 1"))
        except StoreError:
            connection.close()
            connection = persist(lambda: _locked(session, key))

    try:
        yield still_held
    finally:
        # Where the connection has dropped, there is nothing to free, and what the run itself says comes first.
        with suppress(StoreError, ResourceClosedError), connection:
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


def run_lock(run_id: str) -> Path:
    """File that the process of a scheduled run locks for as long as it lives."""
    return Path(os.environ["PREFECT_HOME"]) / "redoxa-runs" / f"{run_id}.lock"


def live_with_parent(run_id: str) -> None:
    """Where `redoxa serve` has started this process: show that it lives, and end it when that ends, however it does.

    Nothing is lost by it: what is finished is in the store.
    """
    if (parent := multiprocessing.parent_process()) is None:
        return
    path = run_lock(run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    lock.acquire(timeout=10)

    def watch() -> None:
        parent.join()
        lock.release()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()  # it keeps the lock to the last moment of the process


def is_alive(run_id: str) -> bool | None:
    """Whether the process of a scheduled run lives; None where this machine has not seen it begin."""
    path = run_lock(run_id)
    if not path.exists():
        return None
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def forget_runs(but: set[str]) -> None:
    """Remove the lock files of runs that are over."""
    for path in run_lock("any").parent.glob("*.lock"):
        if path.stem not in but and not is_alive(path.stem):
            path.unlink(missing_ok=True)
