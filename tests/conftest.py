"""What all tests share: Ctrl-C as in a terminal, and a real PostgreSQL server where its programs are installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

SOCKET_PORT = 54329


def pytest_configure() -> None:
    """Undo that Ctrl-C is ignored, as a shell has it for what a script puts in the background: children inherit it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _programs() -> Path | None:
    """Folder with `initdb` and `pg_ctl`, the newest of Debian's or the one on the PATH."""
    on_path = shutil.which("pg_ctl")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    found = Path(on_path) if on_path else (debian[-1] if debian else None)
    return found.parent if found else None


@pytest.fixture
def postgres(postgres_server: str) -> str:
    """URL of an empty database, so that no test finds what another left."""
    import psycopg

    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return postgres_server.replace("@/postgres?", f"@/{name}?")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a PostgreSQL server of our own, on a socket in a temporary folder.

    Not pytest's: the path of a socket must be short, and a pytest that starts meanwhile clears old folders of its own.
    """
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed here (apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="redoxa-"))
    user = "postgres" if os.name == "posix" and os.getuid() == 0 else None  # it refuses to run as root
    if user is not None:
        shutil.chown(folder, user)

    def run(program: str, *args: str) -> None:
        command = [str(programs / program), *args]
        subprocess.run(command, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=120)

    data = str(folder / "data")
    run("initdb", "-D", data, "-U", "redoxa", "--auth=trust", "--no-sync")
    options = f"-k {folder} -p {SOCKET_PORT} -c listen_addresses='' -c fsync=off"
    run("pg_ctl", "-D", data, "-o", options, "-l", str(folder / "log"), "-w", "start")
    try:
        yield f"postgresql://redoxa@/postgres?host={folder}&port={SOCKET_PORT}"
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)
