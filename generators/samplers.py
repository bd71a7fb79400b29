"""Samplers: pure functions `(network, start, settings, generator, on_step) -> end`, all of one signature.

`types_first` completes the composition at time 0, where geometry is noise, and then lets the geometry flow; a
composition can so be refused before its geometry is paid for. `joint` reveals types while coordinates and lattice
flow. Both leave types that are known at the start as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import torch

from generators.backbone import Backbone
from generators.base import OnStep
from generators.graph import MASK, N_TYPES
from generators.paths import log_to_lattice
from generators.repulsion import pair_targets, push_apart


@dataclass(frozen=True)
class Sample:
    """A batch of crystals on its way from noise: types [B,N] (0 unknown), coordinates [B,N,3], log lattice [B,6]."""

    types: torch.Tensor
    coords: torch.Tensor
    lattice: torch.Tensor


@dataclass(frozen=True)
class SamplerSettings:
    """How to sample.

    Attributes:
        steps: steps of the geometry.
        type_steps: most steps in which types are revealed.
        anneal: s in the coordinate step dt (1 + s t): coordinates run ahead of time more and more, which sharpens
            them (FlowMM, arXiv:2406.04713).
        temperature: of the types; below 1 gives fewer, likelier elements.
        lattice_noise: width of the noise the lattice starts from, in units of the training noise.
        allowed: types that may be drawn, bool [N_TYPES]; the others have probability zero.
        repel_from: time from which atoms that are too near are pushed apart after each step; 1 or more for never.
        closest_A: how near two elements may come, see `repulsion.pair_targets`; None for never pushing.
    """

    steps: int = 20
    type_steps: int = 10
    anneal: float = 7.0
    temperature: float = 0.7
    lattice_noise: float = 1.0
    allowed: torch.Tensor | None = None
    repel_from: float = 0.5
    closest_A: torch.Tensor | None = None


Sampler = Callable[[Backbone, Sample, SamplerSettings, torch.Generator, OnStep | None], Sample]


def noise_for(network: Backbone, types: torch.Tensor, settings: SamplerSettings, generator: torch.Generator) -> Sample:
    """Start of the flow for given (or hidden) types [B,N]."""
    b, n = types.shape
    coords = torch.rand(b, n, 3, generator=generator)
    spread = settings.lattice_noise * network.lattice_std * torch.randn(b, 6, generator=generator)
    return Sample(types, coords, network.reference(types) + spread)


def complete_types(
    network: Backbone,
    start: Sample,
    settings: SamplerSettings,
    generator: torch.Generator,
    on_step: OnStep | None = None,
) -> Sample:
    """Reveal the hidden types at time 0, some at every step, in random order."""
    sample = start
    most = int((start.types == MASK).sum(1).max())
    total = min(most, settings.type_steps)
    time = torch.zeros(len(start.types))
    for step in range(total):
        logits = network(sample.types, sample.coords, sample.lattice, time).types
        sample = replace(sample, types=_reveal(sample.types, logits, total - step, settings, generator))
        if on_step is not None:
            on_step(step + 1, total)
    return sample


def euler(
    network: Backbone,
    start: Sample,
    settings: SamplerSettings,
    generator: torch.Generator,
    on_step: OnStep | None = None,
) -> Sample:
    """Let the geometry flow; types that are hidden at the start are revealed evenly on the way."""
    sample = start
    hidden = bool((start.types == MASK).any())
    for step in range(settings.steps):
        now = torch.full((len(start.types),), step / settings.steps)
        guess = network(sample.types, sample.coords, sample.lattice, now)
        types = sample.types
        if hidden:
            types = _reveal(types, guess.types, settings.steps - step, settings, generator)
        dt = 1.0 / settings.steps
        # A coordinate step longer than the rest of the way would overshoot what the network aims at.
        coords_dt = min(dt * (1.0 + settings.anneal * step * dt), 1.0 - step * dt)
        coords = (sample.coords + coords_dt * guess.coords) % 1.0
        lattice = sample.lattice + dt * network.lattice_std * guess.lattice
        if settings.closest_A is not None and (step + 1) * dt >= settings.repel_from:
            targets = pair_targets(types, settings.closest_A)
            coords = push_apart(coords, log_to_lattice(lattice), targets, 5 if step + 1 == settings.steps else 1)
        sample = Sample(types, coords, lattice)
        if on_step is not None:
            on_step(step + 1, settings.steps)
    return sample


def types_first(
    network: Backbone,
    start: Sample,
    settings: SamplerSettings,
    generator: torch.Generator,
    on_step: OnStep | None = None,
) -> Sample:
    """`complete_types`, fresh noise for the now known composition, then `euler`."""
    types = complete_types(network, start, settings, generator).types
    return euler(network, noise_for(network, types, settings, generator), settings, generator, on_step)


SAMPLERS: Final[dict[str, Sampler]] = {"types_first": types_first, "joint": euler}


def _reveal(
    types: torch.Tensor, logits: torch.Tensor, steps_left: int, settings: SamplerSettings, generator: torch.Generator
) -> torch.Tensor:
    """Draw an even share of the hidden types of each crystal, so that none is left after `steps_left` calls."""
    hidden = types == MASK
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
