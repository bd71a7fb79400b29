"""What the second machine of a deep belief network learns, for `generators.training.loop.train`.

Persistent contrastive divergence as of the first one. The data are hidden units of that, drawn anew in each step. Its
chains are a buffer, so they are kept with the weights, and what was killed goes on with them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from redoxa.data.errors import InputError
from redoxa.data.shipped import shipped
from redoxa.generators.composition.boltzmann.ais import Anneal
from redoxa.generators.composition.boltzmann.deep import (
    NAME,
    Dbn,
    DbnConfig,
    fingerprint,
    flipped,
    load_dbn,
    save_dbn,
    settled_dbn,
)
from redoxa.generators.composition.boltzmann.network import Rbm, load_rbm
from redoxa.generators.composition.boltzmann.training import ON_THE_WAY, THOROUGH, PRECISE_nats
from redoxa.generators.composition.grammar import Formula
from redoxa.generators.composition.trained import Rows
from redoxa.generators.composition.training import NEXT, read_formulas
from redoxa.generators.training.kinds import Training

if TYPE_CHECKING:
    from redoxa.generators.training.loop import Task


class DbnTask(Rows):
    """A `generators.training.loop.Task`.

    Args:
        lower: the trained machine on formulas, which stays as it is.
        learned: formulas to learn.
        held_out: formulas to judge by.
        config: size of the second machine.
        anneal: how its partition function is estimated at each save.

    Raises:
        data.errors.InputError: a formula outside the grammar of the machine.
    """

    name = NAME

    def __init__(
        self,
        lower: Rbm,
        learned: Sequence[Formula],
        held_out: Sequence[Formula],
        config: DbnConfig,
        anneal: Anneal = ON_THE_WAY,
    ) -> None:
        super().__init__(len(learned), len(held_out))
        self.lower, self.config, self.anneal = lower, config, anneal
        slots = torch.from_numpy(lower.grammar.encode([*learned, *held_out]))
        whole = Dbn(config, deepcopy(lower))
        self.means = torch.cat([whole.recognised(some) for some in torch.split(slots, 8 * self.batch)])
        self.settings = {
            "network": json.dumps(asdict(config)),
            "grammar": json.dumps(asdict(lower.grammar)),
            "formulas": hashlib.sha256(slots.numpy().tobytes()).hexdigest(),
            "start": fingerprint(lower),
        }

    def network(self) -> Dbn:
        """See `Task`."""
        network = Dbn(self.config, deepcopy(self.lower))
        if self.learned:
            network.top.begin_with(self.means[: self.learned])
        return network

    def losses(
        self, network: Dbn, rows: torch.Tensor, step: int, generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """See `Task`: how much less likely hidden units of formulas are than samples, and in evaluation mode nats.

        The nats are of the hidden units, not of formulas. The chains go on by torch's common randomness, which is the
        same in all workers: so they have the same chains.
        """
        del step
        units, top = flipped(self.means[rows].to(generator.device), generator), network.top
        chains = top.get_buffer("chains")
        if network.training:
            for _ in range(self.config.sweeps):
                chains.copy_(top.sweep(chains, None))
        data = -top.log_weight(units).mean()
        terms = {"contrast": data + top.log_weight(chains).mean()}
        if not network.training:
            terms["nats_of_units"] = data + top.log_z
        return {"loss": terms["contrast"] + self.config.prior * top.squares()} | terms

    def save(self, path: Path, network: Dbn) -> None:
        """See `Task`; with a partition function."""
        kept = deepcopy(network).cpu()
        settled_dbn(kept, self.anneal)
        network.top.get_buffer("partition").copy_(kept.top.get_buffer("partition"))
        save_dbn(path, kept)


LOWER: Final = "composition_rbm.safetensors"
"""The first machine, as it ships."""


def settle(path: Path) -> None:
    """Estimate the second machine's partition function of a network in a file thoroughly, if need be."""
    network = load_dbn(path)
    if not network.top.log_z_error < PRECISE_nats:
        settled_dbn(network, THOROUGH)
        save_dbn(path, network)


def dbn_task(data: Path, start: Path) -> DbnTask:
    """What the network that ships learns from a prepared file; formulas that the machine cannot write are left out.

    Raises:
        data.errors.InputError: the data or the machine cannot be read.
    """
    lower = load_rbm(start)
    _, learned, held_out = read_formulas(data)
    ours, others = ([formula for formula in some if lower.grammar.holds(formula)] for some in (learned, held_out))
    return DbnTask(lower, ours, others, DbnConfig())


def dbn_maker(data: Path, start: Path | None, edges: int | None) -> Callable[[], Task[Any]]:
    """A `MakeTask`; by default it begins with the machine that ships.

    Raises:
        InputError: none does.
    """
    del edges
    return partial(dbn_task, data, lower_machine(start, "a deep belief network"))


def lower_machine(start: Path | None, what: str) -> Path:
    """The file of the machine on formulas that a deep one begins with, by default the one that ships.

    Raises:
        InputError: none does; says how to make one.
    """
    path = start or shipped(LOWER)
    if start is None and not path.exists():
        raise InputError(
            f"{what} begins with a trained rbm, and none comes with this version: make one by "
            "`redoxa train --generator composition-rbm TABLE` and name its file by --start"
        )
    return path


STEPS = 10000

DBN: Final = Training(
    NAME,
    STEPS,
    frozenset({"start", "rate"}),
    "formulas",
    dbn_maker,
    rate=1e-3,
    clip=10.0,
    begins_with="weights of composition-rbm",
    shipped=LOWER,
    next=NEXT,
    finish=settle,
)
