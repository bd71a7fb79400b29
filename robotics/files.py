"""Files that are whole or not there, and names that stay in their folder."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path

from data.errors import DriverError

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
    """Write a file unless it exists; True when this call made it. Of two at once, one wins."""
    temporary = _write_beside(path, text)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(temporary)
    return True


def _write_beside(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(temporary, 0o644)
    return temporary


def sha256_of(path: Path) -> str:
    """sha256 of a file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
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
