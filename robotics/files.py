"""Files that are whole or not there, and names that stay in their folder."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from redoxa.data.errors import DriverError

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def safe_name(name: str) -> str:
    """The name, if it can be a file name on any system and leads nowhere else.

    Raises:
        DriverError: it cannot.
    """
    if not _SAFE_NAME.fullmatch(name) or ".." in name:
        raise DriverError(f"'{name}' cannot be a file name here: letters, digits, '.', '_' and '-' only")
    return name


def write_atomic(path: Path, text: str) -> None:
    """Write a file so that a reader, or a crash, meets the old or the new content and nothing between."""
    temporary = _write_beside(path, text)
    os.replace(temporary, path)


def create_atomic(path: Path, text: str) -> bool:
    """Write a file unless it exists; True when this call made it. Of two at once, one wins.

    Raises:
        OSError: it cannot be written.
    """
    temporary = _write_beside(path, text)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _create_locked(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
    return True


_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
"""What file systems without hard links (FAT, many network shares) answer."""
LOCK_STALE_S = 10.0
LOCK_WAIT_S = 2.0


def _create_locked(temporary: str, path: Path) -> bool:
    """Rename a file to a name that is free, under a lock beside it; the content is whole all the same."""
    lock = path.with_name(f".{path.name}.lock")
    end = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
            break
        except FileExistsError:
            with suppress(FileNotFoundError):
                if time.time() - os.lstat(lock).st_mtime > LOCK_STALE_S:  # its maker died within an instant's work
                    os.unlink(lock)
            if time.monotonic() > end:
                raise OSError(errno.EAGAIN, "somebody else is writing it", str(path)) from None
            time.sleep(0.01)
    try:
        if os.path.lexists(path):
            return False
        os.rename(temporary, path)
        return True
    finally:
        os.unlink(lock)


def _write_beside(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    with suppress(OSError):  # file systems without rights refuse it
        os.chmod(temporary, 0o644)
    return temporary


def open_plain(path: Path) -> BinaryIO:
    """Open a plain file for reading. Waits for nothing and follows no link.

    Raises:
        FileNotFoundError: it is not there.
        DriverError: it is something else (a link, a folder, a pipe), or cannot be read.
    """
    if kind := what_else(path):
        raise DriverError(f"{kind}; put the file itself here")
    try:
        # A pipe or a device may take its place after the look: opened so, none of them makes us wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DriverError(f"cannot be read: {error.strerror}") from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or not found.st_mode & 0o444:
        os.close(descriptor)
        unlike = "nobody may read it (mode 000)" if stat.S_ISREG(found.st_mode) else "not a plain file"
        raise DriverError(f"{unlike}; put the file itself here, readable")
    return os.fdopen(descriptor, "rb")


def what_else(path: Path) -> str:
    """What is there where a plain file should be; empty where it is one.

    Raises:
        FileNotFoundError: nothing is there.
    """
    mode = os.lstat(path).st_mode
    if stat.S_ISREG(mode):
        return ""
    return next((word for is_kind, word in _KINDS if is_kind(mode)), "something that is no file")


_KINDS = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe (FIFO)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def read_plain(path: Path, max_bytes: int) -> bytes:
    """Bytes of a plain file that is not too large.

    Raises:
        FileNotFoundError: it is not there.
        DriverError: see `open_plain`; or it holds more than `max_bytes`.
    """
    with open_plain(path) as file:
        try:
            found = file.read(max_bytes + 1)
        except OSError as error:
            raise DriverError(f"cannot be read: {error.strerror}") from error
    if len(found) > max_bytes:
        raise DriverError(f"larger than {max_bytes} bytes")
    return found


def sha256_of(path: Path) -> str:
    """sha256 of a plain file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with open_plain(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def listing_sha256(hashes: dict[str, str]) -> str:
    """One hash for several files: that of the only file, else that of the sorted listing ``sha256  name``."""
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    if not hashes:
        return ""
    listing = "".join(f"{digest}  {name}\n" for name, digest in sorted(hashes.items()))
    return hashlib.sha256(listing.encode()).hexdigest()
