"""What the sequence network learns, for `generators.training.loop.train`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch

from redoxa.data.symmetry.sequences import SequenceData, load_sequences
from redoxa.generators.training.batches import batches_by_size
from redoxa.generators.training.kinds import Training
from redoxa.generators.wyckoff.checkpoint import begin_with, save_sequence_network
from redoxa.generators.wyckoff.network import SequenceConfig, SequenceNetwork
from redoxa.generators.wyckoff.objective import Sequences, Shares, context_for, fit_buffers, log_likelihood

ORBITS_PER_BATCH = 6000
"""A batch of crystals with N orbits holds about so many over N^2."""


class WyckoffTask:
    """A `generators.training.loop.Task`.

    Args:
        data: prepared file (`data.symmetry.sequences.prepare_sequences`).
        config: size of the network.
        shares: of the ways in which a crystal is learned.
        start: weights of such a network of the same size to begin with.

    Raises:
        InputError: the data cannot be read.
    """

    name = "wyckoff"

    def __init__(
        self,
        data: Path,
        config: SequenceConfig | None = None,
        shares: Shares | None = None,
        start: Path | None = None,
    ) -> None:
        self.data = load_sequences(data)
        self.config, self.shares, self.start = config or SequenceConfig(), shares or Shares(), start
        self.settings = {"network": json.dumps(asdict(self.config))}
        self.sequences = Sequences(self.data)

    def network(self) -> SequenceNetwork:
        """See `Task`."""
        network = SequenceNetwork(self.config, self.data.table)
        if self.start is not None:
            begin_with(network, self.start)
        fit_buffers(network, self.data, ~self.data.crystals.held_out)
        return network

    def epoch(self, seed: int, epoch: int) -> Sequence[torch.Tensor]:
        """See `Task`."""
        return sequence_batches(self.data, self.sequences, False, (seed, epoch))

    def held_out(self) -> Sequence[torch.Tensor]:
        """See `Task`."""
        return sequence_batches(self.data, self.sequences, True, (1, 0))

    def losses(
        self, network: SequenceNetwork, rows: torch.Tensor, step: int, generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """See `Task`: nats per crystal by the parts of the likelihood."""
        del step
        lots = torch.rand(2, len(rows), generator=generator, device=generator.device)
        batch = self.sequences.take(rows, lots[0] < self.shares.free_order, generator)
        found = log_likelihood(network, batch, context_for(batch, lots[1] < self.shares.content))
        terms = {name: -value.mean() for name, value in found.items()}
        return {"loss": torch.stack(list(terms.values())).sum()} | terms

    def save(self, path: Path, network: SequenceNetwork) -> None:
        """See `Task`."""
        save_sequence_network(path, network)


def sequence_batches(
    data: SequenceData, sequences: Sequences, held_out: bool, seed: tuple[int, ...]
) -> list[torch.Tensor]:
    """The held-out crystals, or the others, in batches of one number of orbits."""
    rows = np.flatnonzero(data.crystals.held_out == held_out)
    return batches_by_size(sequences.orbits, rows, ORBITS_PER_BATCH, seed)


def _make(data: Path, start: Path | None, edges: int | None) -> partial[WyckoffTask]:
    del edges
    return partial(WyckoffTask, data, start=start)


WYCKOFF: Final = Training(
    "wyckoff", 30_000, frozenset({"start", "rate", "hosts"}), "sequences", _make, rate=1.5e-3,
    next="redoxa generate --generator wyckoff --checkpoint {1}; or, on the same crystals, "
    "redoxa train --generator vae --start {1}",
)  # fmt: skip
