"""Ctrl-C and SIGTERM: the command ends within seconds, with one line that says what is kept and how to go on.

What runs is unwound as after any error. A thread of its own sees to the end where that takes too long: while a large
library is imported, or where one waits for its own threads. Imports nothing heavy: it works from the first moment.
"""

from __future__ import annotations

import logging
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from redoxa.data.errors import RedoxaError

PATIENCE_s = 5.0
"""How long the unwinding may take."""

COUNTING_s = 2.0
"""How long it may take to look up what is kept."""

FINISHED = "what was finished is kept"

_heard: list[int] = []
_kept: list[Callable[[], str]] = []


def keeps(kept: Callable[[], str]) -> None:
    """From now on an interruption is told with what `kept` returns, in a thread of its own and once at most."""
    _kept[:] = [kept]


def words() -> str:
    """What an interruption leaves, and the command that goes on."""
    found = [FINISHED]

    def look() -> None:
        with suppress(RedoxaError, OSError):
            found.extend(kept() for kept in _kept)

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    looking.join(COUNTING_s)
    return f"interrupted; {found[-1]}; to go on: {shlex.join(['redoxa', *sys.argv[1:]])}"


def code() -> int:
    """Exit code of an interruption: 130, or 143 by SIGTERM."""
    return 128 + (_heard[0] if _heard else signal.SIGINT)


def complain(message: str, exit_code: int) -> None:
    """Say what is wrong: to people on stderr, to machines on stdout too."""
    if "--json" in sys.argv:
        from redoxa.pipeline.commands.console import emit

        emit("error", error=message, exit_code=exit_code)
    sys.stderr.write(f"redoxa: {message}\n")


@contextmanager
def interruptible() -> Iterator[None]:
    """A block that SIGINT and SIGTERM end, and the process with it: exit code 130 or 143, no traceback."""
    hears, tells = os.pipe()
    os.set_blocking(tells, False)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    # Written to whoever handles the signal: Prefect puts a handler of its own in the place of ours.
    signal.set_wakeup_fd(tells, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(hears,), daemon=True).start()
    try:
        yield
    except BaseException as error:
        if _heard:
            _end(said=isinstance(error, SystemExit))
        raise


def _interrupt(number: int, _frame: object) -> None:
    if not _heard:
        _heard.append(number)
        # Where it lands in a callback or in the closing of a connection, it is told as a fault of these.
        sys.unraisablehook = lambda _told: None
        logging.disable()
        raise KeyboardInterrupt


def _watch(hears: int) -> None:
    while (number := os.read(hears, 1)[0]) not in (signal.SIGINT, signal.SIGTERM):
        pass
    time.sleep(PATIENCE_s)
    _heard.append(number)
    _end(said=False)


def _end(*, said: bool) -> None:
    """End this process now: what its libraries have left to do concerns nobody any more."""
    with suppress(OSError):
        if not said:
            complain(words(), code())
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code())
