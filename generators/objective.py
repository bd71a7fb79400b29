"""The losses of the flow: a batch at random times on its way from noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from data.datasets import CrystalData
from generators.backbone import Backbone
from generators.batches import Batch
from generators.graph import MASK
from generators.paths import displacement, fit_volumes, lattice_to_log, mask_types, pair_same_type


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses and shares of the tasks.

    Attributes:
        coords: weight of the coordinate loss; the lattice has 1.
        types: weight of the type loss.
        known_share: share of samples whose types are all given (structure prediction).
        blank_share: share of samples with hidden types at time 0 (composition without geometry).
    """

    coords: float = 36.0
    types: float = 0.5
    known_share: float = 0.55
    blank_share: float = 0.2


def fit_buffers(network: Backbone, data: CrystalData) -> None:
    """Set the network's volumes and lattice statistics from the training data."""
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


def loss_terms(
    network: Backbone, batch: Batch, weights: LossWeights, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """Losses of one batch at random times: mean squares of the velocities, cross-entropy of the types, their sum.

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
    time_ = uniform(b).masked_fill(blank, 0.0)
    flip = torch.where(uniform(b, 1, 1) < 0.5, -1.0, 1.0)
    crystal = flip * batch.coords + uniform(b, 1, 3)
    noise = pair_same_type(uniform(b, n, 3), crystal, batch.types)
    way = displacement(noise, crystal)
    spread = torch.randn(b, 6, generator=generator, device=generator.device)
    start = network.reference(visible) + network.lattice_std * spread
    climb = batch.lattice - start
    guess = network(visible, noise + time_[:, None, None] * way, start + time_[:, None] * climb, time_)
    hidden = visible == MASK
    types = functional.cross_entropy(guess.types.flatten(0, 1), batch.types.flatten(), reduction="none").view(b, n)
    geometric = (~blank).float()
    share = geometric.sum().clamp_min(1.0)
    terms = {
        "coords": ((guess.coords - way).square().mean((1, 2)) * geometric).sum() / share,
        "lattice": (guess.lattice - climb / network.lattice_std).square().mean(),
        "types": (types * hidden).sum() / hidden.sum().clamp_min(1),
    }
    loss = weights.coords * terms["coords"] + terms["lattice"] + weights.types * terms["types"]
    return {"loss": loss} | terms
