"""Formulas out of noise, written by a network that a critic taught."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.special import logsumexp

from redoxa.generators.composition.adversarial.network import WganConfig, Writer, load_writer, one_hots, save_writer
from redoxa.generators.composition.adversarial.training import WganTask
from redoxa.generators.composition.autoregressive import Autoregressive, Floats, Foresight, Integers
from redoxa.generators.composition.family import Kind, LogProbability
from redoxa.generators.composition.grammar import Formula
from redoxa.generators.composition.trained import TrainedFamily
from redoxa.generators.training.loop import Task

DRAWS = 128
"""Noises over which the probability of a formula is averaged."""


class WganFamily(TrainedFamily[Writer, WganConfig], Autoregressive):
    """A `Family` whose formulas are written from noise: each noise gives a sharp choice.

    It has no likelihood of its own: what is told is the mean over `DRAWS` noises of the probability given each, a lower
    bound in the mean over such sets of noises, and a poor one where choices are sharp.

    Args:
        grammar: of the formulas.
        config: size and safeguards of the networks.
        training: how to train; a folder of its `out`, named by the seed, is gone on with where it is there already.
    """

    kind: ClassVar[Kind] = "bound"

    name = "wgan"

    read, write = staticmethod(load_writer), staticmethod(save_writer)

    def task(self, formulas: Sequence[Formula], seed: int) -> Callable[[], Task[Any]]:
        """See `TrainedFamily`."""
        del seed
        return partial(WganTask, self.grammar, tuple(formulas), (), self.config)

    def noise(self, n: int, rng: np.random.Generator) -> Floats:
        """See `Autoregressive`."""
        return rng.standard_normal((n, self.config.noise))

    @torch.no_grad()
    def foresee(self, slots: Integers, noise: Floats) -> Foresight:
        """See `Autoregressive`.

        Raises:
            GenerationError: it has learned nothing yet.
        """
        writer = self.learned()
        return _Answers(writer, writer.hidden(torch.from_numpy(noise).float(), torch.from_numpy(slots)))

    def log_probability(self, formulas: Sequence[Formula]) -> LogProbability:
        """See `Family`; the same noises for all formulas, so that the probabilities told add up to 1."""
        rng = np.random.default_rng(0)
        nats = [self.log_given(formulas, np.repeat(self.noise(1, rng), len(formulas), axis=0)) for _ in range(DRAWS)]
        return LogProbability(np.asarray(logsumexp(nats, axis=0) - np.log(DRAWS)), self.kind)


class _Answers:
    """What the network expects in the next slot, from hidden vectors [n,width]."""

    def __init__(self, network: Writer, hidden: torch.Tensor) -> None:
        self.network, self.hidden = network, hidden

    @torch.no_grad()
    def elements(self) -> Floats:
        return np.asarray(self.network.element_logits(self.hidden).double().numpy())

    @torch.no_grad()
    def atoms(self, element: Integers) -> Floats:
        slot = torch.from_numpy(np.stack([element, np.zeros_like(element)], 1))
        codes, _ = one_hots(slot, self.network.grammar)
        return np.asarray(self.network.count_logits(self.hidden, codes).double().numpy())
