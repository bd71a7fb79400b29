"""The latent space of the graph VAE: search for windows, interpolation, neighbours, anomalies, disentanglement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from redoxa.data.crystal import CrystalBatch
from redoxa.data.errors import StructureError
from redoxa.data.records import Crystal
from redoxa.data.symmetry.normaliser import canonical
from redoxa.data.symmetry.symmetric import SymmetricCrystal, symmetric
from redoxa.data.tables.datasets import reduce_cell
from redoxa.generators.base import Target
from redoxa.generators.noise.sampling.guidance import label_of
from redoxa.generators.vae.crystal_graph import graphs_of, joined
from redoxa.generators.vae.network import PROPERTIES, Vae
from redoxa.generators.wyckoff.checkpoint import table_of
from redoxa.generators.wyckoff.grammar import Wish
from redoxa.generators.wyckoff.likelihood import skeleton_nats
from redoxa.generators.wyckoff.network import Context
from redoxa.generators.wyckoff.objective import batch_of_form, log_likelihood

CAPACITY = "capacity_mAh_g"

TYPICAL_ATOMS = 8
"""Of a crystal, where its chance to hold allowed elements only is estimated."""

OUTSIDE = 3.0
"""Anomaly score from which on a crystal lies outside what the model has seen."""

BOUND_DRAWS = 16
"""Latent vectors over which the probability of a crystal is averaged."""

MARGIN = 0.25
"""How far inside a window the search aims, in spreads of the property; half the window at most."""


@dataclass(frozen=True)
class Goal:
    """A window for a property head: its place in `PROPERTIES`, and bounds in its unit, infinite for no bound."""

    head: int
    low: float
    high: float


@dataclass(frozen=True)
class Anomaly:
    """How unlike the training data a crystal is, in standard deviations of theirs.

    Attributes:
        distance: Mahalanobis distance of its latent vector over that of a typical one (the root of the dimension).
        nats: excess of the negative log-likelihood of its reconstruction; infinite where it has no symmetric form.
    """

    distance: float
    nats: float

    @property
    def score(self) -> float:
        """Both in one; above `OUTSIDE` a crystal lies outside what the model has seen."""
        return max(self.distance - 1.0, 0.0) * 3.0 + max(self.nats, 0.0)


def goals_for(targets: Sequence[Target], required: frozenset[int]) -> list[Goal]:
    """Windows for property heads; a voltage is of the one working ion that is required.

    Raises:
        GenerationError: no head stands for a target.
    """
    goals = []
    for target in targets:
        head = CAPACITY if target.property == "capacity_grav" else label_of("vae", target, required)
        low, high = target.low, target.high
        goals.append(Goal(PROPERTIES.index(head), -np.inf if low is None else low, np.inf if high is None else high))
    return goals


class LatentSpace:
    """What can be done with the latent vectors of a trained VAE. Vectors are float32 [n,L]."""

    def __init__(self, network: Vae) -> None:
        self.network = network.eval().requires_grad_(False)

    def encode(self, crystals: Sequence[Crystal]) -> torch.Tensor:
        """Mean latent vectors of crystals [n,L]."""
        if not crystals:
            return self.network.latent_mean.new_zeros(0, len(self.network.latent_mean))
        graphs = graphs_of(CrystalBatch.from_crystals([reduced(crystal) for crystal in crystals]))
        mean, _ = self.network.encode(joined(graphs, torch.device("cpu")))
        return mean

    def properties(self, latent: torch.Tensor) -> torch.Tensor:
        """What the heads read off [n,P], in the units of `PROPERTIES`."""
        return self.network.properties(latent)

    def whitened(self, latent: torch.Tensor) -> torch.Tensor:
        """Vectors in which the encoded training data have unit covariance [n,L]."""
        return self.network.whitened(latent)

    def coloured(self, white: torch.Tensor) -> torch.Tensor:
        """Inverse of `whitened`."""
        return self.network.coloured(white)

    def penalty(self, latent: torch.Tensor, goals: Sequence[Goal], margin: float = 0.0) -> torch.Tensor:
        """`missed` by what the heads read off vectors [n,L]."""
        return self.missed(self.properties(latent), goals, margin)

    def missed(self, properties: torch.Tensor, goals: Sequence[Goal], margin: float = 0.0) -> torch.Tensor:
        """Sum over goals of the squared distance to the window, in spreads of the property [n]; 0 inside all."""
        found = properties.new_zeros(len(properties))
        for goal in goals:
            spread = float(self.network.property_spread[goal.head])
            inside = min(margin * spread, (goal.high - goal.low) / 2)
            value = properties[:, goal.head]
            below = (goal.low + inside - value).clamp_min(0) if np.isfinite(goal.low) else torch.zeros_like(value)
            above = (value - goal.high + inside).clamp_min(0) if np.isfinite(goal.high) else torch.zeros_like(value)
            found = found + ((below + above) / spread).square()
        return found

    def chances(self, latent: torch.Tensor, wish: Wish) -> torch.Tensor:
        """Rough log-probability that a crystal written from each vector would meet a wish by itself [n].

        By the element shares and the space group that are read off the vector, atoms drawn one by one.
        """
        content, group = self.network.summarised(latent)
        shares, groups = content.softmax(-1), group.softmax(-1)
        found = TYPICAL_ATOMS * shares[:, sorted(wish.allowed)].sum(1).clamp_min(1e-9).log()
        for z in sorted(wish.required):
            found = found + (1 - (1 - shares[:, z]) ** TYPICAL_ATOMS).clamp_min(1e-9).log()
        if wish.groups:
            found = found + groups[:, sorted(wish.groups)].sum(1).clamp_min(1e-9).log()
        return found

    def search(self, starts: torch.Tensor, goals: Sequence[Goal], steps: int = 150, rate: float = 0.05) -> torch.Tensor:
        """Follow the gradient from each start [n,L] into the windows, and no farther out than training data lie."""
        white = self.whitened(starts).clone().requires_grad_(True)
        optimiser = torch.optim.Adam([white], lr=rate)
        for _ in range(steps):
            optimiser.zero_grad()
            outside = (white.square().mean(1) - 1.0).clamp_min(0)
            torch.autograd.backward((self.penalty(self.coloured(white), goals, MARGIN) + outside).sum())
            optimiser.step()
        return self.coloured(white.detach())

    def interpolate(self, first: torch.Tensor, last: torch.Tensor, count: int) -> torch.Tensor:
        """Vectors from one [L] to another [L], ends included, along the great arc of whitened space [count,L].

        A straight line would pass through the middle, where hardly any crystal lies.
        """
        a, b = self.whitened(torch.stack([first, last]))
        angle = torch.arccos((a @ b / (a.norm() * b.norm())).clamp(-1.0, 1.0))
        t = torch.linspace(0.0, 1.0, count).unsqueeze(1)
        if angle < 1e-3:
            path = a + t * (b - a)
        else:
            path = (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)
        return self.coloured(path)

    def neighbours(self, queries: torch.Tensor, library: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Distances (whitened) and places of the k nearest vectors of a library [m,L] to each query: [n,k] each."""
        distances = torch.cdist(self.whitened(queries), self.whitened(library))
        nearest = distances.topk(k, largest=False)
        return nearest.values, nearest.indices

    def anomalies(self, crystals: Sequence[Crystal]) -> list[Anomaly]:
        """How unlike the training data crystals are."""
        latent = self.encode(crystals)
        distances = self.whitened(latent).square().sum(1).sqrt() / latent.shape[1] ** 0.5
        mean, spread = self.network.usual_nats.tolist()
        return [
            Anomaly(distance, (self._nats(crystal, z) - mean) / spread)
            for crystal, z, distance in zip(crystals, latent, distances.tolist(), strict=True)
        ]

    @torch.no_grad()
    def skeleton_bound(self, crystal: Crystal, form: SymmetricCrystal, generator: torch.Generator) -> float:
        """Importance-weighted bound of the log probability of a crystal's decorated skeleton, in nats.

        The mean over `BOUND_DRAWS` vectors of the encoder's Gaussian, weighed by the prior from which samples come; a
        lower bound in the mean over draws (arXiv:1509.00519).

        Args:
            crystal: of elements that the network knows.
            form: canonical one of it.
            generator: draws the vectors.
        """
        mean, log_variance = self.network.encode(
            joined(graphs_of(CrystalBatch.from_crystals([reduced(crystal)])), torch.device("cpu"))
        )
        noise = torch.randn(BOUND_DRAWS, mean.shape[1], generator=generator)
        latent = mean + (0.5 * log_variance).exp() * noise
        drawn = -0.5 * (noise.square() + log_variance + math.log(2 * math.pi)).sum(1)
        weights = skeleton_nats(self.network.decoder, form, latent) + self.network.log_prior(latent) - drawn
        return float(weights.logsumexp(0) - math.log(BOUND_DRAWS))

    def _nats(self, crystal: Crystal, latent: torch.Tensor) -> float:
        """Negative log-likelihood of a crystal written from a latent vector [L]."""
        try:
            form = canonical(symmetric(crystal))
        except StructureError:
            return float("inf")
        batch = batch_of_form(form, table_of(self.network.decoder))
        given = Context(torch.zeros_like(batch.content), batch.free_order, latent[None])
        with torch.no_grad():
            return -float(torch.stack(list(log_likelihood(self.network.decoder, batch, given).values())).sum())


