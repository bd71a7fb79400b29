"""What a network that writes formulas learns, for `generators.training.loop.train`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from redoxa.data.tables.formulas import load_formulas
from redoxa.generators.composition.grammar import Formula, Grammar, demand, formula_of
from redoxa.generators.composition.masks import Masks
from redoxa.generators.composition.network import (
    Cell,
    CompositionNetwork,
    NetworkConfig,
    composition_name,
    save_composition_network,
)
from redoxa.generators.composition.trained import Rows
from redoxa.generators.training.kinds import Training

if TYPE_CHECKING:
    from redoxa.generators.training.loop import Task


class CompositionTask(Rows):
    """A `generators.training.loop.Task`: the likelihood of formulas under the masks of the grammar.

    Args:
        grammar: of the formulas.
        learned: formulas to learn.
        held_out: formulas to judge by.
        config: size of the network.

    Raises:
        data.errors.InputError: a formula outside the grammar.
    """

    batch = 128

    def __init__(
        self, grammar: Grammar, learned: Sequence[Formula], held_out: Sequence[Formula], config: NetworkConfig
    ) -> None:
        super().__init__(len(learned), len(held_out))
        self.grammar, self.config = grammar, config
        self.name = composition_name(config.cell)
        slots = grammar.encode([*learned, *held_out])
        self.slots = torch.from_numpy(slots)
        self.elements, self.counts = _masks(grammar, slots)
        self.settings = {
            "network": json.dumps(asdict(config)),
            "grammar": json.dumps(asdict(grammar)),
            "formulas": hashlib.sha256(slots.tobytes()).hexdigest(),
        }

    def network(self) -> CompositionNetwork:
        """See `Task`."""
        return CompositionNetwork(self.config, self.grammar)

    def held_out(self) -> Sequence[torch.Tensor]:
        """See `Task`."""
        return [part for rows in super().held_out() for part in torch.split(rows, 8 * self.batch)]

    def losses(
        self, network: CompositionNetwork, rows: torch.Tensor, step: int, generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """See `Task`: nats per formula, of its elements and of their counts."""
        del step
        slots, elements, counts = (x[rows].to(generator.device) for x in (self.slots, self.elements, self.counts))
        hidden = network(slots[:, :-1])
        code, count = slots.unbind(2)
        terms = {
            "elements": _nats(network.element_logits(hidden), elements, code),
            "counts": _nats(network.count_logits(hidden, code), counts, count),
        }
        return {"loss": terms["elements"] + terms["counts"]} | terms

    def save(self, path: Path, network: CompositionNetwork) -> None:
        """See `Task`."""
        save_composition_network(path, network)


def _nats(logits: torch.Tensor, may: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Nats per formula of what stands in its slots, among what may stand there."""
    logs = logits.float().masked_fill(~may, -torch.inf).log_softmax(-1)
    return -logs.gather(-1, target.unsqueeze(-1)).sum() / len(target)


def _masks(grammar: Grammar, slots: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> tuple[torch.Tensor, ...]:
    """Which elements and which counts may stand in each slot [n,slots,elements+1], [n,slots,max_atoms+1]."""
    masks = Masks(demand(grammar))
    place = masks.start(len(slots))
    elements, counts = [], []
    for code, count in slots.transpose(1, 2, 0):
        elements.append(torch.from_numpy(masks.elements(place)))
        counts.append(torch.from_numpy(masks.atoms(place, code)))
        place = masks.advance(place, code, count)
    return torch.stack(elements, 1), torch.stack(counts, 1)


def read_formulas(data: Path) -> tuple[Grammar, list[Formula], list[Formula]]:
    """The grammar of a prepared file, its formulas to learn from, and those that are held out.

    Raises:
        data.errors.InputError: the data cannot be read.
    """
    prepared = load_formulas(data)
    formulas = list(map(formula_of, prepared))
    grammar = Grammar.of({z for formula in formulas for z, _ in formula})
    sides: tuple[list[Formula], list[Formula]] = [], []
    for formula, held in zip(formulas, prepared.held_out.tolist(), strict=True):
        if grammar.holds(formula):
            sides[held].append(formula)
    return grammar, *sides


Learn = Callable[[Grammar, Sequence[Formula], Sequence[Formula]], "Task[Any]"]
"""Makes a task of a grammar, formulas to learn and formulas to judge by."""


def formulas_task(learn: Learn, data: Path) -> Task[Any]:
    """What a model learns from the formulas of a prepared file.

    Raises:
        data.errors.InputError: the data cannot be read.
    """
    return learn(*read_formulas(data))


def formulas_maker(learn: Learn, data: Path, start: Path | None, edges: int | None) -> Callable[[], Task[Any]]:
    """A `MakeTask`, once `learn` is given."""
    del start, edges
    return partial(formulas_task, learn, data)


def _sequence_task(
    cell: Cell, grammar: Grammar, learned: Sequence[Formula], held_out: Sequence[Formula]
) -> CompositionTask:
    return CompositionTask(grammar, learned, held_out, NetworkConfig(cell))


STEPS = 6000

NEXT = "redoxa generate --generator composition --checkpoint {1}"
"""What to do with the weights of a model of formulas."""

LSTM: Final = Training(
    "composition-lstm",
    STEPS,
    frozenset({"rate"}),
    "formulas",
    partial(formulas_maker, partial(_sequence_task, "lstm")),
    rate=2e-3,
    next=NEXT,
)
TRANSFORMER: Final = Training(
    "composition-transformer",
    STEPS,
    frozenset({"rate"}),
    "formulas",
    partial(formulas_maker, partial(_sequence_task, "attention")),
    rate=1e-3,
    next=NEXT,
)
"""Models of formulas, which tables without positions do for."""
