"""Opening the store's database: SQLite in WAL mode by default, PostgreSQL by URL, migrated by Alembic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from data.errors import StoreError

HEAD = "0001"
"""Newest revision in `data/migrations/versions`; a test holds it against the folder."""


def store_url(where: str | Path) -> str:
    """Database URL of a path or URL: ``runs/redoxa.db`` -> ``sqlite:///runs/redoxa.db``."""
    where = str(where)
    if "://" not in where:
        return f"sqlite:///{where}"
    return where.replace("postgresql://", "postgresql+psycopg://", 1).replace("postgres://", "postgresql+psycopg://", 1)


def open_engine(where: str | Path, *, create: bool = True) -> Engine:
    """Open the database and bring its schema to the newest revision.

    Args:
        where: a file path, or an SQLAlchemy URL.
        create: make the file and the tables when there are none.

    Raises:
        StoreError: it does not exist (with ``create=False``), cannot be opened, or was made by a newer Redoxa.
    """
    url = store_url(where)
    file = Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None
    if file is not None and not file.exists():
        if not create:
            raise StoreError(f"{file}: there is no store here yet. Run a campaign first (redoxa run FILE).")
        file.parent.mkdir(parents=True, exist_ok=True)
    try:
        engine = create_engine(url)
        if file is not None:
            event.listen(engine, "connect", _configure_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
        _migrate(engine)
    except (ArgumentError, NoSuchModuleError, DBAPIError, ModuleNotFoundError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise StoreError(f"{engine_name(url)}: the store cannot be opened: {reason}") from error
    return engine


def engine_name(url: str) -> str:
    """The URL without its password, fit for a message."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rsplit('@', 1)[-1]}"


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
                raise StoreError(
                    f"{engine_name(str(engine.url))}: made by a newer Redoxa (revision {revision}, "
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
