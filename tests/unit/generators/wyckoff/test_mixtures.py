from __future__ import annotations

import math

import pytest
import torch

from redoxa.generators.wyckoff.mixtures import LARGEST_SPREAD, Mixture


@pytest.fixture
def raw() -> torch.Tensor:
    """Three components in two dimensions."""
    return torch.randn(3 * 5, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("widest", [False, True])
def test_the_density_on_the_circle_integrates_to_one(raw, widest):
    raw = raw.view(3, 5).clone()
    if widest:
        raw[:, 3:] = 50.0
    mixture = Mixture(raw.flatten(), 2, circular=True)
    x = torch.linspace(0, 1, 2001)[:-1]
    points = torch.stack([x, torch.zeros_like(x)], dim=-1)
    density = mixture.log_density(points, torch.tensor([True, False])).exp()
    assert float(density.mean()) == pytest.approx(1.0, abs=2e-3)
    moved = mixture.log_density(points + 3.0, torch.tensor([True, False])).exp()
    assert torch.allclose(density, moved, rtol=1e-3)
    assert not widest or float(mixture.spreads.max()) == pytest.approx(LARGEST_SPREAD)


def test_one_component_on_the_line_is_a_normal_density():
    mixture = Mixture(torch.tensor([0.3, 1.5, math.log(0.2)]), 1, circular=False)
    expected = torch.distributions.Normal(1.5, 0.2).log_prob(torch.tensor(1.8))
    assert float(mixture.log_density(torch.tensor([1.8]), torch.tensor([True]))) == pytest.approx(float(expected))


def test_samples_follow_weights_centres_and_spreads():
    # Weights 3:1; centres 0.98 (wraps) and 0.5.
    raw = torch.tensor([math.log(3.0), 0.98, -3.0, 0.0, 0.5, -3.0]).expand(20_000, -1)
    mixture = Mixture(raw, 1, circular=True)
    drawn = mixture.sample(torch.Generator().manual_seed(0))[:, 0]
    near = (drawn - 0.98 - (drawn - 0.98).round()).abs() < 0.2
    assert float(near.float().mean()) == pytest.approx(0.75, abs=0.01)
    spread = float((drawn[near] - 0.98 - (drawn[near] - 0.98).round()).std())
    assert spread == pytest.approx(float(mixture.spreads[0, 0, 0]), rel=0.03)
    assert 0.0 <= float(drawn.min()) <= float(drawn.max()) < 1.0
    cold = mixture.sample(torch.Generator().manual_seed(0), temperature=1e-3)[:, 0]
    assert float((cold - 0.98).abs().max()) < 1e-3
