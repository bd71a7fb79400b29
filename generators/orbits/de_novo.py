"""New crystals: which skeletons fit a chemistry, and which elements go on their orbits.

Skeletons come from the memory, each as likely as it is common and as the network (`decorator`) finds that
the allowed elements suit its geometry; from the sequence model, which writes ones that no template has; or from a given
crystal, of which some elements may stay, or whose empty places take one more ion. The network then draws what is open.
What is known already, what was drawn before, what no oxidation states balance and what has atoms too near one another
is drawn again.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from ase.data import chemical_symbols
from scipy.special import softmax

from redoxa.data.records import Crystal
from redoxa.data.symmetry.skeletons import Template
from redoxa.data.symmetry.symmetric import SymmetricCrystal
from redoxa.data.symmetry.wyckoff import Floats
from redoxa.generators.base import Condition
from redoxa.generators.choice import Choice, Foreseen
from redoxa.generators.exchange.proposals import Proposer
from redoxa.generators.orbits.blanks import Blank, KnownSkeletons, allowed_types, around, batches, fitness
from redoxa.generators.orbits.decoration.decorator import Decorator, Drawing, Revealed, reveal
from redoxa.generators.orbits.foresight.foresight import Foresight
from redoxa.generators.orbits.foresight.surrogate import Surrogate
from redoxa.generators.orbits.foresight.targets import Sieve
from redoxa.generators.orbits.new_skeletons import Writer
from redoxa.generators.orbits.preference import Preference, look
from redoxa.generators.orbits.refusal import Library, Refusal
from redoxa.generators.wyckoff.sequence import Refine, WyckoffModel

ROUNDS, TRIES = 20, 6
"""Rounds of drawing as many as are missing, and times that each of these is filled, before all is given up."""

IN_VAIN = 4
"""Rounds that one counts for which found nothing."""

UNLIKELY = 0.05
"""Where drawn elements do not fit, others on the last orbit are tried if they are likelier than this."""

WORN = 30.0
"""Taken from the log weight of a skeleton that was given up: it is drawn again only where all were."""

LOOSEN = 4.0
"""Rounds after which the logarithms of all weights are halved."""

NEW_SHARE, MORE_NEW = 0.1, 0.3
"""Share of new skeletons, and by how much it grows with each poor round."""

POOR = 16
"""A round is poor that finds less than one in so many of what is missing: the memory has little left."""


@dataclass(frozen=True)
class Found:
    """A new crystal.

    Attributes:
        crystal: unrelaxed.
        template: lent its geometry.
        numbers: element on each orbit of that.
        new: whether no template of the memory has its orbits.
        foreseen: the properties that were aimed at, in the units of `generators.base.TARGETS`.
    """

    crystal: Crystal
    template: Template
    numbers: tuple[int, ...]
    new: bool = False
    foreseen: Mapping[str, float] = field(default_factory=dict)


class _Filled(NamedTuple):
    """A blank with all elements drawn; none where they do not fit or miss the targets."""

    blank: Blank
    numbers: tuple[int, ...] = ()
    log_scale: float = 0.0
    """Change of the logarithm of the volume."""
    foreseen: Mapping[str, float] = MappingProxyType({})
    """Of what is aimed at."""
    values: Mapping[str, tuple[float, float]] = MappingProxyType({})
    """Of all that is foreseen, with sigma, where one of several is to be chosen."""

    @property
    def content(self) -> dict[str, int]:
        """Atoms in the cell by symbol."""
        composition = self.blank.template.composition_with(self.numbers)
        return {chemical_symbols[z]: n for z, n in composition.items()}


class DeNovo:
    """Draws new crystals.

    Args:
        proposer: the memory.
        network: which elements go where.
        surrogate: foresees the properties that a condition may aim at, and by which the best is chosen; called when
            it does.
        refine: gives filled skeletons the geometry that suits their elements; by default they keep the lent one.
        model: writes new skeletons; called when the first is asked for.
        preference: which skeletons are filled more often than they are found. With one many more are looked at, which
            takes some 6 s for each new condition.
    """

    def __init__(
        self,
        proposer: Proposer,
        network: Decorator,
        surrogate: Callable[[], Surrogate],
        refine: Refine = list,
        model: Callable[[], WyckoffModel] = WyckoffModel.load,
        preference: Preference | None = None,
    ) -> None:
        self.proposer, self.network, self._surrogate, self.refine = proposer, network, surrogate, refine
        self._known, self._library = KnownSkeletons(proposer), Library(proposer)
        self._writer = Writer(proposer, network, model)
        self.preference = preference
        self._preferred: dict[Condition, tuple[list[Blank], Floats]] = {}

    def draw(
        self, condition: Condition, n: int, rng: np.random.Generator, choice: Choice | None = None
    ) -> Iterator[Found]:
        """Different crystals that satisfy the condition, in an order that `rng` decides; n, or fewer where it is hard.

        Args:
            condition: what is asked for.
            n: crystals.
            rng: decides.
            choice: so many are filled for each crystal, and only the best are given a geometry.

        Raises:
            GenerationError: no skeleton suits the condition, or nothing is foreseen by which to choose.
        """
        drawing = Drawing(allowed_types(self.proposer, condition), condition.required)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        blanks, scores = self._blanks(condition, drawing, n, rng)
        sieve = Sieve(condition, self.network, self._surrogate()) if condition.targets else None
        foresight = Foresight(condition, self.network, self._surrogate()) if choice else None
        times = choice.best_of if choice else 1
        refusal = Refusal(self._library, condition)
        found = turn = poor = 0
        tally: Counter[int] = Counter()
        while turn < ROUNDS and found < n:
            # Known formulas are drawn late, and only in new forms; targets are given up last.
            refusal.known_formulas = condition.like is not None or 2 * turn >= ROUNDS
            strict = 4 * turn < 3 * ROUNDS
            written = 0 if condition.like is not None else _new_ones(n - found, len(blanks), poor, rng)
            known = n - found - written
            drawn = _some(blanks, scores, turn, tally, times * (known + 8), rng) if known else []
            many = 4 * written + 8 if poor or not blanks else written + written // 2 + 1
            drawn += self._writer.blanks(condition, drawing, times * many, generator) if written else []
            before, room = found, {False: known, True: written}
            mixed = [drawn[i] for i in rng.permutation(len(drawn))]
            fill = partial(
                self._filled, drawing=drawing, sieve=sieve, foresight=foresight, strict=strict, refusal=refusal,
                generator=generator,
            )  # fmt: skip
            for one in self._crystals(mixed, fill, choice, refusal, tally):
                if room[one.new]:
                    room[one.new] -= 1
                    found += 1
                    if choice:
                        choice.took(one.crystal)
                    yield one
                if found == n:
                    return
            poor += POOR * (found - before) < n - before
            turn += 1 if found > before else IN_VAIN

    def _blanks(
        self, condition: Condition, drawing: Drawing, n: int, rng: np.random.Generator
    ) -> tuple[list[Blank], Floats]:
        """Skeletons to be filled, and the logarithms of their weights."""
        if condition.like is not None:
            blanks = around(condition.like, condition, self.network)
        elif self.preference is None:
            blanks = self._known.pool(condition, drawing, n, rng)
        else:
            return self._all_blanks(condition, drawing, self.preference)
        return blanks, fitness(self.network, blanks, drawing)

    def _all_blanks(self, condition: Condition, drawing: Drawing, preference: Preference) -> tuple[list[Blank], Floats]:
        """The likeliest, weighed with the preference; kept, since the next draws mostly ask for the same."""
        if condition not in self._preferred:
            places, near = self._known.likeliest(condition, drawing)
            blanks = [self._known.blank(i) for i in places]
            scores = near + fitness(self.network, blanks, drawing) if blanks else near
            if blanks:
                scores = scores + preference(look(self.network, blanks)).numpy()
            self._preferred = {condition: (blanks, scores)}
        return self._preferred[condition]

    def _crystals(
        self,
        blanks: Sequence[Blank],
        fill: Callable[[Sequence[Blank]], list[_Filled]],
        choice: Choice | None,
        refusal: Refusal,
        tally: Counter[int],
    ) -> Iterator[Found]:
        """What comes of blanks. One that is refused gets new elements, so that skeletons keep their shares.

        What the choice passes over is gone.

        A skeleton of the memory that is refused `TRIES` times in a row, `tally`, is given up.
        """
        for _ in range(TRIES):
            refused = []
            filled = fill(blanks) if choice is None else _chosen(fill(blanks), choice)
            forms = [refusal.form(one.blank, one.numbers, one.log_scale) if one.numbers else None for one in filled]
            for (blank, numbers, _, foreseen, _), form in zip(filled, self._refined(forms), strict=True):
                crystal = None if form is None else refusal.crystal(form, new=blank.new)
                if crystal is None:
                    # What is given or new is tried to the end; of new ones, ids would be used again.
                    lasting = blank.new or refusal.condition.like is not None
                    tally[id(blank)] += not lasting
                    refused += [blank] * (lasting or tally[id(blank)] < TRIES)
                else:
                    tally[id(blank)] = 0
                    yield Found(crystal, blank.template, numbers, blank.new, foreseen)
            blanks = refused

    def _refined(self, forms: Sequence[SymmetricCrystal | None]) -> list[SymmetricCrystal | None]:
        """Forms with the geometry that suits their elements; what is None stays None."""
        refined = iter(self.refine([form for form in forms if form is not None]))
        return [None if form is None else next(refined) for form in forms]

    def _filled(
        self,
        blanks: Sequence[Blank],
        *,
        drawing: Drawing,
        sieve: Sieve | None,
        foresight: Foresight | None,
        strict: bool,
        refusal: Refusal,
        generator: torch.Generator,
    ) -> list[_Filled]:
        """Blanks with all elements drawn; where `strict`, only what the sieve lets through."""
        filled = [_Filled(blank) for blank in blanks]
        for places, types, graphs in batches(blanks):
            with torch.inference_mode():
                drawn = reveal(self.network, types, graphs, drawing, generator)
            fitting = [
                next((numbers for numbers in choices if refusal.fits(blanks[place].template, numbers)), None)
                for place, choices in zip(places, _choices(drawn, generator), strict=True)
            ]
            rows = torch.tensor([i for i, numbers in enumerate(fitting) if numbers], dtype=torch.long)
            if not len(rows):
                continue
            chosen, there = torch.tensor([numbers for numbers in fitting if numbers]), graphs[rows]
            with torch.inference_mode():
                volumes = self.network(chosen, there)[1].tolist()
            foreseen: list[dict[str, float]] = [{}] * len(rows) if sieve is None else sieve.foreseen(chosen, there)
            told = [{}] * len(rows) if foresight is None else foresight(chosen, there)
            columns = (rows.tolist(), chosen.tolist(), volumes, foreseen, told)
            for row, numbers, volume, aimed, values in zip(*columns, strict=True):
                if sieve is None or not strict or sieve.within(aimed):
                    blank = blanks[places[row]]
                    filled[places[row]] = _Filled(blank, tuple(numbers), volume - blank.log_volume, aimed, values)
        return filled


def _chosen(filled: Sequence[_Filled], choice: Choice) -> list[_Filled]:
    """The best of those that have elements, and all that have none: these are filled again."""
    fitting = [one for one in filled if one.numbers]
    best = choice.best([Foreseen(one.content, one.values) for one in fitting])
    return [fitting[i] for i in best] + [one for one in filled if not one.numbers]


def _choices(drawn: Revealed, generator: torch.Generator) -> Iterator[Iterator[tuple[int, ...]]]:
    """For each crystal the elements that were drawn, then the same with others on the orbit that was drawn last."""
    noise = -torch.empty(drawn.odds.shape).exponential_(generator=generator).log()
    order = (drawn.odds + noise).argsort(1, descending=True)
    likely = (math.log(UNLIKELY) < drawn.odds) & (drawn.odds < 0.0)
    for types, last, others, good in zip(
        drawn.types.tolist(), drawn.last.tolist(), order.tolist(), likely.tolist(), strict=True
    ):
        turns = [types[last], *(z for z in others if good[z] and z != types[last])]
        yield ((*types[:last], z, *types[last + 1 :]) for z in turns)


def _some(
    blanks: Sequence[Blank], scores: Floats, turn: int, tally: Counter[int], n: int, rng: np.random.Generator
) -> list[Blank]:
    """So many blanks by their log weights. What is likeliest is soon used up: later rounds look farther."""
    worn = np.array([tally[id(blank)] >= TRIES for blank in blanks])
    chances = softmax(scores / (1.0 + turn / LOOSEN) - WORN * worn)
    return [blanks[i] for i in rng.choice(len(blanks), n, p=chances)]


def _new_ones(missing: int, known: int, poor: int, rng: np.random.Generator) -> int:
    """How many of the missing crystals are to have a new skeleton, given how many are known and the poor rounds."""
    share = NEW_SHARE + MORE_NEW * poor
    return missing if not known or share >= 1.0 else int(rng.binomial(missing, share))
