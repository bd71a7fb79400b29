"""The network: messages over the fully connected periodic graph, dense.

A crystal of N atoms is [N, ...] for the atoms and [N, N, ...] for the edges, and a batch holds crystals of one N
only. So there is no padding, no gather and no scatter: on a CPU this trains 2.5 to 4 times as many crystals a second
as the usual flat edge list with `scatter` (torch-geometric's layout, which `CrystalBatch.to_pyg()` gives to any
model that wants it). The first edge layer is factored: W [h_i, h_j, e_ij] = A h_i + B h_j + C e_ij, so that only C
is applied per edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from redoxa.generators.graph import MASK, N_TYPES, fourier, pair_distances, radial, wrap
from redoxa.generators.labels import LabelEmbedding
from redoxa.generators.log_lattice import log_to_lattice

_NOBLE = (0, 2, 10, 18, 36, 54, 86, 118)


@dataclass(frozen=True)
class BackboneConfig:
    """Size of the network.

    Attributes:
        hidden: width of an atom.
        edge: width of a message.
        layers: number of rounds of messages.
        harmonics: Fourier harmonics of fractional differences.
        radials: radial functions between 0.5 and `cutoff_A`.
        cutoff_A: centre of the last radial function.
        labels: number of labels that may be given; 0 for a network without.
    """

    hidden: int = 192
    edge: int = 128
    layers: int = 6
    harmonics: int = 8
    radials: int = 20
    cutoff_A: float = 6.0
    labels: int = 0


@dataclass(frozen=True)
class Prediction:
    """What the network says of a state: type logits [B,N,N_TYPES], coordinates [B,N,3], lattice [B,6].

    Coordinates and lattice are what the network was trained to say: velocities for `flow`, and for `diffusion` scores
    in units of their root mean square, and the change of the standardised lattice by the angle of its noise.
    """

    types: torch.Tensor
    coords: torch.Tensor
    lattice: torch.Tensor


def element_features() -> torch.Tensor:
    """Place in the periodic table, float [N_TYPES, 28]: period (7), group (18), f block, place in it, unknown."""
    table = torch.zeros(N_TYPES, 28)
    table[MASK, 27] = 1.0
    for z in range(1, N_TYPES):
        period = next(i for i in range(1, 8) if z <= _NOBLE[i])
        place, length = z - _NOBLE[period - 1], _NOBLE[period] - _NOBLE[period - 1]
        table[z, period - 1] = 1.0
        if length == 32 and 2 < place <= 16:
            table[z, 25] = 1.0
            table[z, 7 + 2] = 1.0
            table[z, 26] = place / 16.0
        else:
            group = place if place <= min(2, length // 2) else 18 - (length - place)
            table[z, 7 + min(group, 18) - 1] = 1.0
    return table


class Layer(nn.Module):
    """One round of messages and an atom-wise network, both residual."""

    def __init__(self, config: BackboneConfig, edge_features: int) -> None:
        super().__init__()
        hidden, edge = config.hidden, config.edge
        self.norm = nn.LayerNorm(hidden)
        self.sender = nn.Linear(hidden, edge)
        self.receiver = nn.Linear(hidden, edge, bias=False)
        self.geometry = nn.Linear(edge_features, edge, bias=False)
        self.update = nn.Linear(hidden + edge, 2 * hidden)
        self.out = nn.Linear(2 * hidden, hidden)

    def forward(self, h: torch.Tensor, edges: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """Update atoms [B,N,hidden] from edges [B,N,N,F] and the crystal's state [B,1,hidden]."""
        x = self.norm(h + state)
        # In place where autograd allows it: the edges are most of the memory traffic.
        pre = self.geometry(edges).add_(self.sender(x).unsqueeze(1)).add_(self.receiver(x).unsqueeze(2))
        message = functional.silu(pre, inplace=not torch.is_grad_enabled()).mean(2)
        update: torch.Tensor = self.out(functional.silu(self.update(torch.cat([x, message], dim=-1))))
        return h + update


