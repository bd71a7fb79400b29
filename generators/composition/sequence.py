"""Formulas written by a network, an LSTM or a transformer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from redoxa.data.errors import GenerationError
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
from redoxa.generators.composition.training import CompositionTask
from redoxa.generators.training.loop import TrainConfig, train


class SequenceFamily(Autoregressive):
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
        self.grammar, self.config, self.training, self.temperature = grammar, config, training, temperature
        self.name = composition_name(config.cell).removeprefix("composition-")
        self.network: CompositionNetwork | None = None

    @classmethod
    def load(cls, path: Path, temperature: float = 1.0) -> SequenceFamily:
        """One that has learned; the file says of which cell it is.

        Raises:
            data.errors.InputError: not a checkpoint of this program.
        """
        network = load_composition_network(path, cell_in(path))
        family = cls(network.grammar, network.config, None, temperature)
        family.network = network
        return family

    def save(self, path: Path) -> None:
        """Inverse of `load`, but for the temperature.

        Raises:
            GenerationError: it has learned nothing yet.
        """
        save_composition_network(path, self._learned())

    def fit(self, formulas: Sequence[Formula], seed: int) -> None:
        """See `Family`.

        Raises:
            GenerationError: nothing is said of how to train.
            data.errors.InputError: a formula outside the grammar, or the folder is of other formulas.
        """
        if self.training is None:
            raise GenerationError("a network that was read cannot learn; make one with a `TrainConfig`")
        config = replace(self.training, out=self.training.out / f"seed-{seed}", seed=seed)
        task = partial(CompositionTask, self.grammar, tuple(formulas), (), self.config)
        self.network = load_composition_network(train(task, config, resume=True), self.config.cell)

    @torch.no_grad()
    def foresee(self, slots: Integers, noise: Floats) -> Foresight:
        """See `Autoregressive`.

        Raises:
            GenerationError: it has learned nothing yet.
        """
        del noise
        network = self._learned()
        return _Answers(network, network(torch.from_numpy(slots))[:, -1])

    def _learned(self) -> CompositionNetwork:
        if self.network is None:
            raise GenerationError(f"{self.name} has learned nothing yet: fit or load it")
        return self.network


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
