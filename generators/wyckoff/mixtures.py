"""Mixture densities: on the circle for fractional coordinates, on the line for cells."""

from __future__ import annotations

import math

import torch

_LOG_ROOT_TWO_PI = 0.5 * math.log(2 * math.pi)

LEAST_SPREAD, LARGEST_SPREAD = 0.003, 0.35
"""Of a component on the circle: what data resolve, and where three images still make up the wrapped density."""


class Mixture:
    """Mixtures of K products of normals in D dimensions, wrapped around circles of circumference 1 or on lines.

    Args:
        raw: output of a network [..., K (1 + 2 D)]: weights, centres, spreads.
        dimensions: D.
        circular: wrapped, or not.
    """

    def __init__(self, raw: torch.Tensor, dimensions: int, circular: bool) -> None:
        size = 1 + 2 * dimensions
        raw = raw.reshape(*raw.shape[:-1], raw.shape[-1] // size, size)
        self.circular = circular
        self.weights = raw[..., 0].log_softmax(-1)
        self.centres, spreads = raw[..., 1:].chunk(2, dim=-1)
        if circular:
            share = torch.sigmoid(spreads)
            self.spreads = LEAST_SPREAD * (LARGEST_SPREAD / LEAST_SPREAD) ** share
        else:
            self.spreads = spreads.clamp(-6.0, 3.0).exp()

    def log_density(self, x: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """Log density [...] of points [..., D], over the dimensions that are real, bool [..., D]."""
        delta = x.unsqueeze(-2) - self.centres
        if self.circular:
            nearest = delta - delta.round()
            images = torch.stack([nearest - 1, nearest, nearest + 1], dim=-1) / self.spreads.unsqueeze(-1)
            shape = (-0.5 * images.square()).logsumexp(-1)
        else:
            shape = -0.5 * (delta / self.spreads).square()
        terms = shape - self.spreads.log() - _LOG_ROOT_TWO_PI
        return (self.weights + (terms * real.unsqueeze(-2)).sum(-1)).logsumexp(-1)

    def sample(self, generator: torch.Generator, temperature: float = 1.0) -> torch.Tensor:
        """Points [..., D]; a temperature below 1 prefers likely components and stays near their centres."""
        shape = self.weights.shape
        flat = (self.weights / max(temperature, 1e-3)).softmax(-1).reshape(-1, shape[-1])
        chosen = torch.multinomial(flat, 1, generator=generator).reshape(*shape[:-1], 1, 1)
        index = chosen.expand(*shape[:-1], 1, self.centres.shape[-1])
        centres, spreads = self.centres.gather(-2, index).squeeze(-2), self.spreads.gather(-2, index).squeeze(-2)
        noise = torch.randn(centres.shape, generator=generator)
        points = centres + temperature * spreads * noise
        return points % 1.0 if self.circular else points
