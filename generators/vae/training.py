"""What the graph VAE learns, for `generators.training.loop.train`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Literal

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from torch_geometric.data import Data

from redoxa.data.crystal import CrystalBatch
from redoxa.data.shipped import shipped
from redoxa.data.symmetry.sequences import SequenceData, load_sequences
from redoxa.data.tables.datasets import CrystalData
from redoxa.generators.graph import N_TYPES
from redoxa.generators.training.kinds import Training
from redoxa.generators.vae.checkpoint import begin_vae_with, is_vae, save_vae
from redoxa.generators.vae.crystal_graph import graphs_of, joined
from redoxa.generators.vae.electrodes import electrodes_for, on_scale
from redoxa.generators.vae.network import PROPERTIES, Vae, VaeConfig, cyclical, kl_by_dimension, mmd
from redoxa.generators.vae.prior import Encoded, fit_prior
from redoxa.generators.wyckoff.network import Context
from redoxa.generators.wyckoff.objective import Sequences, fit_buffers, log_likelihood

BATCH = 96
PARTS = 4
"""A batch is decoded in so many parts by number of orbits, so that little is padded."""

ELECTRODES = 16
"""Labelled templates whose voltages are learned in every step."""

MEASURED = 1500
"""Training crystals from which the distribution of latent vectors is estimated when a network is saved."""


@dataclass(frozen=True)
class VaeWeights:
    """Of the parts of the loss, and of the ways in which a crystal is learned.

    Attributes:
        divergence: ``kl`` or ``mmd``.
        kl: largest weight of the Kullback-Leibler divergence; 1 is the evidence bound.
        free_bits: nats of divergence that each latent dimension has for nothing.
        alone: first steps, without it.
        period: steps of a cycle of its weight after that.
        mmd: weight of the discrepancy.
        geometry: weight of the cell's and the coordinates' part of the likelihood, whose gradients are large and noisy.
        summary: weight of the element shares and the space group read off the latent vector: without it, a decoder that
            is good already hardly learns to look there.
        properties: weight of the squared errors of the property heads, in units of their spread.
        without_latent: share of crystals that are written without their latent vector.
        content: share of crystals whose composition is told.
        free_order: share of crystals in any equal form and order.
    """

    divergence: Literal["kl", "mmd"] = "kl"
    kl: float = 0.1
    free_bits: float = 0.3
    alone: int = 400
    period: int = 600
    mmd: float = 60.0
    geometry: float = 0.1
    summary: float = 1.0
    properties: float = 1.0
    without_latent: float = 0.2
    content: float = 0.25
    free_order: float = 0.2


class VaeTask:
    """A `generators.training.loop.Task`.

    Args:
        data: prepared file (`data.symmetry.sequences.prepare_sequences`).
        config: size of the network.
        weights: of the loss.
        start: a trained VAE to go on from, or a sequence network whose weights the decoder begins with.

    Raises:
        InputError: the data or the network cannot be read.
    """

    name = "vae"

    def __init__(
        self,
        data: Path,
        config: VaeConfig | None = None,
        weights: VaeWeights | None = None,
        start: Path | None = None,
    ) -> None:
        self.data = load_sequences(data)
        self.config, self.weights, self.start = config or VaeConfig(), weights or VaeWeights(), start
        if start is not None and is_vae(start):  # it looks at its latent vector already
            self.weights = replace(self.weights, alone=0)
        self.settings = {"network": json.dumps(asdict(self.config)), "divergence": self.weights.divergence}
        self.sequences = Sequences(self.data)
        self.graphs = graphs_of(batch_of(self.data.crystals))
        self.shares = element_shares(self.data.crystals)
        self.electrodes = electrodes_for(self.data.crystals)
        self.labels = torch.from_numpy(on_scale(labels_of(self.data), self.electrodes.scale))

    def network(self) -> Vae:
        """See `Task`."""
        network = Vae(self.config, self.data.table)
        kept = ~self.data.crystals.held_out
        if self.start is not None:
            begin_vae_with(network, self.start)
        fit_buffers(network.decoder, self.data, kept)
        known = self.labels[torch.from_numpy(kept)]
        if bool((unknown := known.isnan().all(0)).any()):  # then the templates alone say how large these values are
            theirs = self.electrodes.labels[torch.from_numpy(~self.electrodes.held_out)]
            known = torch.cat([known, theirs.where(unknown, torch.nan)])
        mean = known.nanmean(0).nan_to_num(0.0)
        network.property_mean.copy_(mean)
        network.property_spread.copy_((known - mean).square().nanmean(0).sqrt().nan_to_num(1.0).clamp_min(1e-3))
        return network

    def epoch(self, seed: int, epoch: int) -> Sequence[torch.Tensor]:
        """See `Task`."""
        rows = np.random.default_rng((seed, epoch)).permutation(np.flatnonzero(~self.data.crystals.held_out))
        return _batches(rows)

    def held_out(self) -> Sequence[torch.Tensor]:
        """See `Task`."""
        return _batches(np.flatnonzero(self.data.crystals.held_out))

    def losses(
        self, network: Vae, rows: torch.Tensor, step: int, generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """See `Task`: nats per crystal, and squared errors of the properties in units of their spread."""
        weights, device = self.weights, generator.device
        mean, log_variance = network.encode(joined([self.graphs[i] for i in rows.tolist()], device))
        noise = torch.randn(mean.shape, generator=generator, device=device)
        latent = mean + (0.5 * log_variance).exp() * noise
        terms = self._reconstruction(network, rows, latent, generator)
        by_dimension = kl_by_dimension(mean, log_variance)
        terms["kl"] = by_dimension.sum()
        terms["mmd"] = mmd(latent, torch.randn(latent.shape, generator=generator, device=device))
        if weights.divergence == "kl":
            paid = cyclical(step - weights.alone, weights.period) if network.training else 1.0
            divergence = weights.kl * paid * by_dimension.clamp_min(weights.free_bits).sum()
        else:
            divergence = weights.mmd * terms["mmd"]
        terms["properties"] = _errors(network, latent, self.labels[rows].to(device))
        terms["electrodes"] = self._electrodes(network, generator)
        terms["summary"] = self._summary(network, rows, latent)
        written = terms["group"] + terms["element"] + terms["position"]
        loss = written + weights.geometry * (terms["cell"] + terms["free"]) + divergence
        loss = loss + weights.properties * (terms["properties"] + terms["electrodes"])
        return {"loss": loss + weights.summary * terms["summary"]} | terms

    def _electrodes(self, network: Vae, generator: torch.Generator) -> torch.Tensor:
        """Squared error of the voltages of some templates; of all held-out ones, where the network is not trained."""
        rows = torch.from_numpy(np.flatnonzero(self.electrodes.held_out != network.training))
        if network.training:
            rows = rows[torch.randint(len(rows), (ELECTRODES,), generator=generator, device=generator.device).cpu()]
        if not len(rows):
            return torch.zeros((), device=generator.device)
        mean, log_variance = network.encode(
            joined([self.electrodes.graphs[i] for i in rows.tolist()], generator.device)
        )
        noise = torch.randn(mean.shape, generator=generator, device=generator.device)
        latent = mean + (0.5 * log_variance).exp() * noise
        return _errors(network, latent, self.electrodes.labels[rows].to(generator.device))

    def _summary(self, network: Vae, rows: torch.Tensor, latent: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the element of an atom and of the space group, in nats."""
        content, group = network.summarised(latent)
        shares = self.shares[rows].to(latent.device)
        groups = self.sequences.groups[rows].to(latent.device)
        return cross_entropy(content, shares) + cross_entropy(group, groups)

    def _reconstruction(
        self, network: Vae, rows: torch.Tensor, latent: torch.Tensor, generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """Negative log-likelihood of the crystals written from their latent vectors, nats per crystal by its parts."""
        weights = self.weights
        lots = torch.rand(3, len(rows), generator=generator, device=generator.device)
        order = torch.from_numpy(np.argsort(self.sequences.orbits[rows.numpy()], kind="stable"))
        sums: dict[str, torch.Tensor] = {}
        for part in torch.tensor_split(order, PARTS):
            if not len(part):
                continue
            batch = self.sequences.take(rows[part], lots[0, part] < weights.free_order, generator)
            told = (lots[1, part] < weights.content).unsqueeze(1)
            given = Context(
                batch.content * told, batch.free_order, latent[part], lots[2, part] >= weights.without_latent
            )
            for name, value in log_likelihood(network.decoder, batch, given).items():
                sums[name] = sums.get(name, torch.zeros((), device=generator.device)) - value.sum() / len(rows)
        return sums

    def save(self, path: Path, network: Vae) -> None:
        """See `Task`."""
        kept = np.flatnonzero(~self.data.crystals.held_out)
        rows = torch.from_numpy(np.random.default_rng(0).permutation(kept)[:MEASURED])
        fit_latent(self, network, rows)
        # A copy: the network goes on being trained, and the prior is fitted anew to what it is then.
        save_vae(path, network.with_prior(fit_prior(encoded(network, [self.graphs[i] for i in kept]))))


def _batches(rows: np.ndarray) -> Sequence[torch.Tensor]:
    """Rows in batches; none, where there are none (`torch.split` would give an empty one)."""
    return torch.split(torch.from_numpy(rows), BATCH) if len(rows) else ()


def _errors(network: Vae, latent: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Squared errors of what is known [B,P], NaN where it is not, in spreads: means, summed over properties."""
    is_known = ~known.isnan()
    error = ((network.properties(latent) - known.nan_to_num(0.0)) / network.property_spread).square()
    return ((error * is_known).sum(0) / is_known.sum(0).clamp_min(1)).sum()


@torch.no_grad()
def fit_latent(task: VaeTask, network: Vae, rows: torch.Tensor) -> None:
    """Set what the network knows of its latent space: where training data lie, and how well they are reconstructed."""
    device = network.latent_mean.device
    means, variances, nats = [], [], []
    generator = torch.Generator(device).manual_seed(0)
    for part in torch.split(rows, BATCH):
        mean, log_variance = network.encode(joined([task.graphs[i] for i in part.tolist()], device))
        batch = task.sequences.take(part, torch.zeros(len(part), dtype=torch.bool), generator)
        given = Context(torch.zeros_like(batch.content), batch.free_order, mean)
        nats.append(-torch.stack(list(log_likelihood(network.decoder, batch, given).values())).sum(0))
        means.append(mean)
        variances.append(log_variance.exp())
    mean, nats_all = torch.cat(means), torch.cat(nats)
    covariance = (
        torch.cov(mean.T) + torch.cat(variances).mean(0).diag() + 1e-4 * torch.eye(mean.shape[1], device=device)
    )
    network.latent_mean.copy_(mean.mean(0))
    network.latent_spread.copy_(torch.linalg.cholesky(covariance))
    network.usual_nats.copy_(torch.stack([nats_all.mean(), nats_all.std()]))


@torch.no_grad()
def encoded(network: Vae, graphs: list[Data]) -> Encoded:
    """What the encoder of a network that knows mean and covariance of its latent vectors says of crystals."""
    device = network.latent_mean.device
    said = [network.encode(joined(graphs[first : first + BATCH], device)) for first in range(0, len(graphs), BATCH)]
    spreads = torch.cat([(0.5 * log_variance).exp() for _, log_variance in said])
    unit = torch.eye(spreads.shape[1], device=device)
    whitening = torch.linalg.solve_triangular(network.latent_spread, unit, upper=False)
    return Encoded(network.whitened(torch.cat([mean for mean, _ in said])), spreads, whitening)


def batch_of(data: CrystalData) -> CrystalBatch:
    """Crystals of a prepared file as a batch."""
    owner = np.repeat(np.arange(len(data)), data.counts)
    return CrystalBatch(data.numbers, data.frac_coords, data.cells, owner)


def element_shares(data: CrystalData) -> torch.Tensor:
    """Share of each type among the atoms of each crystal, float32 [B, N_TYPES]."""
    owner = torch.from_numpy(np.repeat(np.arange(len(data)), data.counts))
    counts = torch.zeros(len(data), N_TYPES)
    counts.index_put_((owner, torch.from_numpy(data.numbers)), torch.ones(len(owner)), accumulate=True)
    return counts / counts.sum(1, keepdim=True)


def labels_of(data: SequenceData) -> np.ndarray:
    """What is known of each crystal, float32 [B,P] by the order of `PROPERTIES`, NaN where it is not."""
    found = np.concatenate([data.crystals.labels, data.capacity[:, None]], axis=1)
    if found.shape[1] != len(PROPERTIES):
        raise ValueError(f"{found.shape[1]} labels for {len(PROPERTIES)} properties")
    return found


def _make(data: Path, start: Path | None, edges: int | None) -> partial[VaeTask]:
    del edges
    return partial(VaeTask, data, start=start or shipped("wyckoff.safetensors"))


VAE: Final = Training(
    "vae", 30_000, frozenset({"start", "rate", "hosts"}), "sequences", _make, rate=1.5e-3, clip=10.0,
    begins_with="weights of wyckoff",
)  # fmt: skip
