"""Samples on their way from noise: the best crystal of each so far, and what becomes of it in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from redoxa.data.crystal import CrystalBatch
from redoxa.generators.noise.sampling.symmetry import Floats, symmetrise
from redoxa.generators.sanity import SanityLimits, is_sane


@dataclass
class Slot:
    """One sample: the types it starts from, and the best crystal so far (no types while there is none)."""

    given: torch.Tensor
    tries: int = 0
    sane: bool = False
    score: float = -1.0
    types: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    coords: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    lattice: torch.Tensor = field(default_factory=lambda: torch.empty(0))

    def keep(
        self, types: torch.Tensor, coords: torch.Tensor, lattice: torch.Tensor, *, sane: bool, score: float
    ) -> None:
        """Take a crystal: types [N], coordinates [N,3], row vectors in Angstrom [3,3]."""
        self.types, self.coords, self.lattice = types, coords, lattice
        self.sane, self.score = sane, score


def finished(slots: Sequence[Slot], tolerances_A: tuple[float, ...], limits: SanityLimits) -> tuple[CrystalBatch, int]:
    """Snap crystals to a symmetry that is near, and stack them; also how many were snapped.

    Args:
        slots: samples with a crystal each.
        tolerances_A: tried in order; none leaves crystals as they are.
        limits: a sane crystal is only snapped to one that is sane as well.
    """
    coords, cells, snapped = [], [], 0
    for slot in slots:
        frac, cell = slot.coords.double().numpy(), slot.lattice.double().numpy()
        cell = np.linalg.cholesky(cell @ cell.T)
        near = _snap(slot, frac, cell, tolerances_A, limits)
        if near is not None:
            frac, cell = near
            snapped += 1
        coords.append(frac)
        cells.append(cell)
    batch = CrystalBatch(
        numbers=torch.cat([slot.types for slot in slots]).numpy(),
        frac_coords=np.concatenate(coords).astype(np.float32),
        lattice=np.stack(cells).astype(np.float32),
        batch=np.repeat(np.arange(len(slots)), [len(slot.types) for slot in slots]),
    )
    return batch, snapped


def _snap(
    slot: Slot, frac: Floats, cell: Floats, tolerances_A: tuple[float, ...], limits: SanityLimits
) -> tuple[Floats, Floats] | None:
    """The symmetric form of a crystal, where there is one nearby and it is as sane as before."""
    found = symmetrise(cell, frac, slot.types.numpy(), tolerances_A) if tolerances_A else None
    if found is None:
        return None
    sane = is_sane(
        slot.types[None],
        torch.from_numpy(found.frac_coords).float()[None],
        torch.from_numpy(found.lattice).float()[None],
        limits,
    )
    return (found.frac_coords, found.lattice) if bool(sane[0]) or not slot.sane else None
