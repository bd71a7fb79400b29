"""The network of `orbits` that puts elements on the orbits of known skeletons, as a policy.

Two things are chosen and learned: which skeleton is filled, of all that suit the condition (a preference changes the
weights that `generators.orbits.de_novo` gives them), and the elements on its orbits. Of the network the last layer of
the elements learns: what foresees volumes, voltages and distances from the hull looks at the layers below, and stays
right; and these need to be computed once for all steps of a round. Draws that are refused are no episodes where
crystals are made; where draws are imagined they are, and earn nothing.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from ase.data import chemical_symbols
from scipy.special import softmax
from torch import nn

from redoxa.data.errors import GenerationError
from redoxa.data.records import Crystal, reduced_formula
from redoxa.data.shipped import shipped
from redoxa.data.symmetry.wyckoff import Floats
from redoxa.generators.base import Condition
from redoxa.generators.checkpoint import read_tensors, write_tensors
from redoxa.generators.choice import Choice, Foreseen
from redoxa.generators.geometry.flow import GeometryFlow, load_geometry
from redoxa.generators.graph import MASK
from redoxa.generators.orbits.blanks import Blank, KnownSkeletons, allowed_types, batches, fitness
from redoxa.generators.orbits.decoration.decorator import Decorator, Drawing, load_decorator, reveal
from redoxa.generators.orbits.decoration.orbit_graph import GraphBatch
from redoxa.generators.orbits.foresight.foresight import Foresight
from redoxa.generators.orbits.foresight.surrogate import load_surrogate
from redoxa.generators.orbits.prediction import shipped_predictor
from redoxa.generators.orbits.preference import Preference, load_preference, look, preference_tensors
from redoxa.generators.orbits.refusal import Library, Refusal
from redoxa.generators.reinforcement.orbit_choices import Scene, Turn, log_choices
from redoxa.generators.reinforcement.policy import Drawn, Episode

ROUNDS = 24
"""Of drawing what is missing, before less is given; known formulas, in new forms, may come in the second half."""

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

    @property
    def content(self) -> dict[str, int]:
        """Atoms in the cell by symbol."""
        composition = self.blank.template.composition_with(self.numbers)
        return {chemical_symbols[z]: n for z, n in composition.items()}


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
    foresees = True

    def __init__(self, start: Path, condition: Condition, alike: int = 1) -> None:
        if condition.targets or condition.contents or condition.like is not None:
            raise GenerationError("orbits learns to draw from nothing: leave out targets, formulas and given crystals")
        self.start, self.condition, self.alike = start, condition, alike
        self.proposer = shipped_predictor().proposer
        self.prior = load_decorator(start).requires_grad_(False)
        self.network = self.prior
        self.drawing = Drawing(allowed_types(self.proposer, condition), condition.required)
        self.refine = GeometryFlow(load_geometry(shipped("geometry.safetensors"))).refine
        self._known, self._library = KnownSkeletons(self.proposer), Library(self.proposer)
        self._skeletons, near = self._known.likeliest(condition, self.drawing)
        if not self._skeletons:
            raise GenerationError("no skeleton of the memory suits the condition; allow more elements or atoms")
        self._places = {skeleton: place for place, skeleton in enumerate(self._skeletons)}
        blanks = [self._known.blank(i) for i in self._skeletons]
        self._looks = look(self.prior, blanks)
        self._found = torch.from_numpy(near + fitness(self.prior, blanks, self.drawing)).float()
        self._prior_preference = load_preference(start) or Preference(self._looks).requires_grad_(False)
        self.preference = self._prior_preference
        self.load(start)
        self._scenes: tuple[Sequence[OrbitEpisode], list[Scene]] = ((), [])

    @cached_property
    def _foresight(self) -> Foresight:
        return Foresight(self.condition, self.prior, load_surrogate(self.start, self.prior.config.hidden))

    def parameters(self) -> list[nn.Parameter]:
        """See `Policy`."""
        return [*self.network.types.parameters(), self.preference.weight]

    def load(self, path: Path) -> None:
        """See `Policy`."""
        self.network = load_decorator(path).requires_grad_(False)
        self.network.types.requires_grad_(True)
        self.preference = load_preference(path) or Preference(self._looks)
        self.preference.requires_grad_(True)

    def save(self, path: Path) -> None:
        """See `Policy`; all but what learned stays, bit for bit."""
        tensors, header = read_tensors(self.start)
        learned = {f"decorator.types.{name}": p.half() for name, p in self.network.types.named_parameters()}
        write_tensors(path, tensors | learned | preference_tensors(self.preference), header)

    def draw(self, n: int, rng: np.random.Generator, choice: Choice | None = None) -> Drawn[OrbitEpisode]:
        """See `Policy`."""
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        chances = self._chances()
        refusal = Refusal(self._library, self.condition)
        drawn, share = Drawn[OrbitEpisode](), 1 if choice is None else choice.best_of
        for turn in range(ROUNDS):
            if (missing := n - len(drawn.episodes)) == 0:
                break
            refusal.known_formulas = 2 * turn >= ROUNDS
            many = math.ceil((missing + SPARE) * share / self.alike)
            chosen = np.repeat(rng.choice(len(chances), many, p=chances), self.alike)
            tried = self._filled([self._skeletons[i] for i in chosen], generator)
            drawn.formulas.extend(reduced_formula(one.content) for one in tried)
            fitting = [one for one in tried if refusal.fits(one.blank.template, one.numbers)]
            foreseen = self._foreseen(fitting)
            kept = range(len(fitting)) if choice is None else choice.best(foreseen)
            made = self._crystals([fitting[i] for i in kept], refusal)
            pairs = [(i, crystal) for i, crystal in zip(kept, made, strict=True) if crystal is not None][:missing]
            drawn.episodes.extend(self._episodes([fitting[i] for i, _ in pairs]))
            drawn.crystals.extend(crystal for _, crystal in pairs)
            drawn.foreseen.extend(foreseen[i] for i, _ in pairs)
        return drawn

    def imagine(self, n: int, rng: np.random.Generator) -> tuple[list[OrbitEpisode], list[Foreseen | None]]:
        """See `Policy`."""
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        chances = self._chances()
        tried = self._filled([self._skeletons[i] for i in rng.choice(len(chances), n, p=chances)], generator)
        refusal = Refusal(self._library, self.condition)
        fits = [refusal.fits(one.blank.template, one.numbers) for one in tried]
        found = iter(self._foreseen([one for one, fit in zip(tried, fits, strict=True) if fit]))
        return self._episodes(tried), [next(found) if fit else None for fit in fits]

    def log_probability(self, episodes: Sequence[OrbitEpisode]) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Policy`: exact, given the order in which orbits were revealed; the entropy is of the elements alone."""
        return self._log_probability(self.network, self.preference, episodes)

    def log_prior(self, episodes: Sequence[OrbitEpisode]) -> torch.Tensor:
        """See `Policy`."""
        return self._log_probability(self.prior, self._prior_preference, episodes)[0]

    def _log_probability(
        self, network: Decorator, preference: Preference, episodes: Sequence[OrbitEpisode]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        places = torch.tensor([self._places[one.skeleton] for one in episodes], dtype=torch.long)
        logs = (self._found + preference(self._looks)).log_softmax(0)[places]
        entropies = torch.zeros(len(episodes))
        for scene in self._seen(episodes):
            found = log_choices(network.types, scene, self.drawing)
            logs, entropies = (
                whole.index_put((scene.places,), part, accumulate=True)
                for whole, part in zip((logs, entropies), found, strict=True)
            )
        return logs, entropies

    def _seen(self, episodes: Sequence[OrbitEpisode]) -> list[Scene]:
        """Of the last episodes they are kept: many steps look at the same."""
        if self._scenes[0] is not episodes:
            alike: dict[int, list[int]] = defaultdict(list)
            for place, one in enumerate(episodes):
                alike[len(one.numbers)].append(place)
            self._scenes = (episodes, [self._scene(episodes, places) for places in alike.values()])
        return self._scenes[1]

    def _scene(self, episodes: Sequence[OrbitEpisode], places: list[int]) -> Scene:
        some = [episodes[i] for i in places]
        graphs = GraphBatch.of([self._known.blank(one.skeleton).graph for one in some])
        types, order = (torch.tensor(x) for x in zip(*((one.numbers, one.turns) for one in some), strict=True))
        turns = []
        for turn in range(types.shape[1]):
            hidden = order >= turn
            with torch.no_grad():
                seen = self.prior.embed(types.masked_fill(hidden, MASK), graphs)[0]
            turns.append(Turn(hidden, (order == turn).long().argmax(1), seen))
        return Scene(torch.tensor(places), types, torch.tensor([one.placed for one in some]), turns)

    def _chances(self) -> Floats:
        """Of all skeletons."""
        with torch.no_grad():
            return np.asarray(softmax((self._found + self.preference(self._looks)).double().numpy()))

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

    def _crystals(self, fitting: Sequence[_Filled], refusal: Refusal) -> list[Crystal | None]:
        """With the geometry that suits the elements; None of what is refused."""
        forms = [refusal.form(one.blank, one.numbers, one.log_scale) for one in fitting]
        refined = iter(self.refine([form for form in forms if form is not None]))
        return [None if form is None else refusal.crystal(next(refined)) for form in forms]

    def _episodes(self, filled: Sequence[_Filled]) -> list[OrbitEpisode]:
        """How they came about, with their probability."""
        found = [
            OrbitEpisode(
                log_probability=0.0, group=one.skeleton if self.alike > 1 else 0, skeleton=one.skeleton,
                numbers=one.numbers, turns=one.turns, placed=one.placed,
            )
            for one in filled
        ]  # fmt: skip
        with torch.no_grad():
            logs = self.log_probability(found)[0].tolist()
        told = [one.model_copy(update={"log_probability": log}) for one, log in zip(found, logs, strict=True)]
        self._scenes = (told, self._scenes[1])  # the same choices: who learns from them need not look again
        return told

    def _foreseen(self, filled: Sequence[_Filled]) -> list[Foreseen]:
        """What the networks say of them."""
        found: dict[int, Foreseen] = {}
        sizes = sorted({len(one.numbers) for one in filled})
        for size in sizes:
            places = [i for i, one in enumerate(filled) if len(one.numbers) == size]
            types = torch.tensor([filled[i].numbers for i in places])
            graphs = GraphBatch.of([filled[i].blank.graph for i in places])
            for i, values in zip(places, self._foresight(types, graphs), strict=True):
                found[i] = Foreseen(filled[i].content, values)
        return [found[i] for i in range(len(filled))]
