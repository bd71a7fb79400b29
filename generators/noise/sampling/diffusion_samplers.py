"""Samplers of the diffusion, of the signature of `generators.noise.sampling.samplers`: from wide noise to none.

With s the width now and t the next, the coordinates follow the score of their density; the standardised lattice y is
cos(a) of the crystal's and sin(a) of noise, at angles a that fall from pi/2 to 0, and the network says dy/da. The last
step goes to no noise at all.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import torch

from redoxa.generators.backbone import Prediction
from redoxa.generators.noise.sampling.guidance import Network
from redoxa.generators.noise.sampling.samplers import Sample, Sampler, SamplerSettings, look, sampler
from redoxa.generators.noise.sampling.wrapped_normal import score_scale, sigma_at


@sampler
def ode(
    network: Network, sample: Sample, guess: Prediction, step: int, settings: SamplerSettings, _: torch.Generator
) -> Sample:
    """Probability-flow ODE: no noise on the way, one evaluation of the network a step (arXiv:2206.00364, Euler)."""
    width, following = _widths(step, settings)
    turn = math.pi / 2 / settings.steps
    reference = network.reference(sample.types)
    y = (sample.lattice - reference) / network.lattice_std
    y = math.cos(turn) * y - math.sin(turn) * guess.lattice
    coords = _along_score(sample.coords, guess, 1 - following / width, step, settings)
    return replace(sample, coords=coords % 1.0, lattice=reference + network.lattice_std * y)


@sampler
def predictor_corrector(
    network: Network,
    sample: Sample,
    guess: Prediction,
    step: int,
    settings: SamplerSettings,
    generator: torch.Generator,
) -> Sample:
    """Ancestral steps, each followed by one of Langevin dynamics on the coordinates (arXiv:2011.13456).

    Two evaluations of the network a step, one in the last.
    """
    sample = _ancestral(network, sample, guess, step, settings, generator)
    if step + 1 == settings.steps:
        return sample
    width = _widths(step, settings)[1]
    pull = _score(look(network, sample, step + 1, settings), width)
    # With this much noise, a finite step keeps the variance of a normal distribution.
    kick = math.sqrt(settings.corrector * (2 - settings.corrector)) * width
    coords = sample.coords + settings.corrector * width**2 * pull + kick * _normal(sample.coords, generator)
    return replace(sample, coords=coords % 1.0)


DIFFUSION_SAMPLERS: Final[dict[str, Sampler]] = {"ode": ode, "predictor_corrector": predictor_corrector}


def _ancestral(
    network: Network,
    sample: Sample,
    guess: Prediction,
    step: int,
    settings: SamplerSettings,
    generator: torch.Generator,
) -> Sample:
    """Draw the next state given this one and what the network says of the crystal."""
    width, following = _widths(step, settings)
    gone = 1 - (following / width) ** 2
    coords = _along_score(sample.coords, guess, gone, step, settings)
    coords = coords + following * math.sqrt(gone) * _normal(coords, generator)
    angle, then = (math.pi / 2 * (1 - k / settings.steps) for k in (step, step + 1))
    reference = network.reference(sample.types)
    y = (sample.lattice - reference) / network.lattice_std
    crystal = math.cos(angle) * y - math.sin(angle) * guess.lattice
    noise = math.sin(angle) * y + math.cos(angle) * guess.lattice
    # Posterior of a variance-preserving step (arXiv:2010.02502, eta = 1): a part of the noise is drawn anew.
    fresh = math.sin(then) / math.sin(angle) * math.sqrt(1 - (math.cos(angle) / math.cos(then)) ** 2)
    kept = math.sqrt(max(0.0, math.sin(then) ** 2 - fresh**2))
    y = math.cos(then) * crystal + kept * noise + fresh * _normal(y, generator)
    return replace(sample, coords=coords % 1.0, lattice=reference + network.lattice_std * y)


def _along_score(
    coords: torch.Tensor, guess: Prediction, share: float, step: int, settings: SamplerSettings
) -> torch.Tensor:
    """Coordinates moved along the score by a share of the variance, and by more of it the later it is, up to all."""
    width = _widths(step, settings)[0]
    ahead = min(1.0, share * (1.0 + settings.anneal * step / settings.steps))
    return coords + ahead * width**2 * _score(guess, width)


def _widths(step: int, settings: SamplerSettings) -> tuple[float, float]:
    """Width of the noise on the coordinates at a step and at the next, 0 after the last."""
    now, following = sigma_at(torch.tensor([step, step + 1], dtype=torch.float64) / settings.steps).tolist()
    return now, following if step + 1 < settings.steps else 0.0


def _score(guess: Prediction, width: float) -> torch.Tensor:
    """Score of the coordinates [B,N,3] from what the network says of it."""
    return guess.coords * score_scale(torch.tensor([width]))


def _normal(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(like.shape, generator=generator)
