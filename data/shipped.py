"""Files that come with the package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

ASSETS = Path(str(files("redoxa.data") / "assets"))
"""Their folder."""


def shipped(name: str) -> Path:
    """A file of `data/assets`, e.g. ``orbits.safetensors``; beside it lies where it comes from (`data.provenance`)."""
    return ASSETS / name
