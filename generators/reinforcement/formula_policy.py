"""The LSTM of `composition` as a policy: it writes formulas, and the predictor makes a crystal of each.

Formulas are written one by one under the masks of what is asked for, so that probabilities are exact; neutrality alone
is by rejection, and what is rejected is no episode. The layers that say the next element and its count learn. Which
crystal a formula takes does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from ase.data import chemical_symbols
from numpy.typing import NDArray
from torch import nn

from redoxa.data.errors import GenerationError
from redoxa.data.records import reduced_formula
from redoxa.data.tables.known_materials import known_formulas
from redoxa.generators.base import Condition
from redoxa.generators.choice import Choice, Foreseen
from redoxa.generators.composition.generator import CompositionGenerator
from redoxa.generators.composition.grammar import Formula, demand
from redoxa.generators.composition.masks import Masks
from redoxa.generators.composition.network import (
    CompositionNetwork,
    load_composition_network,
    save_composition_network,
)
from redoxa.generators.reinforcement.policy import Drawn, Episode

ROUNDS = 24
"""Of drawing, before less is given; known formulas may come in the second half."""

AT_ONCE = 128
"""Formulas that are written together."""

FORESEES_NOTHING = "composition writes formulas and foresees nothing of them"


class FormulaEpisode(Episode):
    """A formula that was written: the code of an element and its count by slot, zeros after the end."""

    slots: tuple[tuple[int, int], ...]


class FormulaPolicy:
    """A `Policy` of `composition`.

    Args:
        start: checkpoint of `composition-lstm` that learning begins with.
        condition: of all crystals; ranges to aim at are for the rewards to say.

    Raises:
        InputError: not a checkpoint of `composition-lstm`.
        GenerationError: the condition cannot be met, or holds what is not learned.
    """

    name = "composition"
    file = "composition_lstm.safetensors"
    episode = FormulaEpisode
    foresees = False

    def __init__(self, start: Path, condition: Condition) -> None:
        if condition.targets or condition.contents or condition.like is not None:
            raise GenerationError("composition learns to write: leave out targets, formulas and given crystals")
        self.condition = condition
        self.prior = load_composition_network(start, "lstm").requires_grad_(False)
        self.network = self.prior
        self.load(start)
        self.generator = CompositionGenerator(start, "lstm")
        self.wish = demand(self.prior.grammar, condition)
        self.masks = Masks(self.wish)
        self._elements = frozenset(np.flatnonzero(self.generator.predictor.proposer.volumes_A3).tolist())

    def parameters(self) -> list[nn.Parameter]:
        """See `Policy`."""
        return [p for p in self.network.parameters() if p.requires_grad]

    def load(self, path: Path) -> None:
        """See `Policy`."""
        self.network = load_composition_network(path, "lstm").requires_grad_(False)
        self.network.bias.requires_grad_(True)
        for layer in (self.network.to_element, self.network.of_count, self.network.to_count):
            layer.requires_grad_(True)

    def save(self, path: Path) -> None:
        """See `Policy`."""
        save_composition_network(path, self.network)

    def draw(self, n: int, rng: np.random.Generator, choice: Choice | None = None) -> Drawn[FormulaEpisode]:
        """See `Policy`."""
        if choice is not None:
            raise GenerationError(FORESEES_NOTHING)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        drawn, seen = Drawn[FormulaEpisode](), set[Formula]()
        for turn in range(ROUNDS):
            if (missing := n - len(drawn.episodes)) == 0:
                break
            slots = write(self.network, self.masks, AT_ONCE, generator)
            formulas = self.network.grammar.decode(slots.numpy())
            drawn.formulas.extend(map(_words, formulas))
            fresh = [i for i, one in enumerate(formulas) if self._fits(one, seen, known=2 * turn >= ROUNDS)][:missing]
            made = self.generator.crystals([formulas[i] for i in fresh], self.condition)
            pairs = [(slots[i], answer[0]) for i, answer in zip(fresh, made, strict=True) if answer is not None]
            drawn.episodes.extend(self._episodes([one for one, _ in pairs]))
            drawn.crystals.extend(crystal for _, crystal in pairs)
        return drawn

    def imagine(self, _n: int, _rng: np.random.Generator) -> tuple[list[FormulaEpisode], list[Foreseen | None]]:
        """See `Policy`."""
        raise GenerationError(FORESEES_NOTHING)

    def log_probability(self, episodes: Sequence[FormulaEpisode]) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Policy`: exact, of the formula."""
        return log_writing(self.network, self.masks, _slots(episodes))

    def log_prior(self, episodes: Sequence[FormulaEpisode]) -> torch.Tensor:
        """See `Policy`."""
        return log_writing(self.prior, self.masks, _slots(episodes))[0]

    def _fits(self, formula: Formula, seen: set[Formula], *, known: bool) -> bool:
        """Whether a formula is asked for and comes for the first time; known ones only where `known`."""
        if formula in seen or not self.wish.accepts(formula) or not self._elements.issuperset(z for z, _ in formula):
            return False
        if not known and _words(formula) in known_formulas():
            return False
        seen.add(formula)
        return True

    def _episodes(self, written: Sequence[torch.Tensor]) -> list[FormulaEpisode]:
        if not written:
            return []
        with torch.no_grad():
            logs = log_writing(self.network, self.masks, torch.stack(list(written)))[0].tolist()
        return [
            FormulaEpisode(log_probability=log, group=0, slots=tuple((a, b) for a, b in slots.tolist()))
            for slots, log in zip(written, logs, strict=True)
        ]


