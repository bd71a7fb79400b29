"""`CrystalBatch`: many crystals as tensors, and the doors to records, pymatgen, ASE and torch-geometric."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from data.records import Crystal

if TYPE_CHECKING:
    from torch_geometric.data import Batch


@dataclass(frozen=True)
class CrystalBatch:
    """B crystals with N atoms in all.

    Attributes:
        numbers: atomic numbers, int64 [N].
        frac_coords: fractional coordinates, float [N,3].
        lattice: row vectors in Angstrom, float [B,3,3].
        batch: index of the crystal of each atom, int64 [N], ascending.
    """

    numbers: torch.Tensor
    frac_coords: torch.Tensor
    lattice: torch.Tensor
    batch: torch.Tensor

    def __len__(self) -> int:
        return int(self.lattice.shape[0])

    def __iter__(self) -> Iterator[Crystal]:
        return iter(self.to_crystals())

    @property
    def counts(self) -> torch.Tensor:
        """Atoms of each crystal, int64 [B]."""
        return torch.bincount(self.batch, minlength=len(self))

    @classmethod
    def from_crystals(cls, crystals: Sequence[Crystal]) -> CrystalBatch:
        """Stack records into tensors (float32)."""
        counts = torch.tensor([c.n_atoms for c in crystals], dtype=torch.int64)
        return cls(
            numbers=torch.tensor([z for c in crystals for z in c.numbers], dtype=torch.int64),
            frac_coords=torch.tensor([x for c in crystals for x in c.frac_coords], dtype=torch.float32).reshape(-1, 3),
            lattice=torch.tensor([c.lattice_A for c in crystals], dtype=torch.float32).reshape(-1, 3, 3),
            batch=torch.repeat_interleave(torch.arange(len(crystals)), counts),
        )

    def to_crystals(self) -> list[Crystal]:
        """Split into records, in order."""
        splits = np.cumsum(self.counts.tolist())[:-1]
        numbers = np.split(self.numbers.numpy(force=True), splits)
        fracs = np.split(self.frac_coords.numpy(force=True).astype(float), splits)
        cells = self.lattice.numpy(force=True).astype(float)
        return [
            Crystal(numbers=z.tolist(), frac_coords=f.tolist(), lattice_A=c.tolist())
            for z, f, c in zip(numbers, fracs, cells, strict=True)
        ]

    def to_pyg(self) -> Batch:
        """A torch-geometric `Batch` with `z`, `frac_coords` and `lattice` for models that want one."""
        from torch_geometric.data import Batch, Data

        ends = torch.cumsum(self.counts, 0).tolist()
        starts = [0, *ends[:-1]]
        return Batch.from_data_list(
            [
                Data(
                    z=self.numbers[a:b],
                    frac_coords=self.frac_coords[a:b],
                    lattice=self.lattice[i : i + 1],
                    num_nodes=b - a,
                )
                for i, (a, b) in enumerate(zip(starts, ends, strict=True))
            ]
        )

    @classmethod
    def concatenate(cls, parts: Iterable[CrystalBatch]) -> CrystalBatch:
        """Join batches, in order."""
        pieces = [p for p in parts if len(p)]
        if not pieces:
            return cls.from_crystals([])
        offsets = np.cumsum([0, *[len(p) for p in pieces[:-1]]]).tolist()
        return cls(
            numbers=torch.cat([p.numbers for p in pieces]),
            frac_coords=torch.cat([p.frac_coords for p in pieces]),
            lattice=torch.cat([p.lattice for p in pieces]),
            batch=torch.cat([p.batch + o for p, o in zip(pieces, offsets, strict=True)]),
        )
