"""From the graph of a crystal to a distribution over latent vectors, by invariant messages (torch-geometric)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import silu
from torch_geometric.data import Batch
from torch_geometric.nn import MessagePassing, global_max_pool, global_mean_pool

from redoxa.generators.graph import N_TYPES

RADIALS = 16
"""Bumps along an edge."""


class Message(MessagePassing):  # type: ignore[misc]
    """Gated messages, as in CGCNN (arXiv:1710.10324), fading out towards the reach so that none appears at a jump."""

    def __init__(self, width: int) -> None:
        super().__init__(aggr="add")
        self.receiver, self.sender = nn.Linear(width, 2 * width), nn.Linear(width, 2 * width, bias=False)
        self.edge = nn.Linear(RADIALS, 2 * width, bias=False)
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, width)

    def forward(self, h: torch.Tensor, graph: Batch, radial: torch.Tensor) -> torch.Tensor:
        """Node vectors [N,W] after the messages."""
        fade = (1 - graph.length.square()).square().unsqueeze(-1)
        received = self.propagate(
            graph.edge_index, receiver=self.receiver(h), sender=self.sender(h), edge=self.edge(radial), fade=fade
        )
        updated: torch.Tensor = h + self.out(silu(self.norm(received)))
        return updated

    def message(
        self, receiver_i: torch.Tensor, sender_j: torch.Tensor, edge: torch.Tensor, fade: torch.Tensor
    ) -> torch.Tensor:
        """What one atom tells another [E,W]."""
        gate, value = (receiver_i + sender_j + edge).chunk(2, dim=-1)
        return gate.sigmoid() * silu(value) * fade


class GraphEncoder(nn.Module):
    """Mean and log variance of the latent vector of each crystal.

    Args:
        latent: length of the vector.
        width: of the node vectors.
        layers: of messages.
    """

    def __init__(self, latent: int, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        self.element = nn.Embedding(N_TYPES, width)
        self.register_buffer("centres", torch.linspace(0.15, 1.0, RADIALS))
        self.messages = nn.ModuleList([Message(width) for _ in range(layers)])
        out = nn.Linear(2 * width, 2 * latent)
        with torch.no_grad():  # little noise at first: a decoder that is good already would learn to pass over it
            out.bias[latent:] = -4.0
        self.read = nn.Sequential(nn.Linear(2 * width + 1, 2 * width), nn.SiLU(), out)

    def forward(self, graph: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Means and log variances [B,L]."""
        centres = self.get_buffer("centres")
        radial = torch.exp(-(((graph.length.unsqueeze(-1) - centres) / (centres[1] - centres[0])) ** 2))
        h = self.element(graph.z)
        for message in self.messages:
            h = message(h, graph, radial)
        count = torch.bincount(graph.batch, minlength=graph.num_graphs).unsqueeze(1)
        pooled = [global_mean_pool(h, graph.batch), global_max_pool(h, graph.batch), count.log()]
        mean, log_variance = self.read(torch.cat(pooled, dim=1)).chunk(2, dim=1)
        return mean, log_variance.clamp(-8.0, 3.0)
