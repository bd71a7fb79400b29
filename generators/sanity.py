"""Cheap checks that a generated crystal could be one: no atoms on top of each other, no absurd density."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch

from redoxa.generators.graph import pair_distances


@dataclass(frozen=True)
class SanityLimits:
    """Limits, set where the Materials Project's own crystals end (0.2 % of them lie outside the distance limit).

    Attributes:
        contact: smallest distance of two atoms over the sum of their covalent radii.
        packing: smallest and largest cell volume over the volume of its atoms' covalent spheres.
    """

    contact: float = 0.70
    packing: tuple[float, float] = (0.85, 10.0)


@cache
def covalent_radii() -> torch.Tensor:
    """Covalent radii by atomic number in Angstrom (Cordero et al., doi:10.1039/b801115j), float32 [119]."""
    from ase.data import covalent_radii as radii

    return torch.tensor(radii, dtype=torch.float32)


def contacts(types: torch.Tensor, frac_coords: torch.Tensor, lattice: torch.Tensor) -> torch.Tensor:
    """Closest contact of each crystal: the least distance over the sum of covalent radii, periodic images included.

    Args:
        types: atomic numbers [B,N].
        frac_coords: [B,N,3].
        lattice: row vectors in Angstrom [B,3,3].

    Returns:
        [B].
    """
    radii = covalent_radii()[types]
    sums = radii.unsqueeze(1) + radii.unsqueeze(2)
    return (pair_distances(frac_coords, lattice).amin(-1) / sums).amin((1, 2))


def packing(types: torch.Tensor, lattice: torch.Tensor) -> torch.Tensor:
    """Cell volume over the volume of the atoms' covalent spheres [B]."""
    spheres = 4.0 / 3.0 * torch.pi * covalent_radii()[types].pow(3).sum(1)
    ratio: torch.Tensor = torch.linalg.det(lattice).abs() / spheres
    return ratio


def is_sane(
    types: torch.Tensor, frac_coords: torch.Tensor, lattice: torch.Tensor, limits: SanityLimits
) -> torch.Tensor:
    """True for crystals within the limits, bool [B]."""
    ratio = packing(types, lattice)
    low, high = limits.packing
    return (contacts(types, frac_coords, lattice) >= limits.contact) & (ratio >= low) & (ratio <= high)