def reduced(crystal: Crystal) -> Crystal:
    """The same crystal in its shortest lattice vectors."""
    cell, coords = reduce_cell(np.array(crystal.lattice_A), np.array(crystal.frac_coords))
    return Crystal(numbers=crystal.numbers, frac_coords=coords.tolist(), lattice_A=cell.tolist())


def mutual_information(
    latent: npt.NDArray[np.float64], values: npt.NDArray[np.float64], bins: int = 20
) -> npt.NDArray[np.float64]:
    """Mutual information of each dimension with each property over its own entropy, both in equally full bins [L,P].

    Args:
        latent: [n,L].
        values: [n,P], NaN where unknown.
        bins: of each.
    """
    found = np.zeros((latent.shape[1], values.shape[1]))
    for p, column in enumerate(values.T):
        known = np.isfinite(column)
        v = _binned(column[known], bins)
        for d, dimension in enumerate(latent[known].T):
            joint = np.zeros((bins, bins))
            np.add.at(joint, (_binned(dimension, bins), v), 1.0 / known.sum())
            outer = joint.sum(1, keepdims=True) * joint.sum(0)
            information = float((joint[joint > 0] * np.log(joint[joint > 0] / outer[joint > 0])).sum())
            shares = joint.sum(0)
            found[d, p] = information / -float((shares[shares > 0] * np.log(shares[shares > 0])).sum())
    return found


