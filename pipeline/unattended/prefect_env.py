"""Prefect's surroundings: a quiet environment, and a server on loopback where none is given. Imports no Prefect."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import gettempdir

from filelock import FileLock, Timeout

from redoxa.data.errors import InputError, RedoxaError

QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_SERVER_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_ROOT_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT_CLIENT_MAX_RETRIES": "6",  # each waits twice as long: a flow outlives a server away for two minutes
    "PYTHONSAFEPATH": "1",  # the server and its workers import nothing from the user's folder
}
"""Settings a user may override in the environment. They must stand before Prefect is first imported."""


def quiet_environment(home: Path) -> None:
    """Prepare Prefect's environment: no telemetry, no noise, its database in our own folder."""
    for name, value in {**QUIET, "PREFECT_HOME": str(home.resolve())}.items():
        os.environ.setdefault(name, value)
    home.mkdir(parents=True, exist_ok=True)
    # Shutting the ephemeral server down while events are under way is harmless, but loud.
    for name in ("prefect", "httpx", "httpcore", "asyncio", "uvicorn", "docket"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def ended_in_order() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does, and both end the block without a fault, in their own time."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    watched = signal.set_wakeup_fd(-1)
    try:
        with suppress(KeyboardInterrupt):
            yield
    finally:
        signal.set_wakeup_fd(watched)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def faults_told() -> Iterator[None]:
    """Look whether the server of PREFECT_API_URL answers, and tell in one line where Prefect cannot go on.

    Raises:
        InputError: nothing answers at PREFECT_API_URL.
        RedoxaError: the server did not start, or went away.
    """
    import httpx

    if given := os.environ.get("PREFECT_API_URL"):
        try:
            httpx.get(f"{given.rstrip('/')}/health", timeout=10)  # any answer will do
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise InputError(
                f"PREFECT_API_URL={given}: no Prefect server answers there ({error}). Start it, or unset the variable."
            ) from None
    try:
        yield
    except (httpx.HTTPError, RuntimeError) as error:
        cause: BaseException | None = error
        while cause is not None:  # Ctrl-C reaches the server too, and its end may be what is seen first
            if isinstance(cause, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            cause = cause.__context__
        if isinstance(error, RuntimeError) and not any(x in str(error) for x in ("reach API", "Prefect API")):
            raise
        raise RedoxaError(
            f"Prefect's server failed: {str(error).rstrip('.')}. Run again, or run with --no-prefect; what was "
            "finished is kept."
        ) from error


@contextmanager
def server(timeout_s: float = 120.0) -> Iterator[str]:
    """URL of the Prefect server's API: the one of PREFECT_API_URL, else of one started on loopback meanwhile.

    Not Prefect's own temporary server: Ctrl-C reaches that one before us, and every call then waits for its retries.
    Ours stands in a session of its own, and ends when its standard input does, however this process ends.

    Raises:
        RedoxaError: the server did not come up in time.
    """
    if given := os.environ.get("PREFECT_API_URL"):
        yield given
        return
    with _usual_port() as usual:
        yield from _own_server(_free_port(usual), timeout_s)


@contextmanager
def _usual_port() -> Iterator[int]:
    """Prefect's usual port, or 0 for any, while another command has the usual one or is about to take it."""
    usual = FileLock(Path(gettempdir()) / f"redoxa-port-{os.getuid()}.lock")
    try:
        usual.acquire(timeout=0)
    except Timeout:
        yield 0
        return
    with usual:
        yield 4200


def _own_server(port: int, timeout_s: float) -> Iterator[str]:
    url = f"http://127.0.0.1:{port}/api"
    process, over = _started(url, port), threading.Event()

    def keep_up() -> None:
        """Start it again where it was killed: what it had to do is in its database, and those who ask ask again."""
        nonlocal process
        while not over.is_set():
            if process.poll() is not None:
                process = _started(url, port)
            over.wait(2)

    keeper = threading.Thread(target=keep_up, daemon=True)
    try:
        _wait_for(url, process, timeout_s)
        os.environ["PREFECT_API_URL"] = url
        keeper.start()
        yield url
    finally:
        os.environ.pop("PREFECT_API_URL", None)
        over.set()
        if keeper.ident is not None:
            keeper.join()  # no server is started behind our back
        process.terminate()
        try:
            process.wait(3)  # its database is whole whenever it is killed
        except subprocess.TimeoutExpired:
            process.kill()


def _started(url: str, port: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "redoxa.pipeline.unattended.prefect_env",
            "server",
            "start",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PREFECT_UI_API_URL": url, **os.environ},  # else its page asks the server of the usual port
        start_new_session=True,
    )


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # so that a new server stands where the last did
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise RedoxaError("no free port on 127.0.0.1 for the Prefect server")


def _wait_for(url: str, process: subprocess.Popen[bytes], timeout_s: float) -> None:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RedoxaError(
                f"the Prefect server ended with exit code {process.returncode}; try `prefect server start`"
            )
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    raise RedoxaError(f"the Prefect server did not answer at {url} within {timeout_s:g} s")


def _prefect_while_watched() -> None:
    """Run Prefect's command line until standard input ends."""

    def end() -> None:
        os.read(0, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end, daemon=True).start()
    from prefect.cli import app

    app()


if __name__ == "__main__":
    _prefect_while_watched()
