"""What the flow learns, for `generators.training.train`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from data.datasets import load
from generators.backbone import Backbone, BackboneConfig
from generators.batches import Crystals, batches_by_size
from generators.checkpoint import save_network
from generators.objective import LossWeights, fit_buffers, loss_terms
from generators.statistics import DataStatistics, count_statistics


class FlowTask:
    """A `generators.training.Task`.

    Args:
        data: prepared file (`data.datasets.prepare`).
        backbone: size of the network.
        weights: of the losses and tasks.
        edges_per_batch: a batch of N-atom crystals holds about this many edges.

    Raises:
        InputError: the data cannot be read.
    """

    name = "flow"

    def __init__(
        self,
        data: Path,
        backbone: BackboneConfig | None = None,
        weights: LossWeights | None = None,
        edges_per_batch: int = 4608,
    ) -> None:
        self.data = load(data)
        self.backbone, self.weights, self.edges = (
            backbone or BackboneConfig(),
            weights or LossWeights(),
            edges_per_batch,
        )
        self.settings = {"backbone": json.dumps(asdict(self.backbone))}
        self.crystals = Crystals(self.data)

    def network(self) -> Backbone:
        """See `Task`."""
        network = Backbone(self.backbone)
        fit_buffers(network, self.data.subset(~self.data.held_out))
        return network

    def epoch(self, seed: int, epoch: int) -> Sequence[torch.Tensor]:
        """See `Task`."""
        return batches_by_size(self.data.counts, np.flatnonzero(~self.data.held_out), self.edges, (seed, epoch))

    def held_out(self) -> Sequence[torch.Tensor]:
        """See `Task`."""
        return batches_by_size(self.data.counts, np.flatnonzero(self.data.held_out), self.edges, (1, 0))

    def losses(
        self, network: Backbone, rows: torch.Tensor, step: int, generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """See `Task`."""
        del step
        return loss_terms(network, self.crystals.take(rows, generator.device), self.weights, generator)

    def save(self, path: Path, network: Backbone) -> None:
        """See `Task`."""
        save_network(path, network, self._statistics)

    @cached_property
    def _statistics(self) -> DataStatistics:
        return count_statistics(self.data.subset(~self.data.held_out))
