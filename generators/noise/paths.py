"""Interpolants and noise: masked types, the torus of coordinates, and the lattice.

The lattice is held as its logarithm (`generators.log_lattice`). Its trace is the logarithm of the volume, which is
measured from a volume per atom of each element, so the flow starts at a cell of the right size for its composition
(informed base: OMatG, arXiv:2502.02582).
"""

from __future__ import annotations

import torch

from redoxa.generators.graph import MASK, N_TYPES, wrap


def fit_volumes(numbers: torch.Tensor, batch: torch.Tensor, volumes: torch.Tensor, ridge: float = 3.0) -> torch.Tensor:
    """Volume per atom of each element by least squares on the relative error of the cell volume.

    Args:
        numbers: atomic numbers [N].
        batch: crystal of each atom [N].
        volumes: cell volumes in cubic Angstrom [B].
        ridge: pull towards the mean volume per atom, in crystals.

    Returns:
        Cubic Angstrom [N_TYPES]; index 0 (unknown element) holds the mean.
    """
    counts = torch.zeros(len(volumes), N_TYPES, dtype=torch.float64)
    counts.index_put_((batch, numbers), torch.ones(len(batch), dtype=torch.float64), accumulate=True)
    mean = (volumes.double() / counts.sum(1)).mean()
    rows = counts / volumes.double().unsqueeze(1)
    # Relative residual: sum_z rows_z v_z - 1; solved for v = mean + delta so that unseen elements get the mean.
    target = 1.0 - rows.sum(1) * mean
    gram = rows.T @ rows + ridge * (rows.mean() ** 2 + 1e-6) * torch.eye(N_TYPES, dtype=torch.float64)
    fitted: torch.Tensor = mean + torch.linalg.solve(gram, rows.T @ target)
    fitted[MASK] = mean
    return fitted.clamp_min(2.0).float()


def mask_types(numbers: torch.Tensor, known: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Hide each atom's element with probability 1 - known.

    Args:
        numbers: [B,N].
        known: share of known atoms (the time of the types) [B].
        generator: source of randomness.
    """
    hidden = torch.rand(numbers.shape, generator=generator, device=numbers.device) >= known.unsqueeze(1)
    return numbers.masked_fill(hidden, MASK)


def pair_same_type(noise: torch.Tensor, frac_coords: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """Reorder noise so that it lies near the atoms it will flow to: optimal transport within each element.

    Starts from the given order and takes the best exchange of two atoms of one element, up to 2 N times; on the
    torus this ends within a few per cent of the Hungarian optimum and runs for the whole batch at once.

    Args:
        noise: [B,N,3].
        frac_coords: [B,N,3].
        numbers: [B,N].

    Returns:
        The noise of each crystal, permuted [B,N,3].
    """
    b, n, _ = noise.shape
    if n == 1:
        return noise
    cost = wrap(noise.unsqueeze(2) - frac_coords.unsqueeze(1)).square().sum(-1)
    other = numbers.unsqueeze(1) != numbers.unsqueeze(2)
    order = torch.arange(n, device=noise.device).expand(b, n).clone()
    rows = torch.arange(b, device=noise.device)
    for _ in range(2 * n):
        own = cost.diagonal(dim1=1, dim2=2)
        gain = (own.unsqueeze(1) + own.unsqueeze(2) - cost - cost.transpose(1, 2)).masked_fill(other, 0.0)
        best, where = gain.flatten(1).max(1)
        i, j = where // n, where % n
        if not bool((best > 1e-6).any()):
            break
        i = torch.where(best > 1e-6, i, j)
        order[rows, i], order[rows, j] = order[rows, j], order[rows, i]
        swapped = cost[rows, i].clone()
        cost[rows, i] = cost[rows, j]
        cost[rows, j] = swapped
    return torch.gather(noise, 1, order.unsqueeze(-1).expand(-1, -1, 3))


def displacement(noise: torch.Tensor, frac_coords: torch.Tensor) -> torch.Tensor:
    """Shortest way from the noise to the crystal, free of a common drift.

    The crystal's origin is arbitrary, so the mean is taken out: the flow ends at a translate of the crystal.

    Args:
        noise: [B,N,3].
        frac_coords: [B,N,3].
    """
    way = wrap(frac_coords - noise)
    return way - way.mean(1, keepdim=True)
