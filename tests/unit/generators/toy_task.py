"""The smallest thing to train: a line through points, without noise."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from redoxa.generators.checkpoint import write_tensors


class LineTask:
    """Least squares over 23 points: five batches of five, the last one of three; the last three points are held out."""

    name = "line"

    def __init__(self, slope: float = 2.0) -> None:
        self.settings = {"slope": str(slope)}
        self.x = torch.linspace(-1, 1, 26).unsqueeze(1)
        self.y = slope * self.x + 0.5

    def network(self) -> nn.Sequential:
        return nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))

    def epoch(self, seed: int, epoch: int) -> list[torch.Tensor]:
        return list(torch.randperm(23, generator=torch.Generator().manual_seed(1000 * seed + epoch)).split(5))

    def held_out(self) -> list[torch.Tensor]:
        return [torch.arange(23, 26)]

    def losses(self, network, rows, step, generator) -> dict[str, torch.Tensor]:
        error = network(self.x[rows].to(generator.device)) - self.y[rows].to(generator.device)
        return {"loss": error.square().mean(), "offset": error.mean()}

    def save(self, path: Path, network: nn.Sequential) -> None:
        write_tensors(path, dict(network.named_parameters()), {})
