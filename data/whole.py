"""Files that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A draft beside `path`, with its ending, that takes its place once it is written without an error.

    What stood there before stays until then, and a broken draft is removed. Folders are made. What is no ordinary
    file (a pipe, a device) is written to as it is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():
        yield path
        return
    draft = path.with_name(f".{path.stem}.redoxa-part{path.suffix}")
    try:
        yield draft
        draft.replace(path)
    except OSError as error:
        if error.filename is not None and Path(error.filename) == draft:
            error.filename = str(path)
        raise
    finally:
        draft.unlink(missing_ok=True)
