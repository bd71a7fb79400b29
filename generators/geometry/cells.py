"""Exact densities of unit cells given what fills them and, where it is known, the space group; and draws of them.

One normalising flow has two views of a crystal: of a group its conventional cell, of group 0 (unknown) the reduced
one. Six numbers are a cell: the logarithm of its volume over that of its elements' own volumes, log(b/a), log(c/a),
and the cosines of alpha, beta and gamma. What a group fixes is a number like the others, under the noise that all are
smoothed with; draws are put onto the group's exact values. Shapes: content [B,104] (atoms by atomic number), groups
[B], numbers [B,6], log densities [B] in nats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from redoxa.data.errors import InputError
from redoxa.data.symmetry.cells import Floats, shape_of
from redoxa.data.symmetry.positions import N_GROUPS
from redoxa.data.symmetry.symmetric import ANGLES, LENGTHS, cell_volumes_A3, crystal_system
from redoxa.data.symmetry.wyckoff import centring
from redoxa.generators.backbone import element_features
from redoxa.generators.checkpoint import load_network, save_network
from redoxa.generators.graph import N_TYPES
from redoxa.generators.normalising_flow import NormalisingFlow, glow, masked_autoregressive

UNKNOWN = 0
"""The group of the reduced cell."""

NOISE = 0.01
"""Width of the normal noise on each of the numbers, in training and wherever densities are stated."""

CELL_NUMBERS = 6

_SHARES = 4
"""The largest shares of elements, which tell formulas of one type."""

_DRAWS = 16
"""Draws among which one is chosen where likely cells are preferred."""

_TRIES = 20
"""Draws until the cosines are those of a cell."""


@dataclass(frozen=True)
class CellConfig:
    """Size of the network.

    Attributes:
        kind: of the steps.
        steps: how many; with none, it is an autoregressive mixture.
        components: of the mixtures in which it ends; with none, it ends in a normal.
        hidden: width of the steps' networks.
        context: width of what they are given.
        embedding: width of what is learned of each element and of each group.
    """

    kind: Literal["maf", "glow"] = "maf"
    steps: int = 2
    components: int = 20
    hidden: int = 128
    context: int = 96
    embedding: int = 32


class CellNetwork(nn.Module):
    """See the module.

    Attributes:
        volumes: of an atom of each element in A^3, 0 where nobody knows it, [104].
        offset, scale: of the six numbers before the flow sees them.
    """

    volumes: torch.Tensor
    offset: torch.Tensor
    scale: torch.Tensor
    features: torch.Tensor

    def __init__(self, config: CellConfig) -> None:
        super().__init__()
        self.config = config
        features = element_features()
        self.register_buffer("features", features, persistent=False)
        self.register_buffer("volumes", torch.zeros(N_TYPES))
        self.register_buffer("offset", torch.zeros(CELL_NUMBERS))
        self.register_buffer("scale", torch.ones(CELL_NUMBERS))
        self.element = nn.Embedding(N_TYPES, config.embedding)
        self.group = nn.Embedding(N_GROUPS + 1, config.embedding)
        width = 2 * (config.embedding + features.shape[1]) + 3 + _SHARES + config.embedding
        self.read = nn.Sequential(
            nn.Linear(width, config.context), nn.SiLU(), nn.Linear(config.context, config.context), nn.SiLU()
        )
        self.flow = self._flow()

    def _flow(self) -> NormalisingFlow:
        c = self.config
        make = masked_autoregressive if c.kind == "maf" else glow
        return make(CELL_NUMBERS, c.context, c.hidden, c.steps, c.components)

    def context(self, content: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
        """What the flow is given [B,C]."""
        atoms = content.sum(1, keepdim=True)
        shares = content / atoms
        known = torch.cat([self.element.weight, self.features], dim=1)
        mean = shares @ known
        spread = shares @ known.square() - mean.square()
        size = torch.cat([atoms / 20, atoms.log() / 3, (content > 0).sum(1, keepdim=True) / 5], dim=1)
        most = shares.topk(_SHARES, dim=1).values
        found: torch.Tensor = self.read(torch.cat([mean, spread, size, most, self.group(groups)], dim=1))
        return found

    def log_density(self, numbers: torch.Tensor, content: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
        """Of smoothed numbers, in nats [B]."""
        scaled = (numbers - self.offset) / self.scale
        return self.flow.log_density(scaled, self.context(content, groups)) - self.scale.log().sum()

    def sample(self, content: torch.Tensor, groups: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """One draw of smoothed numbers for each content and group [B,6]."""
        scaled = self.flow.sample(self.context(content, groups), generator)
        return scaled * self.scale + self.offset


class CellModel:
    """Densities and draws of a trained network.

    Args:
        network: trained.
    """

    def __init__(self, network: CellNetwork) -> None:
        self.network = network.eval()
        self._volumes_A3 = network.volumes.double().numpy()

    @classmethod
    def load(cls, path: Path) -> CellModel:
        """From its file.

        Raises:
            InputError: not a checkpoint of this program.
        """
        return cls(load_cells_network(path))

    @torch.inference_mode()
    def log_density(self, cells_A: Floats, content: Floats, groups: Sequence[int]) -> Floats:
        """Exact log densities of the numbers of cells, each in the setting that its group asks for, in nats [B].

        Args:
            cells_A: row vectors [B,3,3].
            content: atoms by atomic number [B,104]; of the primitive cell.
            groups: 1 to 230 for conventional cells, 0 for reduced ones [B].

        Raises:
            InputError: an element or a group that the network does not know.
        """
        own = self._own_volumes_A3(content, groups)
        volumes = np.abs(np.linalg.det(cells_A)) / np.array([centring_of(group) for group in groups])
        numbers = np.column_stack([np.log(volumes / own), [shape_of(cell) for cell in cells_A]])
        return self._log_density(torch.from_numpy(numbers).float(), content, groups)

    @torch.inference_mode()
    def sample(
        self, content: Floats, groups: Sequence[int], generator: torch.Generator, temperature: float = 1.0
    ) -> Floats:
        """A cell for each content and group: lengths in A and angles in degrees, exactly of the group, [B,6].

        Args:
            content: atoms by atomic number [B,104]; of the primitive cell.
            groups: as of `log_density`.
            generator: all randomness.
            temperature: of the density; below 1, likely cells are preferred.

        Returns:
            NaN where twenty draws had angles that no cell has.

        Raises:
            InputError: an element or a group that the network does not know.
        """
        own = self._own_volumes_A3(content, groups)
        found, left = np.full((len(own), CELL_NUMBERS), np.nan), list(range(len(own)))
        for _ in range(_TRIES):
            numbers = self._chosen(content[left], [groups[i] for i in left], generator, temperature)
            for i, row in zip(left, numbers, strict=True):
                volume = own[i] * np.exp(row[0]) * centring_of(groups[i])
                found[i] = cell_of_shape(snapped(groups[i], row[1:]), float(volume))
            left = np.flatnonzero(np.isnan(found[:, 0])).tolist()
            if not left:
                break
        return found

    def _chosen(self, content: Floats, groups: Sequence[int], generator: torch.Generator, temperature: float) -> Floats:
        """Numbers [B,6]; at another temperature than 1, chosen among several draws as their densities say."""
        several = 1 if temperature == 1.0 else _DRAWS
        many, of = np.repeat(content, several, axis=0), np.repeat(np.asarray(groups), several).tolist()
        drawn = self.network.sample(*_given(many, of), generator)
        logs = torch.from_numpy(self._log_density(drawn, many, of)).view(-1, several)
        weights = ((1 / max(temperature, 1e-3) - 1) * logs).softmax(1)
        place = torch.multinomial(weights, 1, generator=generator)
        chosen = drawn.view(-1, several, CELL_NUMBERS).take_along_dim(place.unsqueeze(-1), 1)[:, 0]
        return np.asarray(chosen.double().numpy())

    def _log_density(self, numbers: torch.Tensor, content: Floats, groups: Sequence[int]) -> Floats:
        return np.asarray(self.network.log_density(numbers, *_given(content, groups)).double().numpy())

    def _own_volumes_A3(self, content: Floats, groups: Sequence[int]) -> Floats:
        """What the elements take by themselves [B]; refuses what nobody knows."""
        unknown = sorted({int(z) for z in np.flatnonzero((content > 0).any(0)) if self._volumes_A3[z] <= 0})
        if unknown:
            raise InputError(f"cells: no cell was ever seen with the elements of atomic numbers {unknown}")
        if not (content.sum(1) > 0).all():
            raise InputError("cells: a content has no atoms")
        if wrong := [group for group in groups if not 0 <= group <= N_GROUPS]:
            raise InputError(f"cells: {wrong[0]} is no space group; 1 to {N_GROUPS}, or 0 where it is not known")
        return np.asarray(content @ self._volumes_A3)


def snapped(group: int, shape: Floats) -> Floats:
    """The nearest shape [5] that a group allows; of group 0, as it is."""
    if group == UNKNOWN:
        return shape
    system = crystal_system(group)
    logs, kind = np.array([0.0, *shape[:2]]), np.array(LENGTHS[system])
    logs = np.array([logs[kind == k].mean() for k in kind])
    cosines = np.array([0.0, 0.0, -0.5 if system in ("trigonal", "hexagonal") else 0.0])
    for free in ANGLES.get(system, ()):
        cosines[free] = shape[2 + free]
    return np.array([*(logs[1:] - logs[0]), *cosines])


def cell_of_shape(shape: Floats, volume_A3: float) -> Floats:
    """Lengths in A and angles in degrees [6] of a cell of this shape and volume; NaN where no cell has these angles."""
    if (np.abs(shape[2:]) >= 1).any():
        return np.full(CELL_NUMBERS, np.nan)
    cell = np.array([1.0, *np.exp(shape[:2]), *np.degrees(np.arccos(shape[2:]))])
    with np.errstate(invalid="ignore"):
        unit = float(cell_volumes_A3(cell))
    if not unit > 0:
        return np.full(CELL_NUMBERS, np.nan)
    cell[:3] *= (volume_A3 / unit) ** (1 / 3)
    return cell


def centring_of(group: int) -> int:
    """Primitive cells in the conventional one of a group; 1 of group 0."""
    return 1 if group == UNKNOWN else centring(group)


def save_cells_network(path: Path, network: CellNetwork) -> None:
    """Write a network for sampling."""
    save_network(path, "cells", network, asdict(network.config))


def load_cells_network(path: Path) -> CellNetwork:
    """Read a network for sampling.

    Raises:
        InputError: not a checkpoint of this program.
    """
    return load_network(path, "cells", lambda settings, _: CellNetwork(CellConfig(**settings)))


def _given(content: Floats, groups: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(np.ascontiguousarray(content)).float(), torch.tensor(groups)
