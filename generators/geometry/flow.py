"""Free coordinates and cells: a flow within the space group, from a lent geometry to that of the crystal.

The flow moves the free numbers of a symmetric crystal and nothing else, so symmetry holds at every step. Its paths are
straight, from the geometry that a template lends (or from noise) to the relaxed crystal (flow matching from an
informed start: arXiv:2302.00482). The network says how far each atom and the cell still have to go; what it says of
all atoms is projected on the free numbers. It sees distances only, and displacements are sums of bond directions,
strains of their squares: so it does not matter how the crystal lies, where its origin is, or which cell is taken
(E(3)-equivariant: arXiv:2102.09844).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from redoxa.data.shipped import shipped
from redoxa.data.symmetry.symmetric import SymmetricCrystal
from redoxa.generators.backbone import BackboneConfig, Layer, element_features
from redoxa.generators.checkpoint import load_network, save_network
from redoxa.generators.geometry.free_space import Frame, FreeState, as_forms, as_tensors, atoms_of, place, project
from redoxa.generators.graph import N_TYPES, periodic_offsets, wrap
from redoxa.generators.sanity import packing

EDGES = 6000
"""A batch of N-atom crystals holds about this many pairs of atoms."""

MOST_ATOMS = 60
"""Larger crystals keep their geometry: pairs of atoms grow with the square."""

MOVE_A, STRAIN = 0.05, 0.01
"""Units in which the network says displacements and strains."""

GROUPS = 231


@dataclass(frozen=True)
class GeometryConfig:
    """Size of the network.

    Attributes:
        hidden: width of an atom.
        edge: width of a message.
        layers: rounds of messages.
        radials: radial functions between 0.5 A and `cutoff_A`.
        cutoff_A: centre of the last radial function.
    """

    hidden: int = 128
    edge: int = 64
    layers: int = 3
    radials: int = 16
    cutoff_A: float = 5.5


@dataclass(frozen=True)
class Bonds:
    """Pairs of atoms, images summed up.

    Attributes:
        shells: radial functions [B,N,N,R].
        directed: the same times the unit vector and its products [B,N,N,R,9]: x, y, z, xx, yy, zz, yz, xz, xy.
    """

    shells: torch.Tensor
    directed: torch.Tensor


def bonds(coords: torch.Tensor, lattice: torch.Tensor, centers: torch.Tensor) -> Bonds:
    """Bonds of crystals.

    Args:
        coords: fractional [B,N,3].
        lattice: row vectors in Angstrom [B,3,3], reduced or nearly so; 27 images of each atom are seen.
        centers: of the radial functions, evenly spaced [R].
    """
    b, n, _ = coords.shape
    delta = wrap(coords.unsqueeze(1) - coords.unsqueeze(2)).unsqueeze(3) + periodic_offsets(coords.device)
    ways = (delta.flatten(1, 3) @ lattice).view(b * n * n, 27, 3)
    squared = ways.square().sum(-1)
    images = _IMAGES[0] if n <= 3 else _IMAGES[1] if n <= 7 else _IMAGES[2]
    if images < 27:
        squared, nearest = squared.topk(images, dim=1, largest=False, sorted=False)
        ways = ways.gather(1, nearest.unsqueeze(-1).expand(-1, -1, 3))
    own = squared < 1e-6  # an atom is no neighbour of itself
    distances = squared.masked_fill(own, 1e6).sqrt()
    x, y, z = (ways / distances.unsqueeze(-1)).unbind(-1)
    one = torch.ones_like(x)
    products = torch.stack([one, x, y, z, x * x, y * y, z * z, y * z, x * z, x * y], dim=2)
    reach = 1.5 * (centers[1] - centers[0])
    bumps = (distances / reach).unsqueeze(1) - (centers / reach).unsqueeze(1)
    bumps = bumps.square_().neg_().add_(1.0).clamp_min_(0.0).square_()
    found = (bumps @ products).view(b, n, n, len(centers), 10)
    return Bonds(found[..., 0], found[..., 1:])


_IMAGES = (27, 16, 10)
"""Nearest images of an atom that are looked at, in cells of up to 3, up to 7 and more atoms: the others of large cells
are out of reach."""


class GeometryNetwork(nn.Module):
    """How far the atoms and the cell still have to go."""

    places: torch.Tensor
    centers: torch.Tensor

    def __init__(self, config: GeometryConfig) -> None:
        super().__init__()
        self.config = config
        hidden, edge = config.hidden, config.edge
        self.register_buffer("places", element_features(), persistent=False)
        self.register_buffer("centers", torch.linspace(0.5, config.cutoff_A, config.radials), persistent=False)
        self.embedding = nn.Embedding(N_TYPES, hidden)
        self.place = nn.Linear(self.places.shape[1], hidden, bias=False)
        self.site = nn.Linear(5, hidden)
        self.group = nn.Embedding(GROUPS, hidden)
        nn.init.zeros_(self.group.weight)
        self.state = nn.Sequential(nn.Linear(5 + 8, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self.layer_state = nn.Linear(hidden, hidden * config.layers)
        layer = BackboneConfig(hidden=hidden, edge=edge)
        self.layers = nn.ModuleList(Layer(layer, config.radials) for _ in range(config.layers))
        self.norm = nn.LayerNorm(hidden)
        self.sender = nn.Linear(hidden, edge)
        self.receiver = nn.Linear(hidden, edge, bias=False)
        self.geometry = nn.Linear(config.radials, edge, bias=False)
        self.pulls = nn.Linear(edge, 2 * config.radials)
        self.size = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.SiLU(), nn.Linear(hidden, 1))
        for name, parameter in (*self.pulls.named_parameters(), *self.size.named_parameters()):
            if not name.startswith("0."):  # nothing moves before it has learned to
                nn.init.zeros_(parameter)

    def forward(
        self, frame: Frame, state: FreeState, time: torch.Tensor, noise: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What is left of the way.

        Args:
            frame: of the crystals.
            state: where they are.
            time: share of the way that is done [B].
            noise: width of the noise they started from, in fractional coordinates; 0 where a template lent them its
                geometry [B].

        Returns:
            Displacements [B,N,3] in Angstrom without drift, and symmetric strains [B,3,3].
        """
        with torch.no_grad(), torch.autocast(frame.types.device.type, enabled=False):
            coords, lattice = place(frame, state)
            seen = bonds(coords, lattice, self.centers)
            sites, summary = self._summary(frame, lattice, time, noise)
        vector = self.state(summary) + self.group(frame.groups)
        offsets = self.layer_state(functional.silu(vector)).unsqueeze(1).chunk(self.config.layers, dim=-1)
        h = self.embedding(frame.types) + self.place(self.places[frame.types]) + self.site(sites)
        for layer, offset in zip(self.layers, offsets, strict=True):
            h = layer(h, seen.shells, offset)
        h = self.norm(h)
        pre = self.geometry(seen.shells) + self.sender(h).unsqueeze(1) + self.receiver(h).unsqueeze(2)
        along, across = self.pulls(functional.silu(pre)).float().chunk(2, dim=-1)
        moves = torch.einsum("bijr,bijrx->bix", along, seen.directed[..., :3])
        six = torch.einsum("bijr,bijrx->bx", across, seen.directed[..., 3:]) / h.shape[1]
        size = self.size(torch.cat([h.mean(1), vector], dim=-1)).float()
        rows = six[:, [0, 5, 4, 5, 1, 3, 4, 3, 2]].view(-1, 3, 3)
        strain = rows + size.unsqueeze(-1) * torch.eye(3, device=rows.device)
        return MOVE_A * (moves - moves.mean(1, keepdim=True)), STRAIN * strain

    def _summary(
        self, frame: Frame, lattice: torch.Tensor, time: torch.Tensor, noise: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What is said of each atom [B,N,5] (freedom, share of its orbit) and of each crystal [B,13]."""
        n = frame.types.shape[1]
        freedom = (frame.slopes.abs().amax(2) > 0).sum(-1)
        share = (frame.orbit.unsqueeze(1) == frame.orbit.unsqueeze(2)).float().mean(2, keepdim=True)
        sites = torch.cat([functional.one_hot(freedom, 4).float(), share], dim=-1)
        cell = (frame.directions.abs().amax(1) > 0).float().sum(1) / 6.0
        waves = torch.pi * time.unsqueeze(1) * torch.arange(1, 5, device=time.device)
        numbers = torch.stack(
            [
                torch.full_like(time, n / 10.0),
                cell,
                packing(frame.types.cpu(), lattice.cpu()).to(time).log(),
                (noise > 0).float(),
                3.0 * noise,
            ],
            dim=1,
        )
        return sites, torch.cat([numbers, waves.sin(), waves.cos()], dim=1)


def rest_of_way(
    network: GeometryNetwork, frame: Frame, state: FreeState, time: torch.Tensor, noise: torch.Tensor
) -> FreeState:
    """What is left of the way, in free numbers."""
    moves, strain = network(frame, state, time, noise)
    return project(frame, state, moves, strain)


def flow(network: GeometryNetwork, frame: Frame, start: FreeState, noise: torch.Tensor, steps: int) -> FreeState:
    """Go along the flow in steps of equal length; the last one goes all that is left."""
    state = start
    for step in range(steps):
        time = torch.full((len(frame.types),), step / steps)
        state = state.moved(rest_of_way(network, frame, state, time, noise), 1.0 / (steps - step))
    return state


WRITTEN = 0.05
"""The width of noise for what a sequence model writes: from 0 to 0.1 its energies fall by the same, within a tenth."""


class GeometryFlow:
    """Gives symmetric crystals the geometry that suits their elements.

    Args:
        network: trained network.
        steps: evaluations of the network for each crystal.
    """

    def __init__(self, network: GeometryNetwork, steps: int = 2) -> None:
        self.network, self.steps = network, steps

    def refine(self, forms: Sequence[SymmetricCrystal], noise: float = 0.0) -> list[SymmetricCrystal]:
        """Symmetric crystals after the flow, in their order; group, orbits and elements stay.

        Args:
            forms: with a lent geometry, at the volume that their elements should take.
            noise: how far the coordinates may be off, as a fraction of the cell; 0 for the geometry of a template.
        """
        found = list(forms)
        by_size: dict[int, list[int]] = defaultdict(list)
        for place_, form in enumerate(forms):
            by_size[atoms_of(form)].append(place_)
        for atoms, places in by_size.items():
            size = max(1, EDGES // atoms**2)
            for first in range(0, len(places) if atoms <= MOST_ATOMS else 0, size):
                part = places[first : first + size]
                frame, start = as_tensors([forms[i] for i in part])
                with torch.inference_mode():
                    end = flow(self.network, frame, start, torch.full((len(part),), noise), self.steps)
                for i, form in zip(part, as_forms([forms[i] for i in part], end), strict=True):
                    found[i] = form
        return found


def refine_written(forms: Sequence[SymmetricCrystal]) -> list[SymmetricCrystal]:
    """What `GeometryFlow.refine` makes, with the weights that ship, of crystals that a sequence model wrote."""
    return _shipped().refine(forms, WRITTEN)


@cache
def _shipped() -> GeometryFlow:
    return GeometryFlow(load_geometry(shipped("geometry.safetensors")))


def save_geometry(path: Path, network: GeometryNetwork) -> None:
    """Write a network for sampling."""
    save_network(path, "geometry", network, asdict(network.config))


def load_geometry(path: Path) -> GeometryNetwork:
    """Read a network for sampling.

    Raises:
        InputError: not a checkpoint of this program.
    """
    return load_network(path, "geometry", lambda settings, _: GeometryNetwork(GeometryConfig(**settings)))
