"""A plane through the latent space for maps: where known electrodes lie in it, and where a crystal does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from redoxa.data.errors import InputError
from redoxa.data.records import Crystal
from redoxa.data.shipped import shipped
from redoxa.data.symmetry.skeletons import load_templates
from redoxa.data.tables.template_labels import read_electrode_labels
from redoxa.generators.checkpoint import read_tensors, write_tensors
from redoxa.generators.vae.latent import LatentSpace, Plane, main_plane

FORMAT = "redoxa-latent-map-1"

KNOWN = 600
"""Electrodes in the background."""

LARGEST = 20
"""Atoms of the largest of them; the network has learned no larger cells."""


@dataclass(frozen=True)
class LatentMap:
    """A plane and what is known in it.

    Attributes:
        plane: the two main directions of the known electrodes.
        known: where they lie, float32 [n,2].
        share: of their variance that the plane shows.
        checkpoint_sha256: of the weights that encoded them; a map holds for no others.
    """

    plane: Plane
    known: torch.Tensor
    share: float
    checkpoint_sha256: str


def known_electrodes(count: int = KNOWN, seed: int = 0) -> list[Crystal]:
    """Some of the shipped templates that give an ion back, drawn evenly."""
    table = load_templates()
    atoms = table.compositions.sum(1)
    labels = read_electrode_labels(shipped("electrode_labels.parquet"), table.sha256)
    rows = np.array(sorted({label.template for label in labels if atoms[label.template] <= LARGEST}))
    chosen = np.random.default_rng(seed).permutation(rows)[:count]
    return [table[row].form.to_crystal() for row in np.sort(chosen).tolist()]


def build_map(space: LatentSpace, checkpoint_sha256: str, crystals: Sequence[Crystal]) -> LatentMap:
    """Encode crystals and lay the plane through them."""
    latent = space.encode(crystals)
    plane = main_plane(latent)
    known = plane(latent)
    share = float(known.var(0).sum() / latent.var(0).sum())
    return LatentMap(plane, known, share, checkpoint_sha256)


def save_map(path: Path, found: LatentMap) -> None:
    """Write a map."""
    tensors = {"origin": found.plane.origin, "axes": found.plane.axes, "known": found.known}
    header = {"format": FORMAT, "share": f"{found.share:.4f}", "checkpoint": found.checkpoint_sha256}
    write_tensors(path, {name: tensor.contiguous() for name, tensor in tensors.items()}, header)


def load_map(path: Path) -> LatentMap:
    """Read a map.

    Raises:
        InputError: the file is missing or is none of ours.
    """
    tensors, header = read_tensors(path)
    if header.get("format") != FORMAT:
        raise InputError(f"{path}: format {header.get('format')!r} is not {FORMAT!r}")
    plane = Plane(tensors["origin"], tensors["axes"])
    return LatentMap(plane, tensors["known"], float(header["share"]), header["checkpoint"])
