"""Normalising flows: exact densities of a few numbers given a context, and exact samples of them.

A flow is a chain of invertible steps and the density in which it ends. The steps are masked autoregressive ones
(MAF, arXiv:1705.07057) or affine couplings behind invertible linear maps (Glow, arXiv:1807.03039). Where data lie on
thin sheets, as cells of high symmetry do, no chain of affine steps gets there from a single normal; a chain that ends
in mixtures does. Shapes: numbers [B,D], context [B,C], log densities [B] in nats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import nn
from torch.nn import functional

LARGEST_LOG_SCALE = 3.0
"""One step stretches a number by e to this at most: steeper ones overflow in single precision."""

LOG_SPREADS = (-7.0, 3.0)
"""Of the components of a mixture: the narrowest lies far below any noise that data are smoothed with."""

_LOG_ROOT_TWO_PI = 0.5 * math.log(2 * math.pi)


class Step(Protocol):
    """One invertible step."""

    def __call__(self, x: torch.Tensor, context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Where numbers go [B,D], and the log of how much the step stretches space there [B]."""
        ...

    def inverse(self, z: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Where they came from [B,D]."""
        ...


class End(Protocol):
    """The density in which a chain of steps ends."""

    def log_density(self, z: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """In nats [B]."""
        ...

    def sample(self, context: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """One draw for each context [B,D]."""
        ...


class NormalisingFlow(nn.Module):
    """A chain of steps and its end.

    Args:
        steps: modules that are each a `Step`.
        end: a module that is an `End`.
    """

    def __init__(self, steps: Sequence[nn.Module], end: nn.Module) -> None:
        super().__init__()
        self.steps, self.end = nn.ModuleList(steps), end

    def log_density(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """In nats [B], of numbers [B,D]."""
        stretched = x.new_zeros(len(x))
        for step in self.steps:
            x, log_scale = step(x, context)
            stretched = stretched + log_scale
        return cast(End, self.end).log_density(x, context) + stretched

    def sample(self, context: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """One draw for each context [B,D]."""
        x = cast(End, self.end).sample(context, generator)
        for step in reversed(self.steps):
            x = cast(Step, step).inverse(x, context)
        return x


def masked_autoregressive(dimensions: int, context: int, hidden: int, steps: int, components: int) -> NormalisingFlow:
    """Autoregressive steps, every other one from the last number to the first; ends in mixtures of `components`.

    With 0 components it ends in one standard normal, without steps it is an autoregressive mixture.
    """
    chain = [Autoregressive(dimensions, context, hidden, backwards=bool(i % 2)) for i in range(steps)]
    return NormalisingFlow(chain, _end(dimensions, context, hidden, components))


def glow(dimensions: int, context: int, hidden: int, steps: int, components: int) -> NormalisingFlow:
    """Invertible linear maps, each followed by an affine coupling; its end as in `masked_autoregressive`."""
    chain = [part for _ in range(steps) for part in (Linear(dimensions), Coupling(dimensions, context, hidden))]
    return NormalisingFlow(chain, _end(dimensions, context, hidden, components))


def _end(dimensions: int, context: int, hidden: int, components: int) -> nn.Module:
    return Mixtures(dimensions, context, hidden, components) if components else Normal(dimensions)


class Masked(nn.Module):
    """A network whose outputs [B,D,P] of each number see the context and the numbers before it alone (MADE).

    See arXiv:1502.03509. Outputs begin at their biases: the last layer's weights are zero.
    """

    def __init__(self, dimensions: int, context: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.first = nn.Linear(dimensions, hidden)
        self.given = nn.Linear(context, hidden, bias=False)
        self.second = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, dimensions * outputs)
        self.beside = nn.Linear(context, dimensions * outputs, bias=False)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.beside.weight)
        place = torch.arange(dimensions)
        # Units of the hidden layers see the numbers up to a place of their own, the first ones none.
        reach = torch.arange(hidden) % dimensions
        self._mask("first", reach.unsqueeze(1) > place)
        self._mask("second", reach.unsqueeze(1) >= reach)
        self._mask("last", place.repeat_interleave(outputs).unsqueeze(1) >= reach)

    def _mask(self, name: str, mask: torch.Tensor) -> None:
        self.register_buffer(f"{name}_mask", mask.float(), persistent=False)

    def _layer(self, name: str, x: torch.Tensor) -> torch.Tensor:
        layer = cast(nn.Linear, getattr(self, name))
        return functional.linear(x, layer.weight * cast(torch.Tensor, getattr(self, f"{name}_mask")), layer.bias)

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Outputs [B,D,P]."""
        h = functional.silu(self._layer("first", x) + self.given(context))
        h = h + functional.silu(self._layer("second", h))
        found: torch.Tensor = self._layer("last", h) + self.beside(context)
        return found.view(len(x), -1, self.outputs)


class Autoregressive(nn.Module):
    """Shifts and stretches each number by what those before it say (a `Step`); inverted number by number."""

    def __init__(self, dimensions: int, context: int, hidden: int, backwards: bool) -> None:
        super().__init__()
        self.network, self.backwards = Masked(dimensions, context, hidden, 2), backwards
        nn.init.zeros_(self.network.last.bias)  # a step begins as the identity

    def _ordered(self, x: torch.Tensor) -> torch.Tensor:
        return x.flip(1) if self.backwards else x

    def _affine(self, x: torch.Tensor, context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        shift, scale = self.network(x, context).unbind(-1)
        return shift, _bounded(scale)

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Step`."""
        x = self._ordered(x)
        shift, log_scale = self._affine(x, context)
        return self._ordered((x - shift) * log_scale.exp()), log_scale.sum(1)

    def inverse(self, z: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """See `Step`."""
        z = self._ordered(z)
        x = torch.zeros_like(z)
        for place in range(z.shape[1]):
            shift, log_scale = self._affine(x, context)
            x = torch.cat([x[:, :place], (z * (-log_scale).exp() + shift)[:, place:]], dim=1)
        return self._ordered(x)


class Coupling(nn.Module):
    """Shifts and stretches the second half of the numbers by what the first half says (a `Step`)."""

    def __init__(self, dimensions: int, context: int, hidden: int) -> None:
        super().__init__()
        self.kept = dimensions // 2
        self.network = nn.Sequential(
            nn.Linear(self.kept + context, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(),
            nn.Linear(hidden, 2 * (dimensions - self.kept)),
        )  # fmt: skip
        for parameter in self.network[-1].parameters():
            nn.init.zeros_(parameter)

    def _affine(self, kept: torch.Tensor, context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        shift, scale = self.network(torch.cat([kept, context], dim=1)).chunk(2, dim=1)
        return shift, _bounded(scale)

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Step`."""
        kept, rest = x[:, : self.kept], x[:, self.kept :]
        shift, log_scale = self._affine(kept, context)
        return torch.cat([kept, (rest - shift) * log_scale.exp()], dim=1), log_scale.sum(1)

    def inverse(self, z: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """See `Step`."""
        kept, rest = z[:, : self.kept], z[:, self.kept :]
        shift, log_scale = self._affine(kept, context)
        return torch.cat([kept, rest * (-log_scale).exp() + shift], dim=1)


class Linear(nn.Module):
    """An invertible linear map, a permutation times two triangular matrices (a `Step`): begins as a rotation."""

    permutation: torch.Tensor

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        rotation = nn.init.orthogonal_(torch.empty(dimensions, dimensions))
        permutation, lower, upper = torch.linalg.lu(rotation)
        self.register_buffer("permutation", permutation)
        self.lower, self.upper = nn.Parameter(lower.tril(-1)), nn.Parameter(upper.triu(1))
        self.signs: torch.Tensor
        self.register_buffer("signs", upper.diagonal().sign())
        self.log_scale = nn.Parameter(upper.diagonal().abs().log())

    def _triangles(self) -> tuple[torch.Tensor, torch.Tensor]:
        lower = self.lower.tril(-1) + torch.eye(len(self.signs), device=self.signs.device)
        return lower, self.upper.triu(1) + (self.signs * self.log_scale.exp()).diag()

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Step`."""
        del context
        lower, upper = self._triangles()
        return x @ (self.permutation @ lower @ upper).T, self.log_scale.sum().expand(len(x))

    def inverse(self, z: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """See `Step`."""
        del context
        lower, upper = self._triangles()
        solved = torch.linalg.solve_triangular(lower, (z @ self.permutation).T, upper=False, unitriangular=True)
        found: torch.Tensor = torch.linalg.solve_triangular(upper, solved, upper=True).T
        return found


class Normal(nn.Module):
    """A standard normal, whatever the context (an `End`)."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.dimensions = dimensions

    def log_density(self, z: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """See `End`."""
        del context
        return (-0.5 * z.square() - _LOG_ROOT_TWO_PI).sum(1)

    def sample(self, context: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """See `End`."""
        return torch.randn(len(context), self.dimensions, generator=generator, device=generator.device)


class Mixtures(nn.Module):
    """For each number a mixture of normals that the numbers before it and the context set (an `End`)."""

    def __init__(self, dimensions: int, context: int, hidden: int, components: int) -> None:
        super().__init__()
        self.dimensions = dimensions
        self.network = Masked(dimensions, context, hidden, 3 * components)
        with torch.no_grad():  # centres begin spread out: equal components would stay equal
            first = self.network.last.bias.view(dimensions, components, 3)
            first.zero_()
            first[..., 1] = torch.linspace(-2.0, 2.0, components) if components > 1 else 0.0

    def _mixtures(self, z: torch.Tensor, context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Log weights, centres and log spreads, each [B,D,K]."""
        raw = self.network(z, context).unflatten(-1, (-1, 3))
        return raw[..., 0].log_softmax(-1), raw[..., 1], raw[..., 2].clamp(*LOG_SPREADS)

    def log_density(self, z: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """See `End`."""
        weights, centres, log_spreads = self._mixtures(z, context)
        far = (z.unsqueeze(-1) - centres) * (-log_spreads).exp()
        terms = weights - 0.5 * far.square() - log_spreads - _LOG_ROOT_TWO_PI
        return terms.logsumexp(-1).sum(1)

    def sample(self, context: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """See `End`."""
        z = torch.zeros(len(context), self.dimensions, device=context.device)
        for place in range(self.dimensions):
            weights, centres, log_spreads = (part[:, place] for part in self._mixtures(z, context))
            chosen = torch.multinomial(weights.exp(), 1, generator=generator)
            centre, spread = centres.gather(1, chosen), log_spreads.gather(1, chosen).exp()
            drawn = centre + spread * torch.randn(centre.shape, generator=generator, device=context.device)
            z = torch.cat([z[:, :place], drawn, z[:, place + 1 :]], dim=1)
        return z


def _bounded(log_scale: torch.Tensor) -> torch.Tensor:
    """Smoothly within the largest."""
    return LARGEST_LOG_SCALE * torch.tanh(log_scale / LARGEST_LOG_SCALE)
