"""What the networks from noise learn, for `generators.training.loop.train`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import torch

from redoxa.data.errors import InputError
from redoxa.data.tables.datasets import LABELS, load
from redoxa.generators.backbone import Backbone, BackboneConfig
from redoxa.generators.checkpoint import checkpoint_format, read_tensors
from redoxa.generators.noise.checkpoint import save_noise_network
from redoxa.generators.noise.objective import LossWeights, Noising, diffusion, fit_buffers, loss_terms, straight_paths
from redoxa.generators.noise.statistics import DataStatistics, count_statistics
from redoxa.generators.training.batches import EDGES_PER_BATCH, Crystals, batches_by_size
from redoxa.generators.training.kinds import Option, Training


@dataclass(frozen=True)
class TrainingRecipe:
    """How the geometry is noised, and what goes with it."""

    noising: Noising
    weights: LossWeights
    backbone: BackboneConfig


def recipe(name: Literal["flow", "diffusion"]) -> TrainingRecipe:
    """What the shipped weights of a generator are trained with."""
    if name == "flow":
        return TrainingRecipe(straight_paths, LossWeights(), BackboneConfig())
    return TrainingRecipe(diffusion, LossWeights(coords=4.0), BackboneConfig(labels=len(LABELS)))


class NoiseTask:
    """A `generators.training.loop.Task`.

    Args:
        name: of the generator.
        data: prepared file (`data.tables.datasets.prepare`).
        backbone: size of the network; by default that of the shipped weights.
        start: checkpoint of a network from noise to begin with, of either generator; what it lacks, and the heads for
            coordinates and lattice where the generators differ, begin anew.
        only: of the parameters, those are trained whose names begin so; by default all.
        edges_per_batch: a batch of N-atom crystals holds about this many edges, N^2 a crystal; a resumed
            run must have the same.

    Raises:
        InputError: the data cannot be read.
    """

    def __init__(
        self,
        name: Literal["flow", "diffusion"],
        data: Path,
        backbone: BackboneConfig | None = None,
        start: Path | None = None,
        only: str = "",
        edges_per_batch: int = EDGES_PER_BATCH,
    ) -> None:
        self.name: str = name
        self.recipe, self.edges = recipe(name), edges_per_batch
        self.backbone, self.start, self.only = backbone or self.recipe.backbone, start, only
        size = json.dumps(asdict(self.backbone))
        self.settings = {"backbone": size, "generator": name, "edges_per_batch": str(edges_per_batch)}
        self.data = load(data)
        self.crystals = Crystals(self.data)

    def network(self) -> Backbone:
        """See `Task`."""
        network = Backbone(self.backbone)
        if self.start is not None:
            begin_with(network, self.name, self.start)
        fit_buffers(network, self.data.subset(~self.data.held_out))
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name.startswith(self.only))
        return network

    def epoch(self, seed: int, epoch: int) -> Sequence[torch.Tensor]:
        """See `Task`."""
        return self._batches(~self.data.held_out, (seed, epoch))

    def held_out(self) -> Sequence[torch.Tensor]:
        """See `Task`."""
        return self._batches(self.data.held_out, (1, 0))

    def losses(
        self, network: Backbone, rows: torch.Tensor, step: int, generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """See `Task`."""
        del step
        batch = self.crystals.take(rows, generator.device)
        return loss_terms(network, batch, self.recipe.weights, self.recipe.noising, generator)

    def save(self, path: Path, network: Backbone) -> None:
        """See `Task`."""
        save_noise_network(path, self.name, network, self._statistics)

    def _batches(self, chosen: npt.NDArray[np.bool_], seed: tuple[int, ...]) -> list[torch.Tensor]:
        return batches_by_size(self.data.counts, np.flatnonzero(chosen), self.edges, seed)

    @cached_property
    def _statistics(self) -> DataStatistics:
        return count_statistics(self.data.subset(~self.data.held_out))


def begin_with(network: Backbone, generator: str, checkpoint: Path) -> None:
    """Copy what fits from a checkpoint of a network from noise.

    Raises:
        InputError: not such a checkpoint, or of a network of another size.
    """
    tensors, header = read_tensors(checkpoint)
    same = header.get("format") == checkpoint_format(generator)
    own = network.state_dict()
    heads = () if same else ("coords_head", "lattice_head")
    given = {name: t.float() for name, t in tensors.items() if name in own and not name.startswith(heads)}
    if not given or any(own[name].shape != t.shape for name, t in given.items()):
        raise InputError(f"{checkpoint}: no network of this size")
    network.load_state_dict(own | given)


def _make(name: Literal["flow", "diffusion"], data: Path, start: Path | None, edges: int | None) -> partial[NoiseTask]:
    return partial(NoiseTask, name, data, start=start, edges_per_batch=edges or EDGES_PER_BATCH)


_TAKES: Final[frozenset[Option]] = frozenset({"start", "rate", "edges", "hosts"})

FLOW: Final = Training("flow", 30_000, _TAKES, "crystals", partial(_make, "flow"))
DIFFUSION: Final = Training("diffusion", 30_000, _TAKES, "crystals", partial(_make, "diffusion"))
