"""Putting away what came in, without ever losing or overwriting anything, each refusal with its reason beside it."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from redoxa.data.errors import DriverError
from redoxa.robotics.files import read_plain, write_atomic

REASON = ".reason.txt"
MAX_NAME = 160
"""Bytes of a name, so that a number and the ending of the reason fit behind it."""
MAX_REASON = 600


def put_away(path: Path, folder: Path) -> Path:
    """Move a file, or whatever it is, into a folder under a name that is free there.

    Raises:
        FileNotFoundError: it is not there any more.
        OSError: it cannot be moved; it is left where it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    is_folder = stat.S_ISDIR(os.lstat(path).st_mode)
    clean, n = plain_text(path.name), 0
    stem, suffix = _short(Path(clean).stem), Path(clean).suffix[:16]
    while True:
        target = folder / (f"{stem}.{n}{suffix}" if n else f"{stem}{suffix}")
        try:
            # The name is taken first, so that nothing that is there, or comes at the same time, is written over.
            target.mkdir() if is_folder else target.touch(exist_ok=False)
        except FileExistsError:
            n += 1
            continue
        try:
            os.replace(path, target)
        except OSError:
            target.rmdir() if is_folder else target.unlink()
            raise
        return target


def set_aside(path: Path, folder: Path, reason: str) -> str:
    """Move a refused file into a folder with its reason beside it; the reason as it was written.

    What cannot be moved is left where it is, with the reason beside it where that can be written.
    """
    try:
        kept = put_away(path, folder)
    except FileNotFoundError:
        raise
    except OSError as error:
        kept, reason = path, f"{reason}. It cannot be moved to {folder}: {error.strerror}"
    text = plain_text(reason)[:MAX_REASON]
    # The file is aside already: a reason that cannot be written is still told by whoever asked.
    with suppress(OSError):
        write_atomic(kept.with_name(f"{kept.name}{REASON}"), f"{text}\n")
    return text


def refused(folder: Path) -> dict[Path, str]:
    """Refused files that lie in a folder still, with their reasons."""
    found: dict[Path, str] = {}
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(REASON))
    except OSError:
        return found
    for name in names:
        path = folder / name.removesuffix(REASON)
        if not os.path.lexists(path):
            continue
        try:
            found[path] = plain_text(read_plain(folder / name, 1 << 16).decode("utf-8", "replace").strip())
        except (OSError, DriverError) as error:
            found[path] = f"refused; its reason cannot be read ({error})"
    return found


def plain_text(text: str) -> str:
    """Text for one line of any terminal: what cannot be shown is a question mark."""
    readable = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace("\ufffd", "?")
    return "".join(letter if letter.isprintable() else " " if letter in "\n\t" else "?" for letter in readable)


def _short(stem: str) -> str:
    return stem.encode("utf-8")[:MAX_NAME].decode("utf-8", "ignore")
