from __future__ import annotations

import pytest
import torch

from redoxa.generators.graph import wrap
from redoxa.generators.noise.sampling.wrapped_normal import SIGMA_CRYSTAL, SIGMA_NOISE, score, score_scale, sigma_at


def log_density(delta: torch.Tensor, sigma: float) -> torch.Tensor:
    images = delta.unsqueeze(-1) + torch.arange(-20, 21)
    return torch.logsumexp(-images.square() / (2 * sigma**2), -1)


@pytest.mark.parametrize("sigma", [0.01, 0.1, 0.3, 0.5])
def test_score_is_the_gradient_of_the_log_density(sigma):
    delta = torch.linspace(-0.5, 0.5, 41, dtype=torch.float64, requires_grad=True)
    (exact,) = torch.autograd.grad(log_density(delta, sigma).sum(), delta)
    torch.testing.assert_close(score(delta.detach(), torch.tensor(sigma)), exact, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.005, 0.05, 0.2, 0.5])
def test_scale_is_the_root_mean_square_over_samples(sigma):
    delta = wrap(sigma * torch.randn(400_000, generator=torch.Generator().manual_seed(0)))
    measured = score(delta, torch.tensor(sigma)).square().mean().sqrt().item()
    assert score_scale(torch.tensor([sigma])).item() == pytest.approx(measured, rel=0.01)


def test_width_falls_geometrically_from_noise_to_crystal():
    sigmas = sigma_at(torch.tensor([0.0, 0.5, 1.0])).tolist()
    assert sigmas == pytest.approx([SIGMA_NOISE, (SIGMA_NOISE * SIGMA_CRYSTAL) ** 0.5, SIGMA_CRYSTAL])