def write(network: CompositionNetwork, masks: Masks, n: int, generator: torch.Generator) -> torch.Tensor:
    """Slots of n formulas under the masks, int64 [n,slots,2]."""
    slots, place = torch.zeros((n, network.grammar.slots, 2), dtype=torch.long), masks.start(n)
    with torch.inference_mode():
        for t in range(network.grammar.slots):
            hidden = network(slots[:, :t])[:, -1]
            logs = _masked(network.element_logits(hidden), masks.elements(place))
            element = torch.multinomial(logs.exp(), 1, generator=generator).squeeze(1)
            logs = _masked(network.count_logits(hidden, element), masks.atoms(place, element.numpy()))
            count = torch.multinomial(logs.exp(), 1, generator=generator).squeeze(1)
            slots[:, t, 0], slots[:, t, 1] = element, count
            place = masks.advance(place, element.numpy(), count.numpy())
    return slots


def log_writing(network: CompositionNetwork, masks: Masks, slots: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of formulas under the masks, and the mean entropy of their choices, nats [n], [n].

    Args:
        network: with gradients of its last layers, where these ask for them.
        masks: what may come.
        slots: as `write` gives them.
    """
    place, rows = masks.start(len(slots)), torch.arange(len(slots))
    logs, entropies, choices = torch.zeros(len(slots)), torch.zeros(len(slots)), torch.zeros(len(slots))
    with torch.no_grad():
        hidden = network(slots[:, :-1])
    for t in range(slots.shape[1]):
        element, count = slots[:, t, 0], slots[:, t, 1]
        of_element, of_count = masks.elements(place), masks.atoms(place, element.numpy())
        for logits, may, chosen in (
            (network.element_logits(hidden[:, t]), of_element, element),
            (network.count_logits(hidden[:, t], element), of_count, count),
        ):
            each = _masked(logits, may)
            logs = logs + each[rows, chosen]
            entropies = entropies - (each.exp() * each.clamp_min(-1e4)).sum(1)
            choices = choices + torch.from_numpy(may.sum(1) > 1)
        place = masks.advance(place, element.numpy(), count.numpy())
    return logs, entropies / choices.clamp_min(1.0)


def _masked(logits: torch.Tensor, may: NDArray[np.bool_]) -> torch.Tensor:
    """Log-probabilities of what may be."""
    return logits.masked_fill(torch.from_numpy(~may), -torch.inf).log_softmax(1)


def _slots(episodes: Sequence[FormulaEpisode]) -> torch.Tensor:
    return torch.tensor([one.slots for one in episodes], dtype=torch.long)


def _words(formula: Formula) -> str:
    return reduced_formula({chemical_symbols[z]: count for z, count in formula})
