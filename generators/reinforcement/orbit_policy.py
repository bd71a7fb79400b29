"""The network of `orbits` that puts elements on the orbits of known skeletons, as a policy.

Which skeleton is filled is decided by the weights that learning began with, as `generators.orbits.de_novo` decides it,
and does not learn. Of the network the last layer of the elements learns: what foresees volumes, voltages and distances
from the hull looks at the layers below, and stays right. Draws that are refused are no episodes, so that probabilities
are those of drawing at all, not of drawing something new.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ase.data import chemical_symbols
from scipy.special import softmax
from torch import nn

from redoxa.data.errors import GenerationError
from redoxa.data.records import Crystal, reduced_formula
from redoxa.data.shipped import shipped
from redoxa.data.symmetry.skeletons import Template
from redoxa.generators.base import Condition
from redoxa.generators.checkpoint import read_tensors, write_tensors
from redoxa.generators.geometry.flow import GeometryFlow, load_geometry
from redoxa.generators.graph import MASK
from redoxa.generators.orbits.blanks import Blank, KnownSkeletons, allowed_types, batches, fitness
from redoxa.generators.orbits.decoration.decorator import Decorator, Drawing, load_decorator, reveal
from redoxa.generators.orbits.decoration.orbit_graph import GraphBatch
from redoxa.generators.orbits.prediction import shipped_predictor
from redoxa.generators.orbits.refusal import Library, Refusal
from redoxa.generators.reinforcement.policy import Drawn, Episode

ROUNDS = 24
"""Of drawing what is missing, before less is given; known formulas, in new forms, may come in the second half."""

LOOSEN = 4.0
"""Rounds after which the logarithms of all weights of skeletons are halved."""

SPARE = 8
"""Draws beside those that are missing, in each round."""


class OrbitEpisode(Episode):
    """A skeleton and the elements on its orbits.

    Attributes:
        skeleton: its place in the table of templates.
        numbers: element on each orbit.
        turns: when each orbit was revealed, counted from 0.
        placed: whether a required element was given an orbit there: what was chosen is the orbit.
    """

    skeleton: int
    numbers: tuple[int, ...]
    turns: tuple[int, ...]
    placed: tuple[bool, ...]


@dataclass(frozen=True)
class _Filled:
    """A blank with its elements, and how they came there; `log_scale` is the change of the logarithm of the volume."""

    skeleton: int
    blank: Blank
    numbers: tuple[int, ...]
    turns: tuple[int, ...]
    placed: tuple[bool, ...]
    log_scale: float

    def episode(self, crystal: Crystal, group: int) -> OrbitEpisode:
        """That it gave a crystal, its probability still to be told."""
        return OrbitEpisode(
            crystal=crystal, log_probability=0.0, group=group, skeleton=self.skeleton, numbers=self.numbers,
            turns=self.turns, placed=self.placed,
        )  # fmt: skip


class OrbitPolicy:
    """A `Policy` of `orbits`.

    Args:
        start: checkpoint of `orbits` that learning begins with.
        condition: of all crystals; ranges to aim at are for the rewards to say.
        alike: draws from each skeleton. With 1, all draws of a round are one group; else those from one skeleton are.

    Raises:
        InputError: not a checkpoint of `orbits`.
        GenerationError: the condition cannot be met, or holds what is not learned.
    """

    name = "orbits"
    file = "orbits.safetensors"
    episode = OrbitEpisode

    def __init__(self, start: Path, condition: Condition, alike: int = 1) -> None:
        if condition.targets or condition.contents or condition.like is not None:
            raise GenerationError("orbits learns to draw from nothing: leave out targets, formulas and given crystals")
        self.start, self.condition, self.alike = start, condition, alike
        self.proposer = shipped_predictor().proposer
        self.prior = load_decorator(start).requires_grad_(False)
        self.network = self.prior
        self.load(start)
        self.drawing = Drawing(allowed_types(self.proposer, condition), condition.required)
        self.refine = GeometryFlow(load_geometry(shipped("geometry.safetensors"))).refine
        self._known, self._library = KnownSkeletons(self.proposer), Library(self.proposer)

    def parameters(self) -> list[nn.Parameter]:
        """See `Policy`."""
        return list(self.network.types.parameters())

    def load(self, path: Path) -> None:
        """See `Policy`."""
        self.network = load_decorator(path).requires_grad_(False)
        self.network.types.requires_grad_(True)

    def save(self, path: Path) -> None:
        """See `Policy`; all but the layer that learned stays, bit for bit."""
        tensors, header = read_tensors(self.start)
        learned = {f"decorator.types.{name}": p.half() for name, p in self.network.types.named_parameters()}
        write_tensors(path, tensors | learned, header)

    def draw(self, n: int, rng: np.random.Generator) -> Drawn[OrbitEpisode]:
        """See `Policy`."""
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        skeletons = self._known.choose(self.condition, self.drawing, n, rng)
        if not skeletons:
            raise GenerationError("no skeleton of the memory suits the condition; allow more elements or atoms")
        blanks = [self._known.blank(i) for i in skeletons]
        scores = fitness(self.prior, blanks, self.drawing)
        refusal = Refusal(self._library, self.condition)
        drawn = Drawn[OrbitEpisode]([], [])
        for turn in range(ROUNDS):
            if (missing := n - len(drawn.episodes)) == 0:
                break
            refusal.known_formulas = 2 * turn >= ROUNDS
            many = math.ceil((missing + SPARE) / self.alike)
            chosen = rng.choice(len(blanks), many, p=softmax(scores / (1.0 + turn / LOOSEN)))
            tried = self._filled([skeletons[i] for i in np.repeat(chosen, self.alike)], generator)
            drawn.formulas.extend(_formula(one.blank.template, one.numbers) for one in tried)
            drawn.episodes.extend(self._episodes(tried, refusal)[:missing])
        return drawn

    def log_probability(self, episodes: Sequence[OrbitEpisode]) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Policy`: exact, given the skeleton and the order in which orbits were revealed."""
        return self._log_probability(self.network, episodes)

    def log_prior(self, episodes: Sequence[OrbitEpisode]) -> torch.Tensor:
        """See `Policy`."""
        return self._log_probability(self.prior, episodes)[0]

    def _log_probability(
        self, network: Decorator, episodes: Sequence[OrbitEpisode]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        alike: dict[int, list[int]] = defaultdict(list)
        for place, one in enumerate(episodes):
            alike[len(one.numbers)].append(place)
        logs, entropies = torch.zeros(len(episodes)), torch.zeros(len(episodes))
        for places in alike.values():
            some = [episodes[i] for i in places]
            rows = torch.tensor(places)
            graphs = GraphBatch.of([self._known.blank(one.skeleton).graph for one in some])
            found = log_choices(network, some, graphs, self.drawing)
            logs, entropies = (
                whole.index_put((rows,), part) for whole, part in zip((logs, entropies), found, strict=True)
            )
        return logs, entropies

    def _filled(self, skeletons: Sequence[int], generator: torch.Generator) -> list[_Filled]:
        """These skeletons with drawn elements, in their order."""
        blanks = [self._known.blank(i) for i in skeletons]
        found: dict[int, _Filled] = {}
        for places, types, graphs in batches(blanks):
            with torch.inference_mode():
                drawn = reveal(self.network, types, graphs, self.drawing, generator)
                volumes = self.network(drawn.types, graphs)[1].tolist()
            columns = (drawn.types.tolist(), drawn.turns.tolist(), drawn.placed.tolist())
            for place, numbers, turns, placed, volume in zip(places, *columns, volumes, strict=True):
                blank = blanks[place]
                ways = tuple(numbers), tuple(turns), tuple(placed)
                found[place] = _Filled(skeletons[place], blank, *ways, volume - blank.log_volume)
        return [found[i] for i in range(len(blanks))]

    def _episodes(self, tried: Sequence[_Filled], refusal: Refusal) -> list[OrbitEpisode]:
        """What is not refused, with its probability."""
        fitting = [one for one in tried if refusal.fits(one.blank.template, one.numbers)]
        forms = [refusal.form(one.blank, one.numbers, one.log_scale) for one in fitting]
        refined = iter(self.refine([form for form in forms if form is not None]))
        found = []
        for one, form in zip(fitting, forms, strict=True):
            crystal = None if form is None else refusal.crystal(next(refined))
            if crystal is not None:
                found.append(one.episode(crystal, one.skeleton if self.alike > 1 else 0))
        with torch.no_grad():
            logs = self.log_probability(found)[0].tolist()
        return [one.model_copy(update={"log_probability": log}) for one, log in zip(found, logs, strict=True)]


def log_choices(
    network: Decorator, episodes: Sequence[OrbitEpisode], graphs: GraphBatch, drawing: Drawing
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of all choices, and their mean entropy, of episodes with equally many orbits [n], [n].

    Choices are drawn as `decorator.reveal` draws them. A gradient reaches the last layer only.
    """
    types, turns = (torch.tensor(x) for x in zip(*((one.numbers, one.turns) for one in episodes), strict=True))
    placed, rows = torch.tensor([one.placed for one in episodes]), torch.arange(len(episodes))
    columns = torch.nonzero(drawing.allowed).squeeze(1)
    logs, entropies = torch.zeros(len(episodes)), torch.zeros(len(episodes))
    for step in range(types.shape[1]):
        hidden, where = turns >= step, (turns == step).long().argmax(1)
        with torch.no_grad():
            seen = network.embed(types.masked_fill(hidden, MASK), graphs)[0]
        logits, element = network.types(seen), types[rows, where]
        of_types = (logits[rows, where][:, columns] / drawing.temperature).log_softmax(1)
        column = torch.searchsorted(columns, element)
        of_orbits = logits.log_softmax(-1)[rows, :, element].masked_fill(~hidden, -torch.inf).log_softmax(1)
        chose_orbit = placed[rows, where]
        logs = logs + torch.where(chose_orbit, of_orbits[rows, where], of_types[rows, column])
        entropies = entropies + torch.where(chose_orbit, _entropy(of_orbits), _entropy(of_types))
    return logs, entropies / types.shape[1]


def _entropy(logs: torch.Tensor) -> torch.Tensor:
    """Entropy in nats by row, of log-probabilities that may be minus infinity."""
    return -(logs.exp() * logs.clamp_min(-1e4)).sum(1)


def _formula(template: Template, numbers: Sequence[int]) -> str:
    content: dict[str, int] = defaultdict(int)
    for number, atoms in zip(numbers, template.atoms, strict=True):
        content[chemical_symbols[number]] += int(atoms)
    return reduced_formula(dict(content))
