"""Samplers: pure functions `(network, start, settings, generator, on_step) -> end`, all of one signature.

Here are those of the flow, and what they share with those of diffusion (`diffusion_samplers`). Types that
are known at the start stay as they are (structure prediction, or some sites given); hidden ones are revealed evenly on
the way, as coordinates and lattice change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import torch

from redoxa.data.progress import OnStep
from redoxa.generators.backbone import Prediction
from redoxa.generators.graph import MASK, N_TYPES
from redoxa.generators.log_lattice import log_to_lattice
from redoxa.generators.noise.sampling.guidance import Network
from redoxa.generators.noise.sampling.repulsion import pair_targets, push_apart


@dataclass(frozen=True)
class Sample:
    """A batch of crystals on its way from noise: types [B,N] (0 unknown), coordinates [B,N,3], log lattice [B,6].

    `labels` [B,K] say what they are to be like, NaN where nothing is asked.
    """

    types: torch.Tensor
    coords: torch.Tensor
    lattice: torch.Tensor
    labels: torch.Tensor | None = None


@dataclass(frozen=True)
class SamplerSettings:
    """How to sample.

    Attributes:
        steps: steps of the geometry.
        anneal: s in the coordinate step dt (1 + s t): coordinates run ahead of time more and more, which sharpens them
            (FlowMM, arXiv:2406.04713).
        temperature: of the types; below 1 gives fewer, likelier elements.
        lattice_noise: width of the noise the lattice starts from, in units of the training noise.
        allowed: types that may be drawn, bool [N_TYPES]; the others have probability zero.
        repel_from: time from which atoms that are too near are pushed apart after each step; 1 or more for never.
        corrector: of the diffusion: step of the Langevin corrector in units of the variance of the noise, below 2.
        closest_A: how near two elements may come, see `repulsion.pair_targets`; None for never pushing.
    """

    steps: int = 10
    anneal: float = 7.0
    temperature: float = 1.0
    lattice_noise: float = 0.5
    allowed: torch.Tensor | None = None
    repel_from: float = 0.5
    corrector: float = 0.2
    closest_A: torch.Tensor | None = None


Sampler = Callable[[Network, Sample, SamplerSettings, torch.Generator, OnStep | None], Sample]


def noise_for(
    network: Network,
    types: torch.Tensor,
    settings: SamplerSettings,
    generator: torch.Generator,
    labels: torch.Tensor | None = None,
) -> Sample:
    """Where sampling starts for given (or hidden) types [B,N] and labels [B,K]."""
    b, n = types.shape
    coords = torch.rand(b, n, 3, generator=generator)
    spread = settings.lattice_noise * network.lattice_std * torch.randn(b, 6, generator=generator)
    return Sample(types, coords, network.reference(types) + spread, labels)


Advance = Callable[[Network, Sample, Prediction, int, SamplerSettings, torch.Generator], Sample]
"""One step of the geometry: from (network, sample, what the network says of it, number of the step, ...)."""


def sampler(advance: Advance) -> Sampler:
    """The sampler that goes in such steps, reveals the types on the way, and keeps the atoms apart."""

    def run(
        network: Network,
        start: Sample,
        settings: SamplerSettings,
        generator: torch.Generator,
        on_step: OnStep | None = None,
    ) -> Sample:
        sample = start
        for step in range(settings.steps):
            guess = look(network, sample, step, settings)
            types = _reveal(sample.types, guess.types, settings.steps - step, settings, generator)
            sample = advance(network, replace(sample, types=types), guess, step, settings, generator)
            sample = _keep_apart(sample, step, settings)
            if on_step is not None:
                on_step(step + 1, settings.steps)
        return sample

    return run


def look(network: Network, sample: Sample, step: int, settings: SamplerSettings) -> Prediction:
    """What the network says at a step's time."""
    time = torch.full((len(sample.types),), step / settings.steps)
    return network(sample.types, sample.coords, sample.lattice, time, sample.labels)


@sampler
def euler(
    network: Network, sample: Sample, guess: Prediction, step: int, settings: SamplerSettings, _: torch.Generator
) -> Sample:
    """One evaluation of the network a step."""
    return _move(network, sample, guess.coords, guess.lattice, (step, settings))


@sampler
def heun(
    network: Network, sample: Sample, guess: Prediction, step: int, settings: SamplerSettings, _: torch.Generator
) -> Sample:
    """Two evaluations a step: the mean of the velocities at its start and at its end; the last step is Euler's."""
    moved = _move(network, sample, guess.coords, guess.lattice, (step, settings))
    if step + 1 == settings.steps:
        return moved
    ahead = look(network, moved, step + 1, settings)
    coords, lattice = (guess.coords + ahead.coords) / 2, (guess.lattice + ahead.lattice) / 2
    return _move(network, sample, coords, lattice, (step, settings))


FLOW_SAMPLERS: Final[dict[str, Sampler]] = {"euler": euler, "heun": heun}


def _move(
    network: Network, sample: Sample, coords: torch.Tensor, lattice: torch.Tensor, at: tuple[int, SamplerSettings]
) -> Sample:
    """Go along velocities for one step; coordinates go further the later it is."""
    step, settings = at
    dt = 1.0 / settings.steps
    # A coordinate step longer than the rest of the way would overshoot what the network aims at.
    coords_dt = min(dt * (1.0 + settings.anneal * step * dt), 1.0 - step * dt)
    return replace(
        sample,
        coords=(sample.coords + coords_dt * coords) % 1.0,
        lattice=sample.lattice + dt * network.lattice_std * lattice,
    )


def _keep_apart(sample: Sample, step: int, settings: SamplerSettings) -> Sample:
    """Push apart atoms that are too near, once a step in the later part and thoroughly at the end."""
    if settings.closest_A is None or step + 1 < settings.repel_from * settings.steps:
        return sample
    rounds = 5 if step + 1 == settings.steps else 1
    targets = pair_targets(sample.types, settings.closest_A)
    return replace(sample, coords=push_apart(sample.coords, log_to_lattice(sample.lattice), targets, rounds))


def _reveal(
    types: torch.Tensor, logits: torch.Tensor, steps_left: int, settings: SamplerSettings, generator: torch.Generator
) -> torch.Tensor:
    """Draw an even share of the hidden types of each crystal, so that none is left after `steps_left` calls."""
    hidden = types == MASK
    if not bool(hidden.any()):
        return types
    quota = torch.ceil(hidden.sum(1) / steps_left)
    order = torch.rand(types.shape, generator=generator).masked_fill(~hidden, 2.0).argsort(1).argsort(1)
    chosen = hidden & (order < quota.unsqueeze(1))
    scaled = (logits / settings.temperature).masked_fill(~allowed_types(settings), -torch.inf)
    drawn = torch.multinomial(scaled.softmax(-1).flatten(0, 1), 1, generator=generator).view(types.shape)
    return torch.where(chosen, drawn, types)


def allowed_types(settings: SamplerSettings) -> torch.Tensor:
    """Types that may be drawn, bool [N_TYPES]; never the mask."""
    allowed = torch.ones(N_TYPES, dtype=torch.bool) if settings.allowed is None else settings.allowed.clone()
    allowed[MASK] = False
    return allowed
