"""Where the latent vectors of crystals lie, beyond what one Gaussian says of it: a flow fitted to encoded crystals."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from redoxa.generators.normalising_flow import masked_autoregressive

EPOCHS = 60
"""Times that each crystal is drawn in a fit."""

BATCH = 512

RATE, FALL = 2e-3, 0.5
"""Highest learning rate, and the last share of the steps, over which it falls to nothing."""

AVERAGE = 0.995
"""Decay of the averaged weights, which are kept."""

LEAST = 1000
"""Of fewer crystals a flow would learn each by heart."""

JUDGED = 0.1
"""Share of the crystals that a flow is not fitted to, but judged by."""


@dataclass(frozen=True)
class PriorSize:
    """Of a flow prior; see `normalising_flow.masked_autoregressive`."""

    hidden: int = 192
    steps: int = 4
    components: int = 8


class FlowPrior(nn.Module):
    """A density of whitened latent vectors [n,L], in which encoded training data have mean 0 and covariance 1."""

    def __init__(self, latent: int, size: PriorSize | None = None) -> None:
        super().__init__()
        self.size = size or PriorSize()
        # A context that says nothing: weights without inputs cannot be drawn.
        self.flow = masked_autoregressive(latent, 1, self.size.hidden, self.size.steps, self.size.components)

    def log_density(self, white: torch.Tensor) -> torch.Tensor:
        """In nats [n]."""
        return self.flow.log_density(white, white.new_zeros(len(white), 1))

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Whitened vectors [count,L]."""
        return self.flow.sample(torch.zeros(count, 1, device=generator.device), generator)


def standard_log_density(white: torch.Tensor) -> torch.Tensor:
    """Of whitened vectors [n,L] by one Gaussian, in nats [n]."""
    return -0.5 * (white.square() + math.log(2 * math.pi)).sum(1)


@dataclass(frozen=True)
class Encoded:
    """What the encoder says of n crystals: whitened means [n,L], and its noise [n,L] before `whitening` [L,L]."""

    means: torch.Tensor
    spreads: torch.Tensor
    whitening: torch.Tensor

    def draw(self, rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """A whitened vector of each of some crystals."""
        noise = torch.randn(len(rows), self.means.shape[1], generator=generator, device=generator.device)
        return self.means[rows] + (self.spreads[rows] * noise) @ self.whitening.T


def fit_prior(encoded: Encoded, size: PriorSize | None = None, seed: int = 0) -> FlowPrior | None:
    """A flow fitted to vectors drawn by the encoder, always the same for the same crystals and seed.

    None where there are fewer than `LEAST` crystals, or where one Gaussian holds those that the flow was not fitted to
    to be as likely.
    """
    count, latent = encoded.means.shape
    if count < LEAST:
        return None
    device = encoded.means.device
    generator = torch.Generator(device).manual_seed(seed)
    order = torch.randperm(count, generator=generator, device=device)
    judged, fitted = order[: int(JUDGED * count)], order[int(JUDGED * count) :]
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        prior = FlowPrior(latent, size).to(device)
        _maximise(prior, encoded, fitted, generator)
    prior.eval().requires_grad_(False)
    drawn = encoded.draw(judged, generator)
    better = (prior.log_density(drawn) - standard_log_density(drawn)).mean() > 0
    return prior if bool(better) else None


def _maximise(prior: FlowPrior, encoded: Encoded, rows: torch.Tensor, generator: torch.Generator) -> None:
    """Raise the likelihood of vectors of crystals, and leave the average of the weights on the way."""
    parameters: tuple[torch.Tensor, ...] = tuple(prior.parameters())
    averages = [parameter.detach().clone() for parameter in parameters]
    optimiser = torch.optim.AdamW(parameters, lr=RATE, betas=(0.9, 0.99), weight_decay=0.02)
    steps = math.ceil(EPOCHS * len(rows) / BATCH)
    for step, part in enumerate(_batches(rows, steps, generator)):
        fall = (steps - step) / (FALL * steps)
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 50, fall)
        optimiser.zero_grad()
        torch.autograd.backward(-prior.log_density(encoded.draw(part, generator)).mean())
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimiser.step()
        decay = min(AVERAGE, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(averages, parameters, 1 - decay)
    with torch.no_grad():
        torch._foreach_copy_(parameters, averages)


def _batches(rows: torch.Tensor, steps: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    for _ in range(steps):
        yield rows[torch.randint(len(rows), (BATCH,), generator=generator, device=generator.device)]
