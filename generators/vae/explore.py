"""What can be asked of the latent space about crystals: what lies between two, and which known electrodes lie near."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ase.data import chemical_symbols

from redoxa.data.records import Crystal
from redoxa.data.shipped import shipped
from redoxa.data.symmetry.skeletons import load_templates
from redoxa.data.tables.template_labels import RANGE_V, read_electrode_labels
from redoxa.generators.vae.generator import VaeGenerator
from redoxa.generators.vae.latent import LatentSpace
from redoxa.generators.vae.latent_map import LARGEST
from redoxa.generators.wyckoff.grammar import Wish
from redoxa.generators.wyckoff.sequence import DrawSettings

DRAWS = 4
"""Crystals that are written at each point of a way; the one that lies nearest to the point, read again, is kept."""

FAITHFUL = DrawSettings(temperature=0.5, spread=0.3, rounds=4)
"""Nearer to what a vector says than samples are, whose variety is wanted."""

BATCH = 64


@dataclass(frozen=True)
class Stop:
    """A point of the way from one crystal to another.

    Attributes:
        t: share of the way, 0 to 1.
        vector: of the point [L].
        crystal: what the decoder wrote there; None where it gave no crystal.
        off_way: how far the crystal, read again, lies from the point, in typical distances; NaN without a crystal.
    """

    t: float
    vector: torch.Tensor
    crystal: Crystal | None
    off_way: float


@dataclass(frozen=True)
class KnownElectrode:
    """A shipped template that gives an ion back.

    Attributes:
        crystal: with the ions in it, primitive.
        voltages_V: by ion, average over the removal of all of them, as CHGNet computes it; without implausible ones.
    """

    crystal: Crystal
    voltages_V: Mapping[str, float]


def typical_distance(space: LatentSpace) -> float:
    """Of training crystals from the middle of the space, whitened: the root of its dimension."""
    return math.sqrt(len(space.network.latent_mean))


def encoded(space: LatentSpace, crystals: Sequence[Crystal]) -> torch.Tensor:
    """Latent vectors [n,L], a batch at a time, since graphs of many crystals take much memory."""
    parts = [space.encode(crystals[first : first + BATCH]) for first in range(0, len(crystals), BATCH)]
    return torch.cat(parts) if parts else space.encode(())


def stops_between(
    generator: VaeGenerator,
    ends: tuple[Crystal, Crystal],
    count: int,
    allowed: frozenset[int],
    rng: np.random.Generator,
) -> list[Stop]:
    """Crystals on the way from one to another, ends included, and where none came.

    Args:
        generator: whose decoder writes them, best with the settings `FAITHFUL`.
        ends: with elements that it knows.
        count: points of the way, 2 or more.
        allowed: atomic numbers that may be written.
        rng: the only source of randomness.
    """
    space = generator.space
    first, last = space.encode(ends)
    way = space.interpolate(first, last, count)
    wishes = [Wish(allowed & generator.model.sampler.known)] * (count * DRAWS)
    drawn = generator.model.attempts(wishes, rng, latent=way.repeat_interleave(DRAWS, 0))
    shares = np.linspace(0.0, 1.0, count).tolist()
    return [
        _nearest(space, t, point, [one.crystal for one in drawn[i * DRAWS : (i + 1) * DRAWS] if one is not None])
        for i, (t, point) in enumerate(zip(shares, way, strict=True))
    ]


def _nearest(space: LatentSpace, t: float, point: torch.Tensor, written: list[Crystal]) -> Stop:
    if not written:
        return Stop(t, point, None, float("nan"))
    apart = (space.whitened(space.encode(written)) - space.whitened(point[None])).norm(dim=1)
    best = int(apart.argmin())
    return Stop(t, point, written[best], float(apart[best]) / typical_distance(space))


def labelled_electrodes() -> list[KnownElectrode]:
    """All shipped templates of a size that the network has learned which give an ion back."""
    table = load_templates()
    atoms = table.compositions.sum(1)
    found: dict[int, dict[str, float]] = {}
    for label in read_electrode_labels(shipped("electrode_labels.parquet"), table.sha256):
        if atoms[label.template] <= LARGEST:
            voltages = found.setdefault(label.template, {})
            if RANGE_V[0] < label.voltage_V < RANGE_V[1]:
                voltages[chemical_symbols[label.ion]] = label.voltage_V
    return [KnownElectrode(table[row].form.to_crystal(), found[row]) for row in sorted(found)]
