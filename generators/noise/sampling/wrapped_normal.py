"""The wrapped normal distribution on the unit torus, which diffusion adds to fractional coordinates.

Noise of width s moves x0 to x = x0 + s e modulo 1, so the density of the difference d = x - x0 is
p(d) = sum_k N(d + k; 0, s^2) over all integers k, and its score is

    d/dd log p = - sum_k (d + k) N(d + k) / s^2 / sum_k N(d + k).

It is -d / s^2 while s is far below 1, and fades as p becomes uniform.
"""

from __future__ import annotations

import torch

SIGMA_NOISE = 0.5
"""Width at time 0: the density is uniform to 1.4 %."""

SIGMA_CRYSTAL = 0.005
"""Width at time 1: a few hundredths of an Angstrom."""

_IMAGES = 3


def sigma_at(time: torch.Tensor) -> torch.Tensor:
    """Width of the noise at times 0 (noise) to 1 (crystal): a geometric sequence."""
    return SIGMA_NOISE * (SIGMA_CRYSTAL / SIGMA_NOISE) ** time


def score(delta: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Gradient of log p at differences in [-0.5, 0.5].

    Args:
        delta: fractional differences, any shape.
        sigma: widths, broadcast against `delta`; at most about 1, since images up to three cells away are summed.
    """
    images = delta.unsqueeze(-1) + torch.arange(-_IMAGES, _IMAGES + 1, device=delta.device, dtype=delta.dtype)
    variance = sigma.square().unsqueeze(-1)
    share = (-images.square() / (2 * variance)).softmax(-1)
    return -(share * images / variance).sum(-1)


def score_scale(sigma: torch.Tensor, points: int = 129) -> torch.Tensor:
    """Root mean square of the score under p, by the trapezoidal rule, for each width [B]."""
    reach = (6 * sigma).clamp_max(0.5).unsqueeze(1)
    delta = reach * torch.linspace(-1, 1, points, device=sigma.device)
    images = delta.unsqueeze(-1) + torch.arange(-_IMAGES, _IMAGES + 1, device=sigma.device)
    density = (-images.square() / (2 * sigma.square()[:, None, None])).exp().sum(-1)
    squares = score(delta, sigma.unsqueeze(1)).square()
    return (torch.trapezoid(density * squares, delta) / torch.trapezoid(density, delta)).sqrt()
