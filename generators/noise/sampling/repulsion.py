"""Pushing apart atoms that come nearer than their elements ever do in real crystals."""

from __future__ import annotations

import torch

from redoxa.generators.graph import periodic_offsets, wrap
from redoxa.generators.sanity import covalent_radii


def pair_targets(types: torch.Tensor, closest_A: torch.Tensor, contact: float = 0.8) -> torch.Tensor:
    """Distance that each pair of atoms should keep, in Angstrom [B,N,N].

    Args:
        types: atomic numbers [B,N].
        closest_A: what the training data say [N_TYPES, N_TYPES], 0 where they say nothing.
        contact: share of the sum of covalent radii that stands in for it there.
    """
    radii = covalent_radii()[types]
    fallback = contact * (radii.unsqueeze(1) + radii.unsqueeze(2))
    known = closest_A[types.unsqueeze(2), types.unsqueeze(1)]
    return torch.where(known > 0, known, fallback)


def push_apart(coords: torch.Tensor, lattice: torch.Tensor, targets: torch.Tensor, steps: int = 1) -> torch.Tensor:
    """Move atoms away from neighbours that are too near, half the missing distance each, `steps` times.

    Args:
        coords: fractional [B,N,3].
        lattice: row vectors in Angstrom [B,3,3].
        targets: distance to keep [B,N,N].
        steps: number of rounds.

    Returns:
        Fractional coordinates in [0,1) [B,N,3].
    """
    inverse = torch.linalg.inv(lattice)
    shifts = periodic_offsets(coords.device).to(lattice) @ lattice
    n = coords.shape[1]
    itself = torch.eye(n, dtype=torch.bool, device=coords.device)
    for _ in range(steps):
        cart = wrap(coords.unsqueeze(2) - coords.unsqueeze(1)) @ lattice.unsqueeze(1)
        squared = (
            (cart * cart).sum(-1, keepdim=True)
            + 2 * torch.einsum("bijy,bky->bijk", cart, shifts)
            + (shifts * shifts).sum(-1)[:, None, None, :]
        )
        distance, image = squared.clamp_min(1e-6).sqrt().min(-1)
        batch = torch.arange(len(coords), device=coords.device)[:, None, None]
        away = (cart + shifts[batch, image]) / distance.unsqueeze(-1)
        missing = (targets - distance).clamp_min(0.0).masked_fill(itself, 0.0)
        if not bool((missing > 1e-3).any()):
            break
        move = 0.5 * (missing.unsqueeze(-1) * away).sum(2)
        coords = (coords + move @ inverse) % 1.0
    return coords
