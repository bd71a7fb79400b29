"""How likely a network from noise holds a crystal to be: the change of variables along its differential equation.

Going from the crystal z (coordinates on the torus, standardised log lattice) back to noise along dz/dt = f(z, t),
log p(z at 1) = log p(z at 0) - integral of div f dt (arXiv:1806.07366). The noise is uniform for the coordinates and
normal for the lattice. The divergence is Hutchinson's estimate, e . df/dz e for random signs e, with df/dz e by central
differences, so that the network is evaluated only, never differentiated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from redoxa.data.records import Crystal
from redoxa.data.tables.datasets import reduce_cell
from redoxa.generators.backbone import Prediction
from redoxa.generators.log_lattice import lattice_to_log
from redoxa.generators.noise.sampling.guidance import Network
from redoxa.generators.noise.sampling.samplers import Sample
from redoxa.generators.noise.sampling.wrapped_normal import SIGMA_CRYSTAL, SIGMA_NOISE, score_scale, sigma_at

Velocity = Callable[[Prediction, float], tuple[torch.Tensor, torch.Tensor]]
"""From what the network says at a time: velocity of coordinates [B,N,3] and of the standardised lattice [B,6]."""


def flow_velocity(guess: Prediction, time: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The flow's network says velocities."""
    del time
    return guess.coords, guess.lattice


def diffusion_velocity(guess: Prediction, time: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The probability flow of the diffusion: -s ds/dt times the score, and the rotation of the lattice."""
    sigma = sigma_at(torch.tensor([time]))
    rate = sigma.square() * math.log(SIGMA_NOISE / SIGMA_CRYSTAL)
    return rate * score_scale(sigma) * guess.coords, -math.pi / 2 * guess.lattice


@dataclass(frozen=True)
class _Field:
    """Velocities of crystals of one composition each, as a function of state and time."""

    network: Network
    velocity: Velocity
    reference: torch.Tensor
    types: torch.Tensor

    def __call__(self, coords: torch.Tensor, y: torch.Tensor, time: float) -> tuple[torch.Tensor, torch.Tensor]:
        lattice = self.reference + self.network.lattice_std * y
        times = torch.full((len(y),), time)
        return self.velocity(self.network(self.types, coords, lattice, times), time)


@torch.no_grad()
def log_density(
    network: Network, velocity: Velocity, crystals: Sample, generator: torch.Generator, steps: int = 40
) -> torch.Tensor:
    """Log density of crystals given their types, in nats, with respect to fractional coordinates and log lattice.

    The coordinates get noise of width 0.005 first, the least that the diffusion knows: the mean over it is a lower
    bound of the log density smoothed by as much (Jensen); a crystal as it is may have a far higher one by accident.

    Args:
        network: trained.
        velocity: what its words mean.
        crystals: types [B,N], coordinates [B,N,3] and log lattices [B,6]; cells reduced as in training.
        generator: source of the noise and of the signs.
        steps: of the integration by the midpoint rule, four evaluations of the network each.

    Returns:
        [B].
    """
    reference = network.reference(crystals.types)
    field = _Field(network, velocity, reference, crystals.types)
    coords = crystals.coords + SIGMA_CRYSTAL * torch.randn(crystals.coords.shape, generator=generator)
    y = (crystals.lattice - reference) / network.lattice_std
    divergence = torch.zeros(len(y))
    dt = 1.0 / steps
    for step in range(steps):
        time = 1.0 - step * dt
        move, turn = field(coords, y, time)
        middle = coords - dt / 2 * move, y - dt / 2 * turn
        move, turn = field(*middle, time - dt / 2)
        divergence += dt * _divergence(field, *middle, time - dt / 2, generator)
        coords, y = coords - dt * move, y - dt * turn
    normal = -0.5 * (y.square() + math.log(2 * math.pi)).sum(1)
    return normal - network.lattice_std.log().sum() - divergence


def as_sample(crystals: Sequence[Crystal]) -> Sample:
    """Crystals of equally many atoms in their reduced cells, as the networks were trained on them."""
    cells = [reduce_cell(np.array(c.lattice_A), np.array(c.frac_coords)) for c in crystals]
    return Sample(
        torch.tensor([c.numbers for c in crystals]),
        torch.from_numpy(np.stack([frac for _, frac in cells])).float(),
        lattice_to_log(torch.from_numpy(np.stack([cell for cell, _ in cells]))).float(),
    )


def _divergence(
    field: _Field, coords: torch.Tensor, y: torch.Tensor, time: float, generator: torch.Generator
) -> torch.Tensor:
    """Hutchinson's estimate [B]; differences are a fiftieth of the scale on which things change at this time."""
    small = 0.02
    by = small * float(sigma_at(torch.tensor(time))), small
    signs = [torch.randint(0, 2, x.shape, generator=generator) * 2.0 - 1.0 for x in (coords, y)]
    ahead = field(coords + by[0] * signs[0], y + by[1] * signs[1], time)
    behind = field(coords - by[0] * signs[0], y - by[1] * signs[1], time)
    total = torch.zeros(len(y))
    for sign, plus, minus, size in zip(signs, ahead, behind, by, strict=True):
        total += (sign * (plus - minus) / (2 * size)).flatten(1).sum(1)
    return total
