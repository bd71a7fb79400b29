"""A lattice as S = 1/2 log(L L^T): symmetric, free of rotation, and additive where lattices multiply.

Its trace is the logarithm of the volume (rotation-free lattices: DiffCSP, arXiv:2309.04475).
"""

from __future__ import annotations

import torch


def lattice_to_log(lattice: torch.Tensor) -> torch.Tensor:
    """Six rotation-free numbers of a lattice: log volume, two of shape, three of shear.

    Args:
        lattice: row vectors [B,3,3].

    Returns:
        [B,6].
    """
    values, vectors = torch.linalg.eigh(lattice @ lattice.transpose(1, 2))
    logs = 0.5 * values.clamp_min(1e-6).log()
    s = (vectors * logs.unsqueeze(1)) @ vectors.transpose(1, 2)
    xx, yy, zz = s[:, 0, 0], s[:, 1, 1], s[:, 2, 2]
    return torch.stack([xx + yy + zz, yy - xx, 2 * zz - xx - yy, s[:, 1, 2], s[:, 0, 2], s[:, 0, 1]], dim=1)


def log_to_lattice(log: torch.Tensor) -> torch.Tensor:
    """Inverse of `lattice_to_log`: the symmetric lattice [B,3,3] with these six numbers [B,6]."""
    trace, d, e, yz, xz, xy = log.unbind(1)
    zz = (trace + e) / 3
    xx = (trace - zz - d) / 2
    yy = xx + d
    s = torch.stack([xx, xy, xz, xy, yy, yz, xz, yz, zz], dim=1).reshape(-1, 3, 3)
    values, vectors = torch.linalg.eigh(s)
    lattice: torch.Tensor = (vectors * values.clamp(-3.0, 5.0).exp().unsqueeze(1)) @ vectors.transpose(1, 2)
    return lattice
