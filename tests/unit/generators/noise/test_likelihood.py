from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from redoxa.data.records import Crystal
from redoxa.generators.backbone import Prediction
from redoxa.generators.base import HasLikelihood
from redoxa.generators.graph import wrap
from redoxa.generators.noise.flow import FlowGenerator
from redoxa.generators.noise.sampling.likelihood import diffusion_velocity, flow_velocity, log_density
from redoxa.generators.noise.sampling.samplers import Sample
from redoxa.generators.noise.sampling.wrapped_normal import SIGMA_CRYSTAL, score, score_scale, sigma_at

NORMAL_ENTROPY = 0.5 * math.log(2 * math.pi * math.e)
STD = torch.tensor([0.5, 1.0, 2.0, 0.3, 0.3, 0.3])


class Known:
    """Networks whose density is known."""

    lattice_std = STD

    def reference(self, types: torch.Tensor) -> torch.Tensor:
        return torch.full((len(types), 6), 1.5)


class OneCrystal(Known):
    """The exact scores of one crystal in cells of which the standardised log lattice is normal."""

    def __init__(self, coords: torch.Tensor) -> None:
        self.coords = coords

    def __call__(self, types, coords, lattice, time, labels=None) -> Prediction:
        sigma = sigma_at(time)
        pull = score(wrap(coords - self.coords), sigma[:, None, None]) / score_scale(sigma)[:, None, None]
        return Prediction(torch.zeros(0), pull, torch.zeros(len(types), 6))


class Growth(Known):
    """A flow that stretches the lattice by exp(k) and shears the coordinates, which changes no volume."""

    def __init__(self, k: float) -> None:
        self.k = k

    def __call__(self, types, coords, lattice, time, labels=None) -> Prediction:
        shear = torch.zeros_like(coords)
        shear[..., 0] = torch.sin(2 * torch.pi * coords[..., 1]) / (2 * torch.pi)
        return Prediction(torch.zeros(0), shear, self.k * (lattice - 1.5) / STD)


def test_density_of_a_diffusion_about_one_crystal_is_that_of_its_noise():
    generator = torch.Generator().manual_seed(0)
    b, n = 400, 3
    coords = torch.tensor([[0.1, 0.9, 0.5], [0.6, 0.4, 0.0], [0.3, 0.3, 0.3]])
    y = torch.randn(b, 6, generator=generator)
    crystals = Sample(torch.full((b, n), 8), coords.expand(b, n, 3), 1.5 + STD * y)
    found = log_density(OneCrystal(coords), diffusion_velocity, crystals, generator, steps=80)
    # The mean log density of a distribution is minus its entropy.
    expected = -3 * n * (NORMAL_ENTROPY + math.log(SIGMA_CRYSTAL)) - 6 * NORMAL_ENTROPY - STD.log().sum().item()
    assert found.mean().item() == pytest.approx(expected, rel=0.015)


@pytest.mark.parametrize("k", [-0.7, 0.0, 1.1])
def test_density_of_a_flow_follows_how_much_it_stretches(k):
    generator = torch.Generator().manual_seed(0)
    y = torch.linspace(-1, 1, 6).expand(500, 6)
    coords = torch.rand(500, 2, 3, generator=generator)
    crystals = Sample(torch.full((500, 2), 8), coords, 1.5 + STD * y)
    found = log_density(Growth(k), flow_velocity, crystals, generator)
    start = y[0] * math.exp(-k)
    expected = -0.5 * (start.square() + math.log(2 * math.pi)).sum() - 6 * k - STD.log().sum()
    assert found.std() < 0.5  # of the random signs alone
    assert found.mean().item() == pytest.approx(expected.item(), abs=0.06)


def test_a_generator_finds_real_crystals_likelier_than_distorted_ones(tiny_checkpoint):
    flow = FlowGenerator(tiny_checkpoint)
    assert isinstance(flow, HasLikelihood)
    cell = (4.2 * (np.ones((3, 3)) - np.eye(3)) / 2).tolist()
    fitting, stretched = (
        Crystal(numbers=[12, 8], frac_coords=[[0, 0, 0], [0.5, 0.5, 0.5]], lattice_A=(np.array(cell) * s).tolist())
        for s in (1.0, 3.0)
    )
    unknown = Crystal(numbers=[110], frac_coords=[[0, 0, 0]], lattice_A=cell)
    found = flow.log_likelihood([fitting, unknown, stretched] * 8, np.random.default_rng(0)).reshape(8, 3)
    assert np.isnan(found[:, 1]).all()
    assert found[:, 0].mean() > found[:, 2].mean() + 1
    again = flow.log_likelihood([fitting, unknown, stretched] * 8, np.random.default_rng(0)).reshape(8, 3)
    assert np.array_equal(found[:, [0, 2]], again[:, [0, 2]])
