"""A transformer that writes crystals: space group, orbits one after the other, cell, free coordinates.

A Wyckoff position is described by features that are alike in all groups, and by a small embedding of its own. The
context (what is asked for: a composition, a latent vector) enters every layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from redoxa.data.symmetry.positions import MOST_POSITIONS, N_FEATURES, N_GROUPS, PositionTable
from redoxa.generators.graph import N_TYPES
from redoxa.generators.wyckoff.mixtures import Mixture

CELL_NUMBERS = 6
"""Free lengths and angles of a cell at most."""

HARMONICS = 4
"""Of a free coordinate, as the network reads it."""


@dataclass(frozen=True)
class SequenceConfig:
    """Size of the network.

    Attributes:
        width: of the hidden vectors.
        layers: of attention.
        heads: of attention.
        components: of each mixture.
        own: numbers that each Wyckoff position has of its own.
        latent: length of the latent vector that a crystal may be written from; 0 for none.
        dropout: share of hidden numbers left out of each layer's result in training.
    """

    width: int = 112
    layers: int = 4
    heads: int = 4
    components: int = 10
    own: int = 12
    latent: int = 0
    dropout: float = 0.1


@dataclass(frozen=True)
class Context:
    """What a crystal is written from.

    Attributes:
        content: atoms by type where the composition is given, else zeros, float [B, N_TYPES].
        free_order: True where orbits come in any order and any equal form, False for canonical ones, bool [B].
        latent: [B, L], or None.
        has_latent: where the latent vector is given, bool [B], or None.
    """

    content: torch.Tensor
    free_order: torch.Tensor
    latent: torch.Tensor | None = None
    has_latent: torch.Tensor | None = None


class Layer(nn.Module):
    """Attention and a feed-forward part, shifted and scaled by the context."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width, elementwise_affine=False) for _ in range(2)])
        self.shifts = nn.Linear(width, 4 * width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)
        nn.init.zeros_(self.shifts.weight)
        nn.init.zeros_(self.shifts.bias)

    def forward(self, h: torch.Tensor, context: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Hidden vectors [B,S,W] after the layer; `mask` [B,1,S,S] says who may look at whom."""
        shift1, scale1, shift2, scale2 = self.shifts(context).unsqueeze(1).chunk(4, dim=-1)
        parts = self.qkv(self.norms[0](h) * (1 + scale1) + shift1).unflatten(-1, (3, self.heads, -1))
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(q, k, v, attn_mask=mask)
        h = h + self.dropout(self.out(mixed.transpose(1, 2).flatten(2)))
        fed: torch.Tensor = h + self.dropout(self.down(gelu(self.up(self.norms[1](h) * (1 + scale2) + shift2))))
        return fed


class SequenceNetwork(nn.Module):
    """See the module.

    Attributes:
        volumes: volume of an atom of each type in A^3, [N_TYPES], fitted to the training data.
        known: types that occur in the training data, bool [N_TYPES].
    """

    volumes: torch.Tensor
    known: torch.Tensor
    first: torch.Tensor
    atoms: torch.Tensor
    free: torch.Tensor
    features: torch.Tensor

    def __init__(self, config: SequenceConfig, table: PositionTable) -> None:
        super().__init__()
        self.config = config
        width, positions = config.width, len(table.atoms)
        for name in ("first", "atoms", "free", "features", "centring", "lengths", "angles"):
            self.register_buffer(name, torch.from_numpy(getattr(table, name)))
        self.register_buffer("volumes", torch.full((N_TYPES,), 15.0))
        self.register_buffer("known", torch.ones(N_TYPES, dtype=torch.bool))
        self.element = nn.Embedding(N_TYPES, width)
        self.group = nn.Embedding(N_GROUPS + 1, width)
        self.own = nn.Embedding(positions, config.own)
        self.place = nn.Sequential(nn.Linear(N_FEATURES + config.own, width), nn.GELU(), nn.Linear(width, width))
        self.content = nn.Sequential(nn.Linear(2 * N_TYPES + 1, width), nn.GELU(), nn.Linear(width, width))
        self.order = nn.Embedding(2, width)
        self.left = nn.Linear(N_TYPES, width)
        self.sites = nn.Linear(2, width)
        self.latent = nn.Linear(config.latent + 1, width) if config.latent else None
        self.mark = nn.Embedding(3, width)
        self.cell_in = nn.Linear(CELL_NUMBERS, width)
        self.last_orbit = nn.Linear(width, width)
        self.last_free = nn.Linear(3 * 2 * HARMONICS, width)
        self.layers = nn.ModuleList([Layer(width, config.heads, config.dropout) for _ in range(config.layers)])
        self.norm = nn.LayerNorm(width)
        self.to_group = nn.Linear(width, N_GROUPS + 1)
        self.to_element = nn.Linear(width, N_TYPES)
        self.to_key = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, width))
        self.to_cell = nn.Linear(width, config.components * (1 + 2 * CELL_NUMBERS))
        self.to_free = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.Linear(width, config.components * (1 + 2 * 3))
        )
        with torch.no_grad():  # components begin all around the circle, and wide
            raw = self.to_free[2].get_parameter("bias").view(config.components, 7)
            raw[:, 1:4].uniform_()
            raw[:, 4:] = 1.0

    def context(self, given: Context) -> torch.Tensor:
        """One vector [B,W] for all that is given."""
        counts = given.content
        present = (counts > 0).float()
        size = counts.sum(1, keepdim=True)
        described = self.content(torch.cat([counts / size.clamp_min(1), present, size / 20], dim=1))
        found: torch.Tensor = described * (size > 0) + self.order(given.free_order.long())
        if self.latent is not None and given.latent is not None:
            vector = torch.cat([given.latent, torch.ones_like(size)], dim=1)
            has = torch.ones_like(size) if given.has_latent is None else given.has_latent.unsqueeze(1)
            found = found + self.latent(vector) * has
        return found

    def places(self) -> torch.Tensor:
        """A vector [P,W] for each Wyckoff position."""
        found: torch.Tensor = self.place(torch.cat([self.features, self.own.weight], dim=1))
        return found

    def orbit(self, places: torch.Tensor, positions: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        """Orbits [...] as vectors [...,W]."""
        found: torch.Tensor = self.element(numbers) + places[positions]
        return found

    def discrete_inputs(
        self, places: torch.Tensor, groups: torch.Tensor, orbits: tuple[torch.Tensor, torch.Tensor], given: Context
    ) -> torch.Tensor:
        """Inputs [B,T+2,W]: a start, the group, the orbits (positions and numbers [B,T] each), with what is left."""
        positions, numbers = orbits
        batch, length = positions.shape
        atoms = self.atoms[positions] * (numbers > 0)
        spent = given.content.new_zeros(batch, length + 1, N_TYPES)
        spent[:, 1:].scatter_(2, numbers.unsqueeze(-1), atoms.unsqueeze(-1).float())
        spent = spent.cumsum(1)
        asked = given.content.unsqueeze(1)
        left = (asked - spent).clamp_min(0) * (asked.sum(-1, keepdim=True) > 0)
        step = torch.arange(length + 1, device=groups.device) / 10
        sites = torch.stack([spent.sum(-1) / 20, step.expand(batch, -1)], dim=-1)
        state = self.left(left / 4) + self.sites(sites)
        start = self.mark.weight[0].expand(batch, 1, -1)
        after = torch.cat([self.group(groups).unsqueeze(1), self.orbit(places, positions, numbers)], dim=1)
        return torch.cat([start, after + state], dim=1)

    def trunk(self, x: torch.Tensor, context: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """Hidden vectors [B,S,W] of inputs [B,S,W]; each looks at real ones (bool [B,S]) up to itself."""
        length = x.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        mask = (causal & real.unsqueeze(1)) | torch.eye(length, dtype=torch.bool, device=x.device)
        h = x + context.unsqueeze(1)
        for layer in self.layers:
            h = layer(h, context, mask.unsqueeze(1))
        found: torch.Tensor = self.norm(h)
        return found

    def position_logits(
        self, h: torch.Tensor, places: torch.Tensor, groups: torch.Tensor, numbers: torch.Tensor
    ) -> torch.Tensor:
        """Logits [B,T,27] over the positions of each group for the next orbits, whose elements [B,T] are chosen."""
        query = self.to_key(torch.cat([h, self.element(numbers)], dim=-1))
        index = self.first[groups].unsqueeze(1) + torch.arange(MOST_POSITIONS, device=h.device)
        inside = index < self.first[groups + 1].unsqueeze(1)
        keys = places[index.clamp_max(len(places) - 1)]
        logits: torch.Tensor = torch.einsum("btw,bkw->btk", query, keys) / self.config.width**0.5
        return logits.masked_fill(~inside.unsqueeze(1), -torch.inf)

    def geometry_inputs(self, orbits: torch.Tensor, free: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
        """Inputs [B,M+1,W]: one that asks for the cell, then one for each orbit that is free, in order.

        Args:
            orbits: the free orbits as vectors [B,M,W].
            free: their coordinates [B,M,3]; each input sees those of the orbit before it.
            cells: scaled cell numbers [B,6], seen by all but the first input.
        """
        batch = len(orbits)
        angle = 2 * torch.pi * free.unsqueeze(-1) * torch.arange(1, HARMONICS + 1, device=free.device)
        read = torch.cat([angle.sin(), angle.cos()], dim=-1).flatten(-2)
        before = self.last_orbit(orbits) + self.last_free(read)
        before = torch.cat([torch.zeros_like(before[:, :1]), before[:, :-1]], dim=1)
        ask = orbits + before + self.mark.weight[2] + self.cell_in(cells).unsqueeze(1)
        return torch.cat([self.mark.weight[1].expand(batch, 1, -1), ask], dim=1)

    def cell_mixture(self, h: torch.Tensor) -> Mixture:
        """Over scaled cell numbers, from hidden vectors [B,W]."""
        return Mixture(self.to_cell(h), CELL_NUMBERS, circular=False)

    def free_mixture(self, h: torch.Tensor) -> Mixture:
        """Over free coordinates, from hidden vectors [...,W]."""
        return Mixture(self.to_free(h), 3, circular=True)

    def scaled_cells(self, cells: torch.Tensor, groups: torch.Tensor, volumes_A3: torch.Tensor) -> torch.Tensor:
        """Cell numbers [B,6] (log lengths, then angles) without the size that the elements take [B]."""
        offset, scale = self._cell_scale(groups, volumes_A3)
        return (cells - offset) / scale * self.cell_real(groups)

    def unscaled_cells(self, scaled: torch.Tensor, groups: torch.Tensor, volumes_A3: torch.Tensor) -> torch.Tensor:
        """Inverse of `scaled_cells`."""
        offset, scale = self._cell_scale(groups, volumes_A3)
        return (scaled * scale + offset) * self.cell_real(groups)

    def cell_real(self, groups: torch.Tensor) -> torch.Tensor:
        """Which of the six numbers a cell of each group has, bool [B,6]."""
        count = self.get_buffer("lengths")[groups] + self.get_buffer("angles")[groups]
        return torch.arange(CELL_NUMBERS, device=groups.device) < count.unsqueeze(1)

    def _cell_scale(self, groups: torch.Tensor, volumes_A3: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        is_length = torch.arange(CELL_NUMBERS, device=groups.device) < self.get_buffer("lengths")[groups].unsqueeze(1)
        size = (volumes_A3 * self.get_buffer("centring")[groups]).log().unsqueeze(1) / 3
        offset = torch.where(is_length, size, torch.pi / 2)
        return offset, torch.where(is_length, 0.3, 0.2)
