"""Opening the store's database: SQLite in WAL mode by default, PostgreSQL by URL, migrated by Alembic."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event, func, inspect, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, InterfaceError, NoSuchModuleError, OperationalError

from redoxa.data.errors import LostStoreError, StoreError, UnusableStoreError
from redoxa.data.storage.patience import Result, persist

HEAD = "0004"
"""Newest revision in `data/migrations/versions`; a test holds it against the folder."""

MIGRATION = 7234304
"""Key of the advisory lock on PostgreSQL under which the schema is looked at and changed."""

BUSY_S = 60
"""How long an SQLite writer waits for the one before it."""


def store_url(where: str | Path) -> str:
    """Database URL of a path or URL: ``runs/redoxa.db`` -> ``sqlite:///runs/redoxa.db``."""
    where = str(where)
    if "://" not in where:
        return f"sqlite:///{where}"
    return where.replace("postgresql://", "postgresql+psycopg://", 1).replace("postgres://", "postgresql+psycopg://", 1)


def store_file(where: str | Path) -> Path | None:
    """The file of an SQLite store; None of any other."""
    url = store_url(where)
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


def open_engine(where: str | Path, *, create: bool = True) -> Engine:
    """Open the database and bring its schema to the newest revision.

    A file that cannot be written is opened for reading alone.

    Args:
        where: a file path, or an SQLAlchemy URL.
        create: make the file and the tables when there are none.

    Raises:
        UnusableStoreError: it does not exist (with ``create=False``), cannot be opened, or was made by a newer Redoxa.
        StoreError: it cannot be opened now; a server that is just starting is waited for. Later on, from any use of
            the engine: it cannot go on (`LostStoreError` where trying again may help; see `in_transaction`).
    """
    if not str(where).strip():
        raise UnusableStoreError("--store: names no store. Give the path of a file, or a URL.")
    url, file = store_url(where), store_file(where)
    if file is not None and not file.exists():
        if not create:
            raise UnusableStoreError(f"{file}: there is no store here yet. Run a campaign first (redoxa run FILE).")
        file.parent.mkdir(parents=True, exist_ok=True)
    try:
        engine = create_engine(_reading(file) if file is not None and _is_read_only(file) else url, **_options(url))
        event.listen(engine, "handle_error", lambda context: _told(context, file or store_name(url)))
        if file is not None:
            event.listen(engine, "connect", _configure_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
        persist(lambda: _migrate_once_started(engine))
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError, ValueError) as error:
        raise UnusableStoreError(
            f"{store_name(url)}: the store cannot be opened: {_first_line(error)}. Give the path of a file, or a URL "
            "like postgresql://user@host:5432/name."
        ) from error
    return engine


def _options(url: str) -> dict[str, Any]:
    """Of an engine: a server's connections are looked at before use, and a server that does not answer is not awaited.

    Read committed is what the queue's locks count on: who has waited for one sees what the other wrote.
    """
    if url.startswith("sqlite:"):
        return {}
    options: dict[str, Any] = {"pool_pre_ping": True, "isolation_level": "READ COMMITTED"}
    if url.startswith("postgresql") and "connect_timeout" not in make_url(url).query:
        options["connect_args"] = {"connect_timeout": 10}
    return options


def _is_read_only(file: Path) -> bool:
    return file.exists() and not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK))


def _reading(file: Path) -> str:
    """URL for reading alone: without locks, which SQLite would keep beside it, unless a writer left some there."""
    quiet = not file.with_name(f"{file.name}-wal").exists()
    return f"sqlite:///file:{quote(str(file.resolve()))}?mode=ro&immutable={int(quiet)}&uri=true"


ADVICE = {
    "is not a database": "Give the path of a store, or move the file away.",
    "malformed": "The file is damaged: take a copy of it, or begin another store with --store.",
    "disk is full": "Free some space and run again; what was finished is kept.",
    "disk I/O error": "Look at the disk (full, over quota, gone?) and run again; what was finished is kept.",
    "readonly": "It can only be read here: copy it to a folder that can be written, and name that with --store.",
    "unable to open": "Look whether the path is right and its folder can be written.",
    "read-only transaction": "It can only be read through this URL: take one of a role and a server that can write.",
    "permission denied": "Ask who keeps the database for the right to write.",
    "locked": "Another program holds it; run again when that is done.",
}
"""What to do, by what the database says."""


STARTING = ("starting up", "shutting down", "recovery mode", "not yet accepting", "too many clients")
"""What a server says that will answer in a moment."""

LASTING = ("authentication failed", "does not exist", "no pg_hba.conf entry", "no password supplied")
"""What a server says to a client that need not try again."""

FORBIDDEN = ("25006", "42501")
"""SQLSTATEs of what may only be read."""

PASSING = ("40001", "40P01", "57P01", "57P02", "57P03")
"""SQLSTATEs: lost against another transaction (nothing was written), or the server stops or starts."""


