"""What a Boltzmann machine learns, for `generators.training.loop.train`: persistent contrastive divergence.

The chains are a buffer of the machine, so they are kept with the weights, and what was killed goes on with them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Final

import torch

from redoxa.data.errors import GenerationError
from redoxa.generators.composition.boltzmann.ais import Anneal, log_partition
from redoxa.generators.composition.boltzmann.chain import Asked, sweep
from redoxa.generators.composition.boltzmann.network import NAME, Rbm, RbmConfig, halved, load_rbm, save_rbm
from redoxa.generators.composition.boltzmann.softmax import SoftmaxFamily
from redoxa.generators.composition.floors import floor
from redoxa.generators.composition.grammar import Formula, Grammar, demand
from redoxa.generators.composition.trained import Rows
from redoxa.generators.composition.training import NEXT, formulas_maker
from redoxa.generators.training.kinds import Training

ON_THE_WAY = Anneal(chains=100, temperatures=200)
"""For the partition function at each save; a quick one."""

THOROUGH = Anneal(chains=400, temperatures=1000)
"""For the partition function in the end: half a minute."""

PRECISE_nats = 0.02
"""Standard error of log Z with which a quick estimate does."""


class RbmTask(Rows):
    """A `generators.training.loop.Task`.

    Args:
        grammar: of the formulas.
        learned: formulas to learn.
        held_out: formulas to judge by.
        config: size of the machine.
        anneal: how the partition function is estimated at each save.

    Raises:
        data.errors.InputError: a formula outside the grammar.
    """

    name = NAME

    def __init__(
        self,
        grammar: Grammar,
        learned: Sequence[Formula],
        held_out: Sequence[Formula],
        config: RbmConfig,
        anneal: Anneal = ON_THE_WAY,
    ) -> None:
        super().__init__(len(learned), len(held_out))
        self.grammar, self.config, self.anneal = grammar, config, anneal
        self.slots = torch.from_numpy(grammar.encode([*learned, *held_out]))
        self.asked = Asked.of(demand(grammar))
        self.settings = {
            "network": json.dumps(asdict(config)),
            "grammar": json.dumps(asdict(grammar)),
            "formulas": hashlib.sha256(self.slots.numpy().tobytes()).hexdigest(),
        }

    def network(self) -> Rbm:
        """See `Task`."""
        network = Rbm(self.config, self.grammar)
        if self.learned:
            network.begin_with(self.slots[: self.learned])
        return network

    def losses(
        self, network: Rbm, rows: torch.Tensor, step: int, generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """See `Task`: how much less likely formulas are than samples (contrast), and in evaluation mode nats.

        The chains go on by torch's common randomness, which is the same in all workers: so they have the same chains.
        """
        del step
        slots, tables = self.slots[rows].to(generator.device), network.tables()
        chains, terms = network.get_buffer("chains"), {}
        if network.training:
            asked = self.asked.to(generator.device)
            for _ in range(self.config.sweeps):
                new, moved = sweep(network, tables, chains, asked, None)
                chains.copy_(new)
            terms["drawn"] = moved.float().mean()
        data = -network.log_weight(slots, tables).mean()
        terms["contrast"] = data + network.log_weight(chains, tables).mean()
        if not network.training:
            terms["nats"] = data + network.log_z
        return {"loss": terms["contrast"] + self.config.prior * network.squares()} | terms

    def save(self, path: Path, network: Rbm) -> None:
        """See `Task`; with a partition function."""
        kept = settled(network, self.anneal)
        network.get_buffer("partition").copy_(kept.get_buffer("partition"))
        save_rbm(path, kept)


def settled(network: Rbm, anneal: Anneal) -> Rbm:
    """The machine as its file has it, and its partition function, where that can be estimated.

    A machine that has hardly learned may write hardly any formula; then there is no estimate.
    """
    kept = deepcopy(network).cpu()
    halved(kept)
    with suppress(GenerationError):
        kept.get_buffer("partition").copy_(torch.tensor(log_partition(kept, anneal)))
    return kept


def settle(path: Path) -> None:
    """Estimate the partition function of a machine in a file thoroughly, where the quick estimate errs by more."""
    network = load_rbm(path)
    if not network.log_z_error < PRECISE_nats:
        save_rbm(path, settled(network, THOROUGH))


def rbm_task(grammar: Grammar, learned: Sequence[Formula], held_out: Sequence[Formula]) -> RbmTask:
    """With the machine that ships."""
    return RbmTask(grammar, learned, held_out, RbmConfig())


STEPS = 10000

RBM: Final = Training(
    NAME,
    STEPS,
    frozenset({"rate"}),
    "formulas",
    partial(formulas_maker, rbm_task),
    rate=2e-3,
    clip=10.0,
    next=NEXT,
    finish=settle,
)
SOFTMAX: Final = floor("softmax", SoftmaxFamily)
"""Boltzmann machines on formulas."""
