"""The graph VAE: crystal graph -> latent vector -> the sequence model writes a crystal; heads read off properties.

The divergence from the prior is the Kullback-Leibler one with free bits (arXiv:1606.04934), or the maximum mean
discrepancy of InfoVAE (arXiv:1706.02262).
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field

import torch
from torch import nn
from torch_geometric.data import Batch

from redoxa.data.symmetry.positions import N_GROUPS, PositionTable
from redoxa.data.tables.datasets import LABELS
from redoxa.generators.graph import N_TYPES
from redoxa.generators.vae.graph_encoder import GraphEncoder
from redoxa.generators.vae.prior import FlowPrior, standard_log_density
from redoxa.generators.wyckoff.network import SequenceConfig, SequenceNetwork

PROPERTIES = (*LABELS, "capacity_mAh_g")
"""What is read off a latent vector: `datasets.LABELS`, and the capacity that follows from the composition."""

LATENT = 24


@dataclass(frozen=True)
class VaeConfig:
    """Size of the network.

    Attributes:
        decoder: of the sequence network; `decoder.latent` is the length of the latent vector.
        width: of the encoder's node vectors.
        layers: of messages in the encoder.
        head: of the hidden layer that properties are read off.
    """

    decoder: SequenceConfig = field(default_factory=lambda: SequenceConfig(latent=LATENT))
    width: int = 64
    layers: int = 3
    head: int = 64


class Vae(nn.Module):
    """See the module.

    Attributes:
        latent_mean: of the encoded training data [L].
        latent_spread: lower Cholesky factor of their covariance [L,L], the encoder's own variance included.
        property_mean: of the known labels [P], in their units.
        property_spread: likewise.
        usual_nats: mean and standard deviation of the reconstruction's negative log-likelihood over training data [2].
        prior: what is known of the latent vectors of training data beyond their mean and covariance; None for nothing.
    """

    latent_mean: torch.Tensor
    latent_spread: torch.Tensor
    property_mean: torch.Tensor
    property_spread: torch.Tensor
    usual_nats: torch.Tensor
    prior: FlowPrior | None

    def __init__(self, config: VaeConfig, table: PositionTable) -> None:
        super().__init__()
        self.config = config
        latent = config.decoder.latent
        self.encoder = GraphEncoder(latent, config.width, config.layers)
        self.decoder = SequenceNetwork(config.decoder, table)
        self.heads = nn.Sequential(
            nn.Linear(latent, config.head),
            nn.SiLU(),
            nn.Linear(config.head, config.head),
            nn.SiLU(),
            nn.Linear(config.head, len(PROPERTIES)),
        )
        self.summary = nn.Sequential(
            nn.Linear(latent, 2 * config.head), nn.SiLU(), nn.Linear(2 * config.head, N_TYPES + N_GROUPS + 1)
        )
        self.register_buffer("latent_mean", torch.zeros(latent))
        self.register_buffer("latent_spread", torch.eye(latent))
        self.register_buffer("property_mean", torch.zeros(len(PROPERTIES)))
        self.register_buffer("property_spread", torch.ones(len(PROPERTIES)))
        self.register_buffer("usual_nats", torch.tensor([0.0, 1.0]))
        self.register_module("prior", None)

    def encode(self, graph: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Means and log variances [B,L]."""
        mean, log_variance = self.encoder(graph)
        return mean, log_variance

    def properties(self, latent: torch.Tensor) -> torch.Tensor:
        """What the heads say [..., P], in the units of `PROPERTIES`."""
        found: torch.Tensor = self.heads(latent) * self.property_spread + self.property_mean
        return found

    def summarised(self, latent: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits over the element of an atom [...,N_TYPES] and over the space group [...,231]."""
        content, group = torch.split(self.summary(latent), [N_TYPES, N_GROUPS + 1], dim=-1)
        return content, group

    def from_prior(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Latent vectors [count,L] distributed as the encoded training data are; without `prior` as one Gaussian."""
        if self.prior is not None:
            return self.coloured(self.prior.sample(count, generator))
        return self.coloured(torch.randn(count, len(self.latent_mean), generator=generator))

    def log_prior(self, latent: torch.Tensor) -> torch.Tensor:
        """Log density of vectors [n,L] of `from_prior`, in nats [n]."""
        white = self.whitened(latent)
        density = standard_log_density(white) if self.prior is None else self.prior.log_density(white)
        return density - self.latent_spread.diagonal().log().sum()

    def whitened(self, latent: torch.Tensor) -> torch.Tensor:
        """Vectors in which the encoded training data have unit covariance [n,L]."""
        centred = (latent - self.latent_mean).T
        solved: torch.Tensor = torch.linalg.solve_triangular(self.latent_spread, centred, upper=False)
        return solved.T

    def coloured(self, white: torch.Tensor) -> torch.Tensor:
        """Inverse of `whitened`."""
        found: torch.Tensor = white @ self.latent_spread.T + self.latent_mean
        return found

    def with_prior(self, prior: FlowPrior | None) -> Vae:
        """A copy with another prior."""
        found = deepcopy(self)
        found.prior = prior
        return found


def kl_by_dimension(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """Divergence of each dimension from a standard normal, averaged over the batch, in nats [L]."""
    return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).mean(0)


def mmd(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Squared maximum mean discrepancy of two samples [A,L], [B,L] (unbiased), Gaussian kernels of three widths."""
    width = a.shape[1]

    def kernel(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        squared = (x.unsqueeze(1) - y).square().sum(-1) / width
        return torch.stack([torch.exp(-squared / scale) for scale in (0.5, 1.0, 2.0)]).mean(0)

    own = [(k.sum() - k.diagonal().sum()) / (len(k) * max(len(k) - 1, 1)) for k in (kernel(a, a), kernel(b, b))]
    return own[0] + own[1] - 2 * kernel(a, b).mean()


def cyclical(step: int, period: int) -> float:
    """Weight of the divergence: rises linearly over the first half of each cycle, then stays 1 (arXiv:1903.10145).

    Zero before step 0.
    """
    return min(1.0, 2.0 * (step % period) / period) if step > 0 else 0.0
