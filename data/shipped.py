"""Files that come with the package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def shipped(name: str) -> Path:
    """A file of `data/assets`, e.g. ``orbits.safetensors``; beside it lies where it comes from (`data.provenance`)."""
    return Path(str(files("data") / "assets" / name))
