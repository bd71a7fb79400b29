"""Opening the store's database: SQLite in WAL mode by default, PostgreSQL by URL, migrated by Alembic."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event, inspect, text
from sqlalchemy.exc import ArgumentError, DatabaseError, InterfaceError, NoSuchModuleError, OperationalError

from data.errors import StoreError, UnusableStoreError

HEAD = "0001"
"""Newest revision in `data/migrations/versions`; a test holds it against the folder."""


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
        StoreError: it cannot be opened now. Later on, from any use of the engine: it cannot go on.
    """
    if not str(where).strip():
        raise UnusableStoreError("--store: names no store. Give the path of a file, or a URL.")
    url, file = store_url(where), store_file(where)
    if file is not None and not file.exists():
        if not create:
            raise UnusableStoreError(f"{file}: there is no store here yet. Run a campaign first (redoxa run FILE).")
        file.parent.mkdir(parents=True, exist_ok=True)
    try:
        engine = create_engine(_reading(file) if file is not None and _is_read_only(file) else url)
        event.listen(engine, "handle_error", lambda context: _told(context, file or store_name(url)))
        if file is not None:
            event.listen(engine, "connect", _configure_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
        _migrate(engine)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError, ValueError) as error:
        raise UnusableStoreError(
            f"{store_name(url)}: the store cannot be opened: {_first_line(error)}. Give the path of a file, or a URL "
            "like postgresql://user@host:5432/name."
        ) from error
    return engine


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
    "locked": "Another program holds it; run again when that is done.",
}
"""What to do, by what the database says."""


def _told(context: ExceptionContext, name: Path | str) -> None:
    """Turn a database that fails into one line; mistakes in a statement stay what they are."""
    error = context.sqlalchemy_exception
    if not isinstance(error, OperationalError | InterfaceError) and type(error) is not DatabaseError:
        return
    reason = _first_line(error)
    gone = "Look whether the database runs and answers there, and run again; what was finished is kept."
    advice = next((text for words, text in ADVICE.items() if words in reason), gone)
    told = f"{name}: the store cannot be {{}}: {reason}. {advice}"
    if "is not a database" in reason or "unable to open" in reason:
        raise UnusableStoreError(told.format("opened")) from error
    raise StoreError(told.format("used")) from error


def _first_line(error: BaseException) -> str:
    return (str(getattr(error, "orig", None) or error).splitlines() or [type(error).__name__])[0].rstrip(".")


def store_name(where: str | Path) -> str:
    """The path of a store, or its URL without user and password: what may stand in a message, a page or a log."""
    scheme, found, rest = str(where).partition("://")
    if not found or scheme == "sqlite":
        return rest.removeprefix("/") or scheme
    return f"{scheme}://{rest.rsplit('@', 1)[-1].partition('?')[0]}"


def _configure_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own transaction handling is switched off so that `_begin_sqlite` decides how one begins.
    connection.isolation_level = None
    for pragma in ("busy_timeout=60000", "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A write transaction takes its lock at once: upgrading a read lock later could fail under several writers.
    immediate = connection.get_execution_options().get("write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes: commits at the end, rolls back on an exception, waits its turn under SQLite."""
    with engine.connect().execution_options(write=True) as connection, connection.begin():
        yield connection


def _migrate(engine: Engine) -> None:
    """Run the migrations that are missing; refuse a database from a newer version."""
    with engine.connect() as connection:
        tables = inspect(connection).get_table_names()
        if "alembic_version" in tables:
            revision = connection.execute(text("select version_num from alembic_version")).scalar()
            if revision == HEAD:
                return
            if revision is not None and revision > HEAD:
                raise UnusableStoreError(
                    f"{store_name(str(engine.url))}: made by a newer Redoxa (revision {revision}, "
                    f"this one knows {HEAD}). "
                    "Upgrade Redoxa."
                )
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.connect().execution_options(write=True) as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
