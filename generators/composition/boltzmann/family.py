"""Formulas by Gibbs sampling, whatever is given of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch

from redoxa.generators.base import Condition
from redoxa.generators.composition.boltzmann.ais import Anneal
from redoxa.generators.composition.boltzmann.chain import Asked, Warmth, sweep
from redoxa.generators.composition.boltzmann.network import Rbm, RbmConfig, load_rbm, save_rbm
from redoxa.generators.composition.boltzmann.training import THOROUGH, RbmTask, settled
from redoxa.generators.composition.family import ROUND, Kind, LogProbability, collect
from redoxa.generators.composition.grammar import Demand, Formula, Given, Grammar, demand
from redoxa.generators.composition.masks import Masks
from redoxa.generators.composition.trained import TrainedFamily
from redoxa.generators.training.loop import Task, TrainConfig


class RbmFamily(TrainedFamily[Rbm, RbmConfig]):
    """A `Family` by a restricted Boltzmann machine.

    Log probabilities are up to the error of log Z, in which all of them share; how they compare with one another is
    exact, so as a score of what is unusual they need no log Z at all.

    A sample is a chain of its own. It begins with a formula that satisfies what is asked, written without regard to the
    machine; the hidden units come in little by little, over half of the sweeps, and then stay. Nothing but neutrality,
    which is by rejection, is left to chance afterwards: required and given elements are clamped in every sweep.

    Args:
        grammar: of the formulas.
        config: size of the machine.
        training: how to train; a folder of its `out`, named by the seed, is gone on with where it is there already.
        anneal: how `fit` estimates the partition function in the end.
        sweeps: of each sample.
    """

    kind: ClassVar[Kind] = "AIS"

    name = "rbm"

    def __init__(
        self,
        grammar: Grammar,
        config: RbmConfig,
        training: TrainConfig | None,
        anneal: Anneal = THOROUGH,
        sweeps: int = 24,
    ) -> None:
        super().__init__(grammar, config, training)
        self.anneal, self.sweeps = anneal, sweeps

    read, write = staticmethod(load_rbm), staticmethod(save_rbm)

    def task(self, formulas: Sequence[Formula], seed: int) -> Callable[[], Task[Any]]:
        """See `TrainedFamily`."""
        del seed
        return partial(RbmTask, self.grammar, tuple(formulas), (), self.config)

    def fit(self, formulas: Sequence[Formula], seed: int) -> None:
        """See `TrainedFamily`; in the end the partition function is estimated."""
        super().fit(formulas, seed)
        self.network = settled(self.learned(), self.anneal)

    @torch.no_grad()
    def log_probability(self, formulas: Sequence[Formula]) -> LogProbability:
        """See `Family`."""
        machine = self.learned()
        weights = machine.log_weight(torch.from_numpy(self.grammar.encode(formulas)))
        return LogProbability(np.asarray(weights.double().numpy() - machine.log_z), self.kind)

    def sample(self, n: int, condition: Condition, rng: np.random.Generator) -> list[Formula]:
        """See `Family`."""
        return self.draw(n, demand(self.grammar, condition), rng)

    def complete(self, given: Given, n: int, rng: np.random.Generator) -> list[Formula]:
        """See `Family`."""
        return self.draw(n, demand(self.grammar, None, given), rng)

    def draw(self, n: int, wish: Demand, rng: np.random.Generator) -> list[Formula]:
        """Exactly n formulas that satisfy a demand; errors as of `sample`."""
        masks, asked = Masks(wish), Asked.of(wish)

        def draw(m: int) -> list[Formula]:
            return self.grammar.decode(np.asarray(self.settle(m, masks, asked, rng)))

        return gathered(n, wish, draw)

    @torch.no_grad()
    def settle(self, n: int, masks: Masks, asked: Asked, rng: np.random.Generator) -> torch.Tensor:
        """Slots after all sweeps [n,slots,2], of n chains that satisfy what is asked."""
        machine = self.learned()
        tables, generator = machine.tables(), torch.Generator().manual_seed(int(rng.integers(2**62)))
        slots, usual = torch.from_numpy(_any(n, masks, rng)), machine.usual(tables)
        for i in range(self.sweeps):
            warmth = Warmth(min(1.0, 2 * (i + 1) / self.sweeps), usual)
            slots, _ = sweep(machine, tables, slots, asked, generator, warmth)
        return slots


def gathered(n: int, wish: Demand, draw: Callable[[int], list[Formula]]) -> list[Formula]:
    """The first n that satisfy the demand, of draws that satisfy all of it but neutrality.

    Raises:
        GenerationError: hardly any is neutral.
    """
    if wish.neutral:
        return collect(n, wish, draw)
    rounds = [min(ROUND, n - done) for done in range(0, n, ROUND)]  # all of them are right
    return [formula for m in rounds for formula in draw(m)]


def _any(n: int, masks: Masks, rng: np.random.Generator) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Some formulas that satisfy the masks, written slot by slot [n,slots,2]."""
    slots, place = np.zeros((n, masks.slots, 2), np.int64), masks.start(n)
    for t in range(masks.slots):
        may = masks.elements(place)
        element = (rng.random(may.shape) * may).argmax(1)
        may = masks.atoms(place, element)
        count = (rng.random(may.shape) * may).argmax(1)
        slots[:, t, 0], slots[:, t, 1] = element, count
        place = masks.advance(place, element, count)
    return slots
