"""What a deep machine on several modalities learns, for `generators.training.loop.train`.

Multi-prediction (Goodfellow, Mirza, Courville and Bengio 2013): some known modalities are hidden at random and told
from the formula and the rest by mean field, and their nats are minimised through its iterations.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from redoxa.data.errors import InputError
from redoxa.data.tables.materials import NAMES, Modality, load_materials, modalities_of
from redoxa.generators.composition.boltzmann.deep import fingerprint
from redoxa.generators.composition.boltzmann.deep_training import LOWER, lower_machine
from redoxa.generators.composition.boltzmann.multimodal import NAME, Dbm, DbmConfig, Means, Reading, save_dbm
from redoxa.generators.composition.boltzmann.network import Rbm, load_rbm
from redoxa.generators.composition.grammar import Formula, Grammar, formula_of
from redoxa.generators.composition.trained import Rows
from redoxa.generators.composition.training import NEXT
from redoxa.generators.training.kinds import Training

if TYPE_CHECKING:
    from redoxa.generators.training.loop import Task


@dataclass(frozen=True)
class Materials:
    """Formulas, and what is known of them.

    Attributes:
        formulas: different ones.
        bins: of each modality, -1 where missing, int64 [n,modalities].
    """

    formulas: tuple[Formula, ...]
    bins: NDArray[np.int64]

    @classmethod
    def plain(cls, formulas: Sequence[Formula], modalities: int = 0) -> Materials:
        """Of which nothing else is known."""
        return cls(tuple(formulas), np.full((len(formulas), modalities), -1, np.int64))

    def __len__(self) -> int:
        return len(self.formulas)


class DbmTask(Rows):
    """A `generators.training.loop.Task`.

    Args:
        lower: the trained machine on formulas.
        modalities: of the materials.
        learned: materials to learn.
        held_out: materials to judge by.
        config: size.

    Raises:
        data.errors.InputError: a formula outside the grammar of the machine.
    """

    name = NAME

    def __init__(
        self,
        lower: Rbm,
        modalities: Sequence[Modality],
        learned: Materials,
        held_out: Materials,
        config: DbmConfig,
    ) -> None:
        super().__init__(len(learned), len(held_out))
        self.lower, self.modalities, self.config = lower, tuple(modalities), config
        self.slots = torch.from_numpy(lower.grammar.encode([*learned.formulas, *held_out.formulas]))
        self.bins = torch.from_numpy(np.concatenate([learned.bins, held_out.bins]))
        told = self.slots.numpy().tobytes() + self.bins.numpy().tobytes()
        self.settings = {
            "network": json.dumps(asdict(config)),
            "modalities": json.dumps([asdict(one) for one in modalities]),
            "grammar": json.dumps(asdict(lower.grammar)),
            "formulas": hashlib.sha256(told).hexdigest(),
            "start": fingerprint(lower),
        }

    def network(self) -> Dbm:
        """See `Task`."""
        network = Dbm(self.config, deepcopy(self.lower), self.modalities)
        if self.learned:
            network.begin_with(self.slots[: self.learned], self.bins[: self.learned])
        return network

    def losses(
        self, network: Dbm, rows: torch.Tensor, step: int, generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """See `Task`: mean nats of a hidden modality that is known; and of each kind, where some are hidden."""
        del step
        slots, bins = (x[rows].to(generator.device) for x in (self.slots, self.bins))
        noise = torch.rand(len(bins), 1 + bins.shape[1], device=bins.device, generator=generator)
        hidden = (bins >= 0) & (noise[:, 1:] < noise[:, :1])  # with a chance that differs from material to material
        reading = network.read(slots)
        means, nats = network.settle(reading, bins.masked_fill(hidden, -1)), []
        for k in range(bins.shape[1]):
            of = torch.nonzero(hidden[:, k]).squeeze(1)
            logs = network.tell(k, Reading(*(x[of] for x in reading)), Means(*(x[of] for x in means)))
            nats.append(-logs.gather(1, bins[of, k, None]).sum())
        # With nothing to tell there is nothing to learn, but a gradient, of 0.
        total = torch.stack(nats).sum() if nats else 0.0 * (reading.units.sum() + network.offset.sum())
        return {"loss": total / hidden.sum().clamp_min(1)}

    def save(self, path: Path, network: Dbm) -> None:
        """See `Task`."""
        save_dbm(path, network)


def read_materials(data: Path, grammar: Grammar) -> tuple[tuple[Modality, ...], Materials, Materials]:
    """Modalities of a prepared file, materials to learn and those held out; without what lies outside the grammar.

    Raises:
        data.errors.InputError: the data cannot be read.
    """
    prepared = load_materials(data)
    formulas = list(map(formula_of, prepared.formulas))
    ours = np.array([grammar.holds(formula) for formula in formulas], np.bool_)
    held_out = prepared.formulas.held_out
    modalities = modalities_of(prepared.values[ours & ~held_out])
    bins = [one.bins_of(prepared.values[:, NAMES.index(one.name)]) for one in modalities]
    table = np.stack(bins, 1) if bins else np.zeros((len(formulas), 0), np.int64)

    def some(chosen: NDArray[np.bool_]) -> Materials:
        return Materials(tuple(formulas[i] for i in np.flatnonzero(chosen)), table[chosen])

    return modalities, some(ours & ~held_out), some(ours & held_out)


def dbm_task(data: Path, start: Path) -> DbmTask:
    """What the machine that ships learns from a prepared file.

    Raises:
        InputError: the data or the machine on formulas cannot be read, or nothing is known beside formulas.
    """
    lower = load_rbm(start)
    modalities, learned, held_out = read_materials(data, lower.grammar)
    if not modalities:
        raise InputError(
            f"{data}: knows nothing that differs beside formulas; name tables with formation energies, band gaps, "
            "cells or voltages, or train composition-rbm"
        )
    return DbmTask(lower, modalities, learned, held_out, DbmConfig())


def dbm_maker(data: Path, start: Path | None, edges: int | None) -> Callable[[], Task[Any]]:
    """A `MakeTask`; by default it begins with the machine on formulas that ships.

    Raises:
        data.errors.InputError: none does.
    """
    del edges
    return partial(dbm_task, data, lower_machine(start, "a deep Boltzmann machine"))


STEPS = 4000

DBM: Final = Training(
    NAME,
    STEPS,
    frozenset({"start", "rate"}),
    "materials",
    dbm_maker,
    begins_with="weights of composition-rbm",
    shipped=LOWER,
    next=NEXT,
)
"""Formulas and what is known of their crystals."""
