"""Answers of the latent space as pages."""

from __future__ import annotations

from pathlib import Path

from redoxa.data.errors import InputError
from redoxa.data.whole import whole
from redoxa.pipeline.pages.kit.latent_model import Anomalies, Interpolation, Neighbours
from redoxa.pipeline.pages.latent_page import anomalies_page, interpolation_page, neighbours_page

Answer = Interpolation | Neighbours | Anomalies


def page(found: Answer) -> str:
    """The page of an answer, as one HTML text that needs no network."""
    if isinstance(found, Interpolation):
        return interpolation_page(found)
    return neighbours_page(found) if isinstance(found, Neighbours) else anomalies_page(found)


def write_page(found: Answer, path: Path) -> Path:
    """Write the page to a file, whole or not at all; returns the path.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        with whole(path) as draft:
            draft.write_text(page(found), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None
    return path
