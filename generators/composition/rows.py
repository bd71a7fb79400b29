"""How all tasks of models of formulas go through their data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch


class Rows:
    """Half of a `generators.training.loop.Task`.

    Args:
        learned: rows to learn, the first ones.
        held_out: rows to judge by, the others.

    Attributes:
        batch: rows that are learned together.
    """

    batch: ClassVar[int] = 256

    def __init__(self, learned: int, held_out: int) -> None:
        self.learned, self.rows = learned, learned + held_out

    def epoch(self, seed: int, epoch: int) -> Sequence[torch.Tensor]:
        """See `Task`."""
        order = np.random.default_rng((seed, epoch)).permutation(self.learned)
        return torch.split(torch.from_numpy(order), self.batch) if len(order) else ()

    def held_out(self) -> Sequence[torch.Tensor]:
        """See `Task`: all at once."""
        rows = torch.arange(self.learned, self.rows)
        return (rows,) if len(rows) else ()