def _told(context: ExceptionContext, name: Path | str) -> None:
    """Turn a database that fails into one line; mistakes in a statement stay what they are."""
    error = context.sqlalchemy_exception
    if context.is_pre_ping:  # the pool opens another connection
        return
    is_forbidden = getattr(context.original_exception, "sqlstate", None) in FORBIDDEN
    is_failure = isinstance(error, OperationalError | InterfaceError) or type(error) is DatabaseError
    if error is None or not (is_failure or is_forbidden):
        return
    reason = _first_line(error)
    gone = "Look whether the database runs and answers there, and run again; what was finished is kept."
    advice = next((text for words, text in ADVICE.items() if words in reason), gone)
    told = f"{name}: the store cannot be {{}}: {reason}. {advice}"
    if "is not a database" in reason or "unable to open" in reason:
        raise UnusableStoreError(told.format("opened")) from error
    raise (LostStoreError if _may_pass(context, reason) else StoreError)(told.format("used")) from error


def _may_pass(context: ExceptionContext, reason: str) -> bool:
    """Whether the same transaction may well succeed in a moment."""
    if context.dialect.name == "sqlite":
        return False
    could_not_connect = context.connection is None and not any(words in reason for words in LASTING)
    lost = getattr(context.original_exception, "sqlstate", None) in PASSING
    return context.is_disconnect or could_not_connect or lost


def _first_line(error: BaseException) -> str:
    lines = str(getattr(error, "orig", None) or error).splitlines() or [type(error).__name__]
    # Several addresses were tried (localhost has two): the first line only says so, the last tells what came of it.
    return (lines[-1].strip("- ") if lines[0].startswith("Multiple connection attempts") else lines[0]).rstrip(".")


def store_name(where: str | Path) -> str:
    """The path of a store, or its URL without user and password: what may stand in a message, a page or a log."""
    scheme, found, rest = str(where).partition("://")
    if not found or scheme == "sqlite":
        return rest.removeprefix("/") or scheme
    return f"{scheme}://{rest.rsplit('@', 1)[-1].partition('?')[0]}"


def _configure_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver's own transaction handling is switched off so that `_begin_sqlite` decides how one begins.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={BUSY_S * 1000}")
    _use_wal(connection)
    for pragma in ("synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL; SQLite does not wait for others here, whatever its timeout, so the waiting is done here."""
    end = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    # A write transaction takes its lock at once: upgrading a read lock later could fail under several writers.
    immediate = connection.get_execution_options().get("write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes: commits at the end, rolls back on an exception, waits its turn under SQLite.

    It cannot be repeated when the connection drops; `in_transaction` can.
    """
    with engine.connect().execution_options(write=True) as connection, connection.begin():
        yield connection


def aware(value: datetime) -> datetime:
    """The time with its zone: SQLite keeps none, and everything that is written is UTC."""
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def in_transaction(
    engine: Engine, work: Callable[[Connection], Result], is_written: Callable[[Connection], bool] | None = None
) -> Result:
    """Do `work` in one transaction that writes; all of it again, for some 30 s, when the connection drops meanwhile.

    An attempt that was cut off before its COMMIT left nothing behind. One whose COMMIT got no answer may have been
    written or not, so `work` is done again only where that is harmless: either a second time changes nothing (rows
    keyed by content, "insert unless it is there"), or `is_written` finds out, and then the first result is returned.

    Args:
        engine: of the store.
        work: reads and writes through the connection and returns a result; touches nothing outside the database.
        is_written: asked in a new transaction whether `work` was committed before. It waits for an attempt that the
            server may still be committing (a lock that `work` takes too).

    Raises:
        LostStoreError: the database did not come back. What was committed is kept.
    """
    unanswered: list[Result] = []

    def once() -> Result:
        with writing(engine) as connection:
            if unanswered and is_written is not None and is_written(connection):
                return unanswered[-1]
            unanswered.append(work(connection))
        return unanswered[-1]

    return persist(once)


def reading(engine: Engine, work: Callable[[Connection], Result]) -> Result:
    """Do `work`, which only reads, on a connection; again, for some 30 s, when that drops meanwhile."""

    def once() -> Result:
        with engine.connect() as connection:
            return work(connection)

    return persist(once)


def _migrate_once_started(engine: Engine) -> None:
    """Migrate; a server that is starting is worth waiting for, one that is not there may be a mistyped address."""
    try:
        _migrate(engine)
    except LostStoreError as error:
        if any(words in str(error) for words in STARTING) or _is_lost_race(error):
            raise
        raise StoreError(str(error)) from error.__cause__


def _is_lost_race(error: LostStoreError) -> bool:
    return getattr(getattr(error.__cause__, "orig", None), "sqlstate", None) in PASSING


def _migrate(engine: Engine) -> None:
    """Run the migrations that are missing; refuse a database from a newer version.

    Any number of processes may do so at once: who comes first migrates, the others wait and find it done.
    """
    with engine.connect() as connection:
        if _is_newest(connection):
            return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(MIGRATION)))
        if not _is_newest(connection):
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _is_newest(connection: Connection) -> bool:
    """Whether the schema is the one of this version.

    Raises:
        UnusableStoreError: it is of a newer one.
    """
    if "alembic_version" not in inspect(connection).get_table_names():
        return False
    revision = connection.execute(text("select version_num from alembic_version")).scalar()
    if revision is not None and revision > HEAD:
        raise UnusableStoreError(
            f"{store_name(str(connection.engine.url))}: made by a newer Redoxa (revision {revision}, this one knows "
            f"{HEAD}). Upgrade Redoxa."
        )
    return bool(revision == HEAD)
