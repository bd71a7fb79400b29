"""Formulas of a deep belief network, and the code that it has of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from redoxa.generators.base import Condition
from redoxa.generators.composition.boltzmann.ais import Anneal
from redoxa.generators.composition.boltzmann.chain import TRIES, Asked, chain_of, drawn
from redoxa.generators.composition.boltzmann.deep import Dbn, DbnConfig, flipped, load_dbn, save_dbn, settled_dbn
from redoxa.generators.composition.boltzmann.deep_training import DbnTask
from redoxa.generators.composition.boltzmann.family import RbmFamily, gathered
from redoxa.generators.composition.boltzmann.network import RbmConfig
from redoxa.generators.composition.boltzmann.training import THOROUGH
from redoxa.generators.composition.family import Kind, LogProbability
from redoxa.generators.composition.grammar import Demand, Formula, Given, Grammar, demand
from redoxa.generators.composition.masks import Masks
from redoxa.generators.composition.trained import TrainedFamily
from redoxa.generators.training.loop import Task, TrainConfig

DRAWS = 8
"""States of the hidden units by which a formula's probability is estimated."""


class DbnFamily(TrainedFamily[Dbn, DbnConfig]):
    """A `Family` by a deep belief network.

    Log probabilities are estimates: the mean over some draws of p(v, h) / q(h), with log Z of the second machine by
    annealed importance sampling. They lie below in the mean, but by chance also above: so they are no bound.

    A sample begins with a formula of the first machine that satisfies what is asked, and its hidden units. They go on
    by sweeps in the second machine, and the formula is written from them with all that is asked clamped in this last
    step down (neutrality is by rejection). Where that fails, the formula to begin with stays. So a sample is always
    what was asked for, but its distribution is that of the network in approximation only: the hidden units do not know
    of the condition but by where they began.

    Args:
        grammar: of the formulas.
        config: size of the second machine.
        training: how to train; a folder of its `out`, named by the seed, is gone on with where it is there already.
        lower: size of the first machine, which `fit` trains likewise.
        anneal: how `fit` estimates partition functions in the end.
        sweeps: of each sample, in the second machine.
    """

    kind: ClassVar[Kind] = "AIS"

    name = "dbn"

    def __init__(
        self,
        grammar: Grammar,
        config: DbnConfig,
        training: TrainConfig | None,
        lower: RbmConfig | None = None,
        anneal: Anneal = THOROUGH,
        sweeps: int = 24,
    ) -> None:
        super().__init__(grammar, config, training)
        self.lower, self.anneal, self.sweeps = lower or RbmConfig(), anneal, sweeps

    read, write = staticmethod(load_dbn), staticmethod(save_dbn)

    @classmethod
    def load(cls, path: Path) -> Self:
        """See `TrainedFamily`."""
        family = super().load(path)
        family.lower = family.learned().lower.config
        return family

    def task(self, formulas: Sequence[Formula], seed: int) -> Callable[[], Task[Any]]:
        """See `TrainedFamily`; the first machine is trained here."""
        training = self.training and replace(self.training, out=self.training.out / "lower")
        first = RbmFamily(self.grammar, self.lower, training, self.anneal)
        first.fit(formulas, seed)
        return partial(DbnTask, first.learned(), tuple(formulas), (), self.config)

    def fit(self, formulas: Sequence[Formula], seed: int) -> None:
        """See `TrainedFamily`; in the end the second partition function is estimated."""
        super().fit(formulas, seed)
        settled_dbn(self.learned(), self.anneal)

    def features(self, formulas: Sequence[Formula]) -> NDArray[np.float64]:
        """Chances of the hidden units of both layers, the first machine's first [n,units]: a code of formulas.

        Raises:
            data.errors.InputError: a formula outside the grammar.
        """
        code = self.learned().code(torch.from_numpy(self.grammar.encode(formulas)))
        return np.asarray(code.double().numpy())

    def log_probability(self, formulas: Sequence[Formula]) -> LogProbability:
        """See `Family`; always with the same draws."""
        network, generator = self.learned(), torch.Generator().manual_seed(0)
        slots = torch.from_numpy(self.grammar.encode(formulas))
        logs = torch.stack([network.log_estimates(slots, generator) for _ in range(DRAWS)])
        return LogProbability(np.asarray((logs.logsumexp(0) - np.log(DRAWS)).numpy()), self.kind)

    def sample(self, n: int, condition: Condition, rng: np.random.Generator) -> list[Formula]:
        """See `Family`."""
        return self._draw(n, demand(self.grammar, condition), rng)

    def complete(self, given: Given, n: int, rng: np.random.Generator) -> list[Formula]:
        """See `Family`."""
        return self._draw(n, demand(self.grammar, None, given), rng)

    def _draw(self, n: int, wish: Demand, rng: np.random.Generator) -> list[Formula]:
        first = RbmFamily(self.grammar, self.lower, None)
        first.network = self.learned().lower
        masks, asked = Masks(wish), Asked.of(wish)

        def draw(m: int) -> list[Formula]:
            begun = first.settle(m, masks, asked, rng)
            return self.grammar.decode(self._written(begun, asked, rng).numpy())

        return gathered(n, wish, draw)

    @torch.no_grad()
    def _written(self, slots: torch.Tensor, asked: Asked, rng: np.random.Generator) -> torch.Tensor:
        """Slots from the hidden units of others [n,slots,2], after all sweeps; the others where that fails."""
        network, generator = self.learned(), torch.Generator().manual_seed(int(rng.integers(2**62)))
        units = flipped(network.recognised(slots), generator)
        for _ in range(self.sweeps):
            units = network.top.sweep(units, generator)
        chain = chain_of(network.lower, network.lower.tables(), units, asked)
        made, left = slots, torch.ones(len(slots), dtype=torch.bool)
        for _ in range(TRIES):
            new = drawn(chain, generator)
            right = left & asked.accepts(new)
            made, left = torch.where(right[:, None, None], new, made), left & ~right
        return made
