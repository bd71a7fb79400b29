"""What all tests share: Ctrl-C as in a terminal, two processes, what was skipped, and PostgreSQL where it is installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from xdist.scheduler import LoadScopeScheduling

SOCKET_PORT = 54329
OWNER = "postgres" if os.name == "posix" and os.getuid() == 0 else None
"""Who runs PostgreSQL, which refuses to run as root."""


def pytest_configure() -> None:
    """Undo that Ctrl-C is ignored, as a shell has it for what a script puts in the background: children inherit it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class ByFolder(LoadScopeScheduling):
    """With `-n 2`, a folder is done by one process: what its tests share is made once, and campaigns come one by one."""

    def _split_scope(self, nodeid: str) -> str:
        room = nodeid.partition("::")[0].rpartition("/")[0].split("/")
        return "/".join(room[:3])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFolder:
    """Folders, in their order: the campaigns, which take longest, first."""
    return ByFolder(config, log)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many tests were skipped, and why."""
    skipped = Counter(
        report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.stats.get("skipped", [])
    )
    terminalreporter.write_line(f"{skipped.total()} tests skipped")
    for reason, count in skipped.most_common():
        terminalreporter.write_line(f"  {count}: {reason}")


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
    if _programs() is None:
        pytest.skip("PostgreSQL is not installed here (apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="redoxa-"))
    if OWNER is not None:
        shutil.chown(folder, OWNER)
    _run_there(folder, "initdb", "-D", str(folder / "data"), "-U", "redoxa", "--auth=trust", "--no-sync")
    url = f"postgresql://redoxa@/postgres?host={folder}&port={SOCKET_PORT}"
    pg_ctl(url, "start")
    try:
        yield url
    finally:
        pg_ctl(url, "stop", "-m", "immediate")
        shutil.rmtree(folder, ignore_errors=True)


def pg_ctl(url: str, *args: str) -> None:
    """Start, stop or restart the server of `postgres_server`, and wait for it."""
    folder = parse_qs(urlsplit(url).query)["host"][0]
    options = f"-k {folder} -p {SOCKET_PORT} -c listen_addresses='' -c fsync=off"
    _run_there(Path(folder), "pg_ctl", "-D", f"{folder}/data", "-o", options, "-l", f"{folder}/log", "-w", *args)


def _run_there(folder: Path, program: str, *args: str) -> None:
    command = [str((_programs() or folder) / program), *args]
    subprocess.run(command, user=OWNER, cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=120)
