"""Geometry of the fully connected periodic graph, dense: every pair of atoms of a crystal is an edge."""

from __future__ import annotations

from itertools import product

import torch

MASK = 0
"""Type index of an atom whose element is not known yet."""

N_TYPES = 104
"""Type indices are atomic numbers 1..103; 0 is the mask."""


def wrap(delta: torch.Tensor) -> torch.Tensor:
    """Shortest representative of fractional differences, in [-0.5, 0.5]."""
    return delta - torch.round(delta)


def fourier(delta: torch.Tensor, harmonics: int) -> torch.Tensor:
    """Sines and cosines of 2 pi k delta, k = 1..harmonics, for each of the three axes.

    Args:
        delta: fractional differences [..., 3].
        harmonics: number of harmonics K.

    Returns:
        [..., 6 K], periodic in delta.
    """
    k = torch.arange(1, harmonics + 1, dtype=delta.dtype, device=delta.device)
    angle = (2 * torch.pi * delta).unsqueeze(-1) * k
    return torch.cat([angle.sin(), angle.cos()], dim=-1).flatten(-2)


_OFFSETS = sorted(product((-1.0, 0.0, 1.0), repeat=3), key=lambda o: sum(x * x for x in o))


def periodic_offsets(device: torch.device | None = None) -> torch.Tensor:
    """The 27 lattice translations around a cell, float [27,3], the zero one first."""
    return torch.tensor(_OFFSETS, device=device)


def pair_distances(frac_coords: torch.Tensor, lattice: torch.Tensor) -> torch.Tensor:
    """Distances from each atom to the 27 nearest cells' images of each other atom.

    Args:
        frac_coords: [B,N,3].
        lattice: row vectors in Angstrom [B,3,3], reduced or nearly so.

    Returns:
        Angstrom [B,N,N,27]; the distance of an atom to itself is infinite, not zero.
    """
    delta = wrap(frac_coords.unsqueeze(1) - frac_coords.unsqueeze(2))
    cart = torch.einsum("bijx,bxy->bijy", delta, lattice)
    shifts = periodic_offsets(frac_coords.device).to(lattice) @ lattice
    # |c + s|^2 = |c|^2 + 2 c.s + |s|^2 avoids a [B,N,N,27,3] tensor
    squared = (
        (cart * cart).sum(-1, keepdim=True)
        + 2 * torch.einsum("bijy,bky->bijk", cart, shifts)
        + (shifts * shifts).sum(-1)[:, None, None, :]
    )
    n = frac_coords.shape[1]
    index = torch.arange(n, device=frac_coords.device)
    squared[:, index, index, 0] = torch.inf
    return squared.clamp_min(0.0).sqrt()


def radial(distances: torch.Tensor, centers: torch.Tensor) -> torch.Tensor:
    """Radial basis summed over periodic images: a coordination shell counts as often as it occurs.

    The functions are bumps (1 - x^2)^2 of finite reach; they cost a fifteenth of Gaussians on a CPU.

    Args:
        distances: Angstrom [..., K] (K images).
        centers: Angstrom [R], evenly spaced; a bump reaches one and a half spacings to either side.

    Returns:
        [..., R].
    """
    reach = 1.5 * (centers[1] - centers[0])
    scaled = distances / reach
    bumps = [
        scaled.sub(center).square_().neg_().add_(1.0).clamp_min_(0.0).square_().sum(-1)
        for center in (centers / reach).tolist()
    ]
    return torch.stack(bumps, dim=-1)