def _binned(x: npt.NDArray[np.float64], bins: int) -> npt.NDArray[np.int64]:
    """Bin of each value, bins equally full; equal values share a bin."""
    edges = np.quantile(x, np.linspace(0, 1, bins + 1)[1:-1])
    return np.searchsorted(edges, x, side="right")


def information_gap(information: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mutual information gap (arXiv:1802.04942) of each property [P]: the best dimension's lead over the second."""
    ordered = np.sort(information, axis=0)
    return np.asarray(ordered[-1] - ordered[-2])


@dataclass(frozen=True)
class Plane:
    """A plane in the latent space: a point of it [L], and two orthonormal directions [2,L]."""

    origin: torch.Tensor
    axes: torch.Tensor

    def __call__(self, latent: torch.Tensor) -> torch.Tensor:
        """Where vectors [n,L] lie on it [n,2]."""
        return (latent - self.origin) @ self.axes.T


def main_plane(latent: torch.Tensor) -> Plane:
    """The plane of the two main directions of vectors [n,L], by their covariance, for a map."""
    origin = latent.mean(0)
    _, _, axes = torch.linalg.svd(latent - origin, full_matrices=False)
    signs = axes[:2].gather(1, axes[:2].abs().argmax(1, keepdim=True)).sign()
    return Plane(origin, axes[:2] * signs)
