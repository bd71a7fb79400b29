"""`CrystalBatch`: many crystals as arrays, and the doors to records and torch-geometric. No torch at import."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from redoxa.data.records import Crystal

if TYPE_CHECKING:
    from torch_geometric.data import Batch


@dataclass(frozen=True)
class CrystalBatch:
    """B crystals with N atoms in all.

    Attributes:
        numbers: atomic numbers, int64 [N].
        frac_coords: fractional coordinates, float32 [N,3].
        lattice: row vectors in Angstrom, float32 [B,3,3].
        batch: index of the crystal of each atom, int64 [N], ascending.
    """

    numbers: NDArray[np.int64]
    frac_coords: NDArray[np.float32]
    lattice: NDArray[np.float32]
    batch: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.lattice)

    def __iter__(self) -> Iterator[Crystal]:
        return iter(self.to_crystals())

    @property
    def counts(self) -> NDArray[np.int64]:
        """Atoms of each crystal, int64 [B]."""
        return np.bincount(self.batch, minlength=len(self))

    @classmethod
    def from_crystals(cls, crystals: Sequence[Crystal]) -> CrystalBatch:
        """Stack records into arrays."""
        return cls(
            numbers=np.array([z for c in crystals for z in c.numbers], dtype=np.int64),
            frac_coords=np.array([x for c in crystals for x in c.frac_coords], dtype=np.float32).reshape(-1, 3),
            lattice=np.array([c.lattice_A for c in crystals], dtype=np.float32).reshape(-1, 3, 3),
            batch=np.repeat(np.arange(len(crystals)), [c.n_atoms for c in crystals]),
        )

    def to_crystals(self) -> list[Crystal]:
        """Split into records, in order."""
        if not len(self):  # `np.split` would give one empty part
            return []
        splits = np.cumsum(self.counts)[:-1]
        numbers, fracs = np.split(self.numbers, splits), np.split(self.frac_coords, splits)
        return [
            Crystal(numbers=z.tolist(), frac_coords=f.tolist(), lattice_A=c.tolist())
            for z, f, c in zip(numbers, fracs, self.lattice, strict=True)
        ]

    def to_pyg(self) -> Batch:
        """A torch-geometric `Batch` with `z`, `frac_coords` and `lattice` for models that want one."""
        import torch
        from torch_geometric.data import Batch, Data

        splits = np.cumsum(self.counts)[:-1]
        numbers, fracs = np.split(self.numbers, splits), np.split(self.frac_coords, splits)
        return Batch.from_data_list(
            [
                Data(
                    z=torch.from_numpy(z),
                    frac_coords=torch.from_numpy(f),
                    lattice=torch.from_numpy(c)[None],
                    num_nodes=len(z),
                )
                for z, f, c in zip(numbers, fracs, self.lattice, strict=True)
            ]
        )

    @classmethod
    def concatenate(cls, parts: Iterable[CrystalBatch]) -> CrystalBatch:
        """Join batches, in order."""
        pieces = [p for p in parts if len(p)]
        if not pieces:
            return cls.from_crystals([])
        offsets = np.cumsum([0, *[len(p) for p in pieces[:-1]]])
        return cls(
            numbers=np.concatenate([p.numbers for p in pieces]),
            frac_coords=np.concatenate([p.frac_coords for p in pieces]),
            lattice=np.concatenate([p.lattice for p in pieces]),
            batch=np.concatenate([p.batch + o for p, o in zip(pieces, offsets, strict=True)]),
        )
