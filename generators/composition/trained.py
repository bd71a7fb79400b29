"""What all families that are networks have in common: how they go through their data and learn, and their file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

import numpy as np
import torch

from redoxa.data.errors import GenerationError
from redoxa.generators.composition.grammar import Formula, Grammar
from redoxa.generators.training.loop import Task, TrainConfig, train


class Network(Protocol):
    """A network on formulas, which knows its grammar and its own size."""

    grammar: Grammar
    config: Any  # each network's own dataclass, which goes back into the class that it came from


N = TypeVar("N", bound=Network)
C = TypeVar("C")


class TrainedFamily(ABC, Generic[N, C]):
    """Half of a `StoredFamily`: one that a network answers for.

    Args:
        grammar: of the formulas.
        config: size of the network.
        training: how to train; a folder of its `out`, named by the seed, is gone on with where it is there already.
    """

    name: str

    def __init__(self, grammar: Grammar, config: C, training: TrainConfig | None) -> None:
        self.grammar, self.config, self.training = grammar, config, training
        self.network: N | None = None

    @staticmethod
    @abstractmethod
    def read(path: Path) -> N:
        """A network out of its file.

        Raises:
            data.errors.InputError: not a checkpoint of this program.
        """

    @staticmethod
    @abstractmethod
    def write(path: Path, network: N) -> None:
        """Inverse of `read`."""

    @abstractmethod
    def task(self, formulas: Sequence[Formula], seed: int) -> Callable[[], Task[Any]]:
        """Makes what a network learns from these formulas; the seed is for what comes before."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """One that has learned.

        Raises:
            data.errors.InputError: not a checkpoint of this program.
        """
        network = cls.read(path)
        family = cls(network.grammar, network.config, None)
        family.network = network
        return family

    def save(self, path: Path) -> None:
        """Inverse of `load`.

        Raises:
            GenerationError: it has learned nothing yet.
        """
        self.write(path, self.learned())

    def fit(self, formulas: Sequence[Formula], seed: int) -> None:
        """See `Family`.

        Raises:
            GenerationError: nothing is said of how to train.
            data.errors.InputError: a formula outside the grammar, or the folder is of other formulas.
        """
        self.network = self.read(self.trained(self.task(formulas, seed), seed))

    def trained(self, task: Callable[[], Task[Any]], seed: int) -> Path:
        """The file of a network that has learned a task.

        Raises:
            GenerationError: nothing is said of how to train.
            data.errors.InputError: as of `fit`.
        """
        if self.training is None:
            raise GenerationError("a network that was read cannot learn; make one with a `TrainConfig`")
        return train(task, replace(self.training, out=self.training.out / f"seed-{seed}", seed=seed), resume=True)

    def learned(self) -> N:
        """The network.

        Raises:
            GenerationError: it has learned nothing yet.
        """
        if self.network is None:
            raise GenerationError(f"{self.name} has learned nothing yet: fit or load it")
        return self.network


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
