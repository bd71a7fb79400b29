"""The stop mark: a file that every worker obeys, with or without a store.

While it is there, nothing is claimed, started or sent. It lies where ``REDOXA_STOP`` says, else beside the laboratory
file that ``REDOXA_LABORATORY`` names, else in the working folder; workers look in all of these. What cannot be looked
at counts as a stop: a laboratory that does not know stands still.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from redoxa.data.errors import DriverError, InputError
from redoxa.robotics.files import create_atomic, read_plain
from redoxa.robotics.set_aside import plain_text

STOP: Final = "REDOXA_STOP"
"""Environment variable that names the mark."""
NAME: Final = "laboratory.stop"
LABORATORY: Final = "REDOXA_LABORATORY"
NOT_AUDITED: Final = ".not-audited"
"""Ending of a mark that is over and not on the audit trail yet: the store was away."""
MAX_BYTES: Final = 1 << 16


@dataclass(frozen=True)
class Mark:
    """A stop mark that is there.

    Attributes:
        path: where.
        text: who stopped the laboratory, when and why, on one line.
    """

    path: Path
    text: str


def stop_paths() -> list[Path]:
    """Where marks are looked for; a new one is written to the first."""
    if named := os.environ.get(STOP):
        return [Path(named).expanduser().absolute()]
    here = Path(NAME).absolute()
    laboratory = os.environ.get(LABORATORY)
    beside = here if not laboratory else Path(laboratory).expanduser().absolute().with_name(NAME)
    return list(dict.fromkeys((beside, here)))


def find_mark(paths: Sequence[Path] | None = None) -> Mark | None:
    """The first mark that is there."""
    for path in stop_paths() if paths is None else paths:
        try:
            os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            return Mark(path, f"nobody can say whether, {path} cannot be looked at: {error.strerror}")
        return Mark(path, _read(path))
    return None


def stop_reason() -> str:
    """Why nothing may be sent now; empty where nothing stands in the way. What a worker asks before each step."""
    mark = find_mark()
    return "" if mark is None else f"stopped: {mark.text} ({mark.path})"


def write_mark(by: str, why: str, now: datetime | None = None) -> tuple[Mark, bool]:
    """Stop the laboratory; whether this call did. A mark that is there stays as it is.

    Raises:
        DriverError: it can be written nowhere; pull the plug.
    """
    if (found := find_mark()) is not None:
        return found, False
    at = (now or datetime.now(UTC)).isoformat(timespec="seconds")
    text = f"by {plain_text(by)} at {at}: {plain_text(why)}"
    told = []
    for path in stop_paths():
        try:
            made = create_atomic(
                path, f"stopped {text}\nNothing is sent while this file is here. Go on: redoxa lab resume\n"
            )
        except OSError as error:
            told.append(f"{path}: {error.strerror}")
            # An empty file stops too, and may be possible where no words are (a full disk).
            with suppress(OSError):
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
                return Mark(path, text), True
            continue
        return Mark(path, text), made
    raise DriverError(f"the stop mark cannot be written ({'; '.join(told)}). Stop the workers themselves")


def lift_marks(now: datetime | None = None) -> list[Mark]:
    """Move every mark to ``laboratory.stop.DATE.not-audited``, so that work can go on; the marks, where they are now.

    Raises:
        InputError: nothing is stopped.
        DriverError: a mark cannot be moved.
    """
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%S")
    lifted = []
    while (mark := find_mark()) is not None:
        target = _free(mark.path.with_name(f"{mark.path.name}.{stamp}"))
        try:
            os.rename(mark.path, target)
        except OSError as error:
            raise DriverError(f"{mark.path} cannot be moved: {error.strerror}. Remove it to go on") from error
        lifted.append(Mark(target, mark.text))
    if not lifted:
        raise InputError(f"nothing is stopped: there is no {' nor '.join(map(str, stop_paths()))}")
    return lifted


def not_audited() -> list[Mark]:
    """Marks that are over, and of which the audit trail does not tell yet."""
    found = [p for path in stop_paths() for p in sorted(path.parent.glob(f"{path.name}.*{NOT_AUDITED}"))]
    return [Mark(path, _read(path)) for path in found]


def audited(mark: Mark) -> Path:
    """Say that the audit trail tells of a mark; where it is now."""
    target = mark.path.with_name(mark.path.name.removesuffix(NOT_AUDITED))
    os.rename(mark.path, target)
    return target


def _free(path: Path) -> Path:
    target, n = path, 1
    while os.path.lexists(target) or os.path.lexists(f"{target}{NOT_AUDITED}"):
        target, n = path.with_name(f"{path.name}.{n}"), n + 1
    return target.with_name(f"{target.name}{NOT_AUDITED}")


def _read(path: Path) -> str:
    try:
        text = read_plain(path, MAX_BYTES).decode("utf-8", "replace")
    except (OSError, DriverError) as error:
        return f"it does not say by whom ({plain_text(str(error))})"
    return plain_text(text.partition("\n")[0]).removeprefix("stopped ").strip() or "it does not say by whom"