class Backbone(nn.Module):
    """Where coordinates and lattice should go, and type logits, of a batch of crystals with equally many atoms.

    Nothing depends on the order of the atoms, on the origin, or on the cell's orientation. The buffers hold what the
    data say of elements and cells: `volumes` (cubic Angstrom per atom of each element), and `lattice_mean`,
    `lattice_std` of the log lattice relative to that volume.
    """

    element_table: torch.Tensor
    centers: torch.Tensor
    volumes: torch.Tensor
    lattice_mean: torch.Tensor
    lattice_std: torch.Tensor

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config = config
        hidden = config.hidden
        edge_features = 6 * config.harmonics + config.radials
        self.register_buffer("element_table", element_features(), persistent=False)
        self.register_buffer("centers", torch.linspace(0.5, config.cutoff_A, config.radials), persistent=False)
        self.register_buffer("volumes", torch.full((N_TYPES,), 15.0))
        self.register_buffer("lattice_mean", torch.zeros(6))
        self.register_buffer("lattice_std", torch.ones(6))
        self.embedding = nn.Embedding(N_TYPES, hidden)
        self.place = nn.Linear(self.element_table.shape[1], hidden, bias=False)
        self.state = nn.Sequential(nn.Linear(6 + 3 + 16, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self.labels = LabelEmbedding(config.labels, hidden) if config.labels else None
        self.layer_state = nn.Linear(hidden, hidden * config.layers)
        self.layers = nn.ModuleList(Layer(config, edge_features) for _ in range(config.layers))
        self.norm = nn.LayerNorm(hidden)
        self.coords_head = nn.Linear(hidden, 3, bias=False)
        self.types_head = nn.Linear(hidden, N_TYPES)
        self.lattice_head = nn.Sequential(
            nn.Linear(3 * hidden, hidden), nn.SiLU(), nn.Dropout(0.1), nn.Linear(hidden, 6)
        )

    def reference(self, types: torch.Tensor) -> torch.Tensor:
        """Where the flow of the lattice starts: the mean log lattice for these types [B,N], as [B,6]."""
        shift = torch.zeros(types.shape[0], 6, device=types.device)
        shift[:, 0] = self.volumes[types].sum(1).log()
        return shift + self.lattice_mean

    def forward(
        self,
        types: torch.Tensor,
        frac_coords: torch.Tensor,
        log_lattice: torch.Tensor,
        time: torch.Tensor,
        labels: torch.Tensor | None = None,
    ) -> Prediction:
        """Predict from a state on the path.

        Args:
            types: atomic numbers, 0 where unknown [B,N].
            frac_coords: [B,N,3].
            log_lattice: as `paths.lattice_to_log` gives it [B,6].
            time: of coordinates and lattice, 0 (noise) to 1 (crystal) [B].
            labels: what is known of the crystal, NaN where nothing is [B,labels]; a network without labels ignores it.
        """
        n = types.shape[1]
        # Distances in bfloat16 would be wrong by hundredths of an Angstrom.
        with torch.no_grad(), torch.autocast(types.device.type, enabled=False):
            delta = wrap(frac_coords.unsqueeze(1) - frac_coords.unsqueeze(2))
            shells = radial(pair_distances(frac_coords, log_to_lattice(log_lattice)), self.centers)
            edges = torch.cat([fourier(delta, self.config.harmonics), shells], dim=-1)
            y = (log_lattice - self.reference(types)) / self.lattice_std
            known = (types != MASK).float().mean(1)
            waves = torch.pi * time.unsqueeze(1) * torch.arange(1, 9, device=types.device)
            size = torch.stack([torch.full_like(time, n / 10.0), known, time], dim=1)
            summary = torch.cat([y, size, waves.sin(), waves.cos()], dim=1)
        state = self.state(summary)
        if self.labels is not None:
            unknown = torch.full((len(types), self.config.labels), torch.nan, device=types.device)
            state = state + self.labels(unknown if labels is None else labels)
        offsets = self.layer_state(functional.silu(state)).unsqueeze(1).chunk(self.config.layers, dim=-1)
        h = self.embedding(types) + self.place(self.element_table[types])
        for layer, offset in zip(self.layers, offsets, strict=True):
            h = layer(h, edges, offset)
        h = self.norm(h)
        coords = self.coords_head(h).float()
        pooled = torch.cat([h.mean(1), h.amax(1), state], dim=-1)
        return Prediction(
            self.types_head(h).float(), coords - coords.mean(1, keepdim=True), self.lattice_head(pooled).float()
        )
