"""What networks from noise are trained on: a batch at random times, and the losses of what they say of it.

The types are hidden atom by atom (absorbing masks); what becomes of the geometry is the matter of a `Noising`, of which
there are two: the straight paths of the flow, and the diffusion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

from redoxa.data.tables.datasets import CrystalData
from redoxa.generators.backbone import Backbone
from redoxa.generators.graph import MASK, wrap
from redoxa.generators.log_lattice import lattice_to_log
from redoxa.generators.noise.paths import displacement, fit_volumes, mask_types, pair_same_type
from redoxa.generators.noise.sampling.wrapped_normal import score, score_scale, sigma_at
from redoxa.generators.training.batches import Batch


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses and shares of the tasks.

    Attributes:
        coords: weight of the coordinate loss; the lattice has 1.
        types: weight of the type loss.
        known_share: share of samples whose types are all given (structure prediction).
        blank_share: share of samples with hidden types at time 0 (composition without geometry).
        label_dropout: share of the known labels that are hidden, each on its own.
        all_dropout: share of samples whose labels are all hidden.
    """

    coords: float = 36.0
    types: float = 0.5
    known_share: float = 0.55
    blank_share: float = 0.2
    label_dropout: float = 0.2
    all_dropout: float = 0.1


@dataclass(frozen=True)
class Noised:
    """Geometry on its way from noise, and what the network is to say of it.

    Attributes:
        coords: [B,N,3].
        lattice: log lattice [B,6].
        coords_target: [B,N,3], without mean over the atoms.
        lattice_target: [B,6].
    """

    coords: torch.Tensor
    lattice: torch.Tensor
    coords_target: torch.Tensor
    lattice_target: torch.Tensor


Noising = Callable[[Backbone, torch.Tensor, Batch, torch.Tensor, torch.Generator], Noised]
"""From (network, visible types [B,N], crystals, times [B], generator)."""


def straight_paths(
    network: Backbone, visible: torch.Tensor, crystal: Batch, time: torch.Tensor, generator: torch.Generator
) -> Noised:
    """The flow: straight ways from paired uniform noise, and from a cell of the right size; targets are velocities."""
    noise = torch.rand(crystal.coords.shape, generator=generator, device=generator.device)
    noise = pair_same_type(noise, crystal.coords, crystal.types)
    way = displacement(noise, crystal.coords)
    start = network.reference(visible) + network.lattice_std * _normal(crystal.lattice, generator)
    climb = crystal.lattice - start
    coords, lattice = noise + time[:, None, None] * way, start + time[:, None] * climb
    return Noised(coords, lattice, way, climb / network.lattice_std)


def diffusion(
    network: Backbone, visible: torch.Tensor, crystal: Batch, time: torch.Tensor, generator: torch.Generator
) -> Noised:
    """Wrapped normal noise on the coordinates, and a rotation of the standardised lattice into normal noise.

    The target of the coordinates is the score over its root mean square (DiffCSP, arXiv:2309.04475), free of drift: the
    origin is arbitrary, so the density does not change along it. With y the standardised lattice, e the noise and
    angle = pi/2 (1 - time), the state is cos y + sin e, and the target its derivative, cos e - sin y
    (arXiv:2202.00512).
    """
    sigma = sigma_at(time)[:, None, None]
    coords = crystal.coords + sigma * _normal(crystal.coords, generator)
    pull = score(wrap(coords - crystal.coords), sigma) / score_scale(sigma.flatten())[:, None, None]
    reference = network.reference(visible)
    y, noise = (crystal.lattice - reference) / network.lattice_std, _normal(crystal.lattice, generator)
    angle = torch.pi / 2 * (1 - time[:, None])
    lattice = reference + network.lattice_std * (angle.cos() * y + angle.sin() * noise)
    return Noised(coords, lattice, pull - pull.mean(1, keepdim=True), angle.cos() * noise - angle.sin() * y)


def loss_terms(
    network: Backbone, batch: Batch, weights: LossWeights, noising: Noising, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """Losses of one batch at random times: mean squares for the geometry, cross-entropy of the types, their sum.

    A share of the samples has all types given, a share has hidden types and pure noise, the rest has both at
    independent times; so one network completes compositions, predicts structures, and fills in elements.
    """
    b, n = batch.types.shape

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, device=generator.device)

    kind = uniform(b)
    all_known = kind < weights.known_share
    blank = kind > 1 - weights.blank_share
    visible = mask_types(batch.types, torch.where(all_known, 2.0, uniform(b)), generator)
    time = uniform(b).masked_fill(blank, 0.0)
    flip = torch.where(uniform(b, 1, 1) < 0.5, -1.0, 1.0)
    crystal = Batch(batch.types, flip * batch.coords + uniform(b, 1, 3), batch.lattice, batch.labels)
    noised = noising(network, visible, crystal, time, generator)
    unknown = (uniform(*batch.labels.shape) < weights.label_dropout) | (uniform(b, 1) < weights.all_dropout)
    labels = batch.labels.masked_fill(unknown, torch.nan)
    guess = network(visible, noised.coords, noised.lattice, time, labels)
    hidden = visible == MASK
    types = functional.cross_entropy(guess.types.flatten(0, 1), batch.types.flatten(), reduction="none").view(b, n)
    geometric = (~blank).float()
    share = geometric.sum().clamp_min(1.0)
    terms = {
        "coords": ((guess.coords - noised.coords_target).square().mean((1, 2)) * geometric).sum() / share,
        "lattice": (guess.lattice - noised.lattice_target).square().mean(),
        "types": (types * hidden).sum() / hidden.sum().clamp_min(1),
    }
    loss = weights.coords * terms["coords"] + terms["lattice"] + weights.types * terms["types"]
    return {"loss": loss} | terms


def fit_buffers(network: Backbone, data: CrystalData) -> None:
    """Set the network's volumes and the statistics of lattices and labels from the training data."""
    counts = torch.from_numpy(data.counts)
    batch = torch.repeat_interleave(torch.arange(len(data)), counts)
    cells = torch.from_numpy(data.cells).double()
    numbers = torch.from_numpy(data.numbers)
    network.volumes.copy_(fit_volumes(numbers, batch, torch.linalg.det(cells).abs()))
    logs = lattice_to_log(cells)
    guess = torch.zeros(len(data), dtype=torch.float64).index_add_(0, batch, network.volumes[numbers].double()).log()
    logs[:, 0] -= guess
    network.lattice_mean.copy_(logs.mean(0))
    # A floor, for data whose cells all have one shape.
    network.lattice_std.copy_(logs.std(0).clamp_min(0.02))
    if network.labels is not None:
        network.labels.fit(torch.from_numpy(data.labels))


def _normal(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(like.shape, generator=generator, device=generator.device)
