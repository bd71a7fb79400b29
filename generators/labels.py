"""Labels of a crystal (`datasets.LABELS`) as a vector that a network adds to its state; any may be unknown."""

from __future__ import annotations

import torch
from torch import nn


class LabelEmbedding(nn.Module):
    """From labels to a vector; zero until training says otherwise.

    Attributes:
        mean: of each label over the training data [K].
        std: its standard deviation [K].
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("std", torch.ones(count))
        self.inner = nn.Linear(2 * count, width)
        self.outer = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.outer.weight)

    def fit(self, labels: torch.Tensor) -> None:
        """Set mean and spread from labels [B,K], NaN where unknown; a label nobody has keeps 0 and 1."""
        for i, column in enumerate(labels.T):
            known = column[~column.isnan()]
            if len(known) > 1:
                self.mean[i], self.std[i] = known.mean(), known.std().clamp_min(1e-3)

    def forward(self, labels: torch.Tensor) -> torch.Tensor:
        """Vectors [B,width] of labels [B,K], NaN where unknown."""
        known = ~labels.isnan()
        scaled = ((labels - self.mean) / self.std).masked_fill(~known, 0.0)
        vector: torch.Tensor = self.outer(nn.functional.silu(self.inner(torch.cat([scaled, known.float()], dim=1))))
        return vector
