"""Crystals as tensors, and batches of crystals with equally many atoms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from redoxa.data.tables.datasets import CrystalData
from redoxa.generators.log_lattice import lattice_to_log

EDGES_PER_BATCH = 4608
"""On a CPU: more gains nothing there."""

LEAST_EDGES = 24
"""A crystal counts for so many at least, for the work by crystal and atom that a tiny one needs beside its edges."""


@dataclass(frozen=True)
class Batch:
    """Crystals with equally many atoms: types [B,N], coordinates [B,N,3], log lattices [B,6], labels [B,K] (or NaN)."""

    types: torch.Tensor
    coords: torch.Tensor
    lattice: torch.Tensor
    labels: torch.Tensor


class Crystals:
    """All crystals of a data set as tensors."""

    def __init__(self, data: CrystalData) -> None:
        self.numbers, self.coords = torch.from_numpy(data.numbers), torch.from_numpy(data.frac_coords)
        self.lattice = lattice_to_log(torch.from_numpy(data.cells).double()).float()
        self.labels = torch.from_numpy(data.labels)
        self.start, self.counts = torch.from_numpy(data.start[:-1]), torch.from_numpy(data.counts)

    def take(self, rows: torch.Tensor, device: torch.device) -> Batch:
        """Crystals [B] of equally many atoms."""
        atoms = self.start[rows].unsqueeze(1) + torch.arange(int(self.counts[rows[0]]))
        parts = self.numbers[atoms], self.coords[atoms], self.lattice[rows], self.labels[rows]
        return Batch(*(part.to(device) for part in parts))


def batches_by_size(
    counts: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], edges_per_batch: int, seed: tuple[int, ...]
) -> list[torch.Tensor]:
    """Every one of `rows` once, in batches of one number of atoms each, shuffled.

    Args:
        counts: atoms of each crystal of the data [C].
        rows: which crystals to take.
        edges_per_batch: a batch of N-atom crystals holds about this many edges (N^2 a crystal, `LEAST_EDGES` at least),
            and 16 crystals at least.
        seed: of the order.

    Returns:
        Rows of each batch.
    """
    rng = np.random.default_rng(seed)
    batches = []
    for n in np.unique(counts[rows]).tolist():
        size = int(max(edges_per_batch // max(n**2, LEAST_EDGES), 16))
        order = torch.from_numpy(rng.permutation(rows[counts[rows] == n]))
        batches += list(torch.split(order, size))
    return [batches[i] for i in rng.permutation(len(batches))]
