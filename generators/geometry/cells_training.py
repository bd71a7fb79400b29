"""What the flow of unit cells learns, for `generators.training.loop.train`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch

from redoxa.data.symmetry.cells import CellData, Floats, load_cells
from redoxa.generators.exchange.proposals import fitted_volumes
from redoxa.generators.geometry.cells import NOISE, UNKNOWN, CellConfig, CellNetwork, save_cells_network
from redoxa.generators.training.kinds import Training

BATCH = 256
"""Crystals learned together; many of them give two cells."""


class CellsTask:
    """A `generators.training.loop.Task`: the likelihood of reduced cells and, of known groups, conventional ones.

    Args:
        data: prepared file (`data.symmetry.cells.prepare_cells`), or what is in it.
        config: size of the network.

    Raises:
        data.errors.InputError: the data cannot be read.
    """

    name = "cells"

    def __init__(self, data: Path | CellData, config: CellConfig | None = None) -> None:
        self.data = load_cells(data) if isinstance(data, Path) else data
        self.config = config or CellConfig()
        learned = ~self.data.held_out
        self.volumes_A3 = fitted_volumes(self.data.content[learned], self.data.volumes_A3[learned])
        self.content = torch.from_numpy(self.data.content).float()
        self.groups = torch.from_numpy(self.data.groups)
        self.reduced, self.conventional = (
            torch.from_numpy(numbers).float() for numbers in cell_numbers(self.data, self.volumes_A3)
        )
        digest = hashlib.sha256(self.data.reduced.tobytes() + self.data.held_out.tobytes()).hexdigest()
        self.settings = {"network": json.dumps(asdict(self.config)), "cells": digest}

    def network(self) -> CellNetwork:
        """See `Task`."""
        network = CellNetwork(self.config)
        learned = torch.from_numpy(~self.data.held_out)
        seen = torch.cat([self.reduced[learned], self.conventional[learned & (self.groups > 0)]])
        network.volumes.copy_(torch.from_numpy(self.volumes_A3))
        network.offset.copy_(seen.mean(0))
        network.scale.copy_(seen.std(0).clamp_min(NOISE))
        return network

    def epoch(self, seed: int, epoch: int) -> Sequence[torch.Tensor]:
        """See `Task`."""
        rows = np.flatnonzero(~self.data.held_out)
        order = np.random.default_rng((seed, epoch)).permutation(rows)
        return torch.split(torch.from_numpy(order), BATCH)

    def held_out(self) -> Sequence[torch.Tensor]:
        """See `Task`: all at once."""
        rows = torch.from_numpy(np.flatnonzero(self.data.held_out))
        return (rows,) if len(rows) else ()

    def losses(
        self, network: CellNetwork, rows: torch.Tensor, step: int, generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """See `Task`: nats of a cell, and those of reduced and of conventional ones."""
        del step
        content, groups, reduced, conventional = (
            x[rows].to(generator.device) for x in (self.content, self.groups, self.reduced, self.conventional)
        )
        placed = groups > 0
        views = torch.cat([reduced, conventional[placed]])
        noise = NOISE * torch.randn(views.shape, generator=generator, device=generator.device)
        asked = torch.cat([torch.full_like(groups, UNKNOWN), groups[placed]])
        nats = -network.log_density(views + noise, torch.cat([content, content[placed]]), asked)
        of_group = (asked > 0).float()
        return {
            "loss": nats.mean(),
            "reduced": (nats * (1 - of_group)).sum() / len(rows),
            "conventional": (nats * of_group).sum() / of_group.sum().clamp_min(1.0),
        }

    def save(self, path: Path, network: CellNetwork) -> None:
        """See `Task`."""
        save_cells_network(path, network)


def cell_numbers(data: CellData, volumes_A3: Floats) -> tuple[Floats, Floats]:
    """The six numbers of the reduced and of the conventional cells, each [B,6], NaN where there is none."""
    own = data.content @ np.where(volumes_A3 > 0, volumes_A3, volumes_A3[volumes_A3 > 0].mean())
    ratio = np.log(data.volumes_A3 / own)
    found = [np.column_stack([ratio, shape]) for shape in (data.reduced, data.conventional)]
    return found[0], found[1]


def _make(data: Path, start: Path | None, edges: int | None) -> partial[CellsTask]:
    del start, edges
    return partial(CellsTask, data)


CELLS: Final = Training(
    "cells", 6_000, frozenset({"rate"}), "cells", _make, rate=2e-3,
    next="in Python, CellModel.load(Path('{1}')) of generators.geometry.cells states densities and draws cells",
)  # fmt: skip
