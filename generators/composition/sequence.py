"""Formulas written by a network, an LSTM or a transformer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from redoxa.generators.composition.autoregressive import Autoregressive, Floats, Foresight, Integers
from redoxa.generators.composition.grammar import Formula, Grammar
from redoxa.generators.composition.network import (
    CompositionNetwork,
    NetworkConfig,
    cell_in,
    composition_name,
    load_composition_network,
    save_composition_network,
)
from redoxa.generators.composition.trained import TrainedFamily
from redoxa.generators.composition.training import CompositionTask
from redoxa.generators.training.loop import Task, TrainConfig


class SequenceFamily(TrainedFamily[CompositionNetwork, NetworkConfig], Autoregressive):
    """A `Family` that a network answers for. Weights are kept in half precision, and so are those that `fit` leaves.

    Args:
        grammar: of the formulas.
        config: size of the network.
        training: how to train; a folder of its `out`, named by the seed, is gone on with where it is there already.
        temperature: see `Autoregressive`.
    """

    def __init__(
        self, grammar: Grammar, config: NetworkConfig, training: TrainConfig | None, temperature: float = 1.0
    ) -> None:
        super().__init__(grammar, config, training)
        self.temperature = temperature
        self.name = composition_name(config.cell).removeprefix("composition-")

    @staticmethod
    def read(path: Path) -> CompositionNetwork:
        """See `TrainedFamily`; the file says of which cell the network is."""
        return load_composition_network(path, cell_in(path))

    write = staticmethod(save_composition_network)

    def task(self, formulas: Sequence[Formula], seed: int) -> Callable[[], Task[Any]]:
        """See `TrainedFamily`."""
        del seed
        return partial(CompositionTask, self.grammar, tuple(formulas), (), self.config)

    @torch.no_grad()
    def foresee(self, slots: Integers, noise: Floats) -> Foresight:
        """See `Autoregressive`.

        Raises:
            GenerationError: it has learned nothing yet.
        """
        del noise
        network = self.learned()
        return _Answers(network, network(torch.from_numpy(slots))[:, -1])


class _Answers:
    """What the network expects in the next slot, from hidden vectors [n,width]."""

    def __init__(self, network: CompositionNetwork, hidden: torch.Tensor) -> None:
        self.network, self.hidden = network, hidden

    @torch.no_grad()
    def elements(self) -> Floats:
        return _numbers(self.network.element_logits(self.hidden))

    @torch.no_grad()
    def atoms(self, element: Integers) -> Floats:
        return _numbers(self.network.count_logits(self.hidden, torch.from_numpy(np.ascontiguousarray(element))))


def _numbers(logits: torch.Tensor) -> NDArray[np.float64]:
    return np.asarray(logits.double().numpy())
