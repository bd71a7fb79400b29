"""Skeletons to be filled: of the memory, or around a given crystal, and how likely each is to be filled as asked.

Of the memory's, those near the allowed elements are drawn more often, and the network says how well the allowed
elements suit their geometry.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from ase.data import chemical_symbols
from numpy.typing import NDArray

from redoxa.data.chemistry import is_charge_balanced
from redoxa.data.errors import GenerationError
from redoxa.data.records import Crystal
from redoxa.data.symmetry.normaliser import canonical
from redoxa.data.symmetry.skeletons import Template, template_of
from redoxa.data.symmetry.symmetric import symmetric
from redoxa.data.symmetry.wyckoff import Floats, Integers
from redoxa.generators.base import Condition
from redoxa.generators.exchange.proposals import Proposer, mendeleev_numbers
from redoxa.generators.graph import MASK, N_TYPES
from redoxa.generators.orbits.decoration.decorator import Decorator, Drawing
from redoxa.generators.orbits.decoration.orbit_graph import GraphBatch, OrbitGraph
from redoxa.generators.orbits.insertion import insertions

POOL_BY_SAMPLE, POOL_LEAST = 1, 400
"""Templates whose geometry the network looks at, by sample and at least."""

LIKELIEST = 3_000
"""Templates that are looked at where all are to be weighed: some 6 s."""

REACH = 6.0
"""Mendeleev numbers between a template's elements and the allowed ones over which it is e times rarer in the pool."""

FEW = 0.65
"""What a species more takes from the log weight of a skeleton. Formulas of few elements are mostly known and refused;
without this, crystals would have more elements than real ones."""

ALLOYS = 0.5
"""Taken from the log weight of skeletons without anions: what must balance is refused more often than alloys."""

BATCH = 256
"""Most crystals that go through the network at once."""


@dataclass(frozen=True)
class Blank:
    """A skeleton to be filled.

    Attributes:
        template: lends its geometry.
        graph: of that.
        given: element of each orbit, `MASK` where it is open.
        log_volume: logarithm of the template's volume over that of its elements' own volumes, as it is or as the
            network has it: a filled blank differs from the template by what the network says beyond this.
        new: whether no template has its orbits.
    """

    template: Template
    graph: OrbitGraph
    given: tuple[int, ...]
    log_volume: float
    new: bool = False


class KnownSkeletons:
    """Empty skeletons of the memory; graphs are kept."""

    def __init__(self, proposer: Proposer) -> None:
        self.proposer = proposer
        self._blanks: dict[int, Blank] = {}

    def pool(self, condition: Condition, drawing: Drawing, n: int, rng: np.random.Generator) -> list[Blank]:
        """Skeletons of the size and space groups asked for, drawn without replacement; empty where there is none."""
        return [self.blank(i) for i in self.choose(condition, drawing, n, rng)]

    def choose(self, condition: Condition, drawing: Drawing, n: int, rng: np.random.Generator) -> list[int]:
        """The places of what `pool` gives in the table of templates."""
        rows, near = self.fitting(condition, drawing)
        size = min(len(rows), max(POOL_LEAST, POOL_BY_SAMPLE * n))
        # Gumbel's trick: the largest of noisy log weights are a draw without replacement.
        return [rows[i] for i in np.argsort(-(near + rng.gumbel(size=len(rows))), kind="stable")[:size]]

    def fitting(self, condition: Condition, drawing: Drawing) -> tuple[list[int], Floats]:
        """All of the size and space groups asked for, by their places, and how common and near the elements they are.

        Returns:
            Places, and logarithms of weights [n].
        """
        table = self.proposer.table
        low, high = condition.n_atoms
        atoms, kinds = table.compositions.sum(1), np.count_nonzero(table.compositions, axis=1)
        fits = (low <= atoms) & (atoms <= high) & (kinds >= len(condition.required))
        fits &= np.isin(table.groups, list(condition.groups)) if condition.groups else table.groups > 1
        rows = np.flatnonzero(fits)
        near = np.log(table.counts[rows]) - self._remoteness(rows, drawing.allowed.numpy()) / REACH
        return [int(i) for i in rows], near

    def likeliest(self, condition: Condition, drawing: Drawing) -> tuple[list[int], Floats]:
        """At most `LIKELIEST` of what `fitting` gives, with their weights, in the order of the table."""
        rows, near = self.fitting(condition, drawing)
        kept = np.sort(np.argsort(-np.round(near, 6), kind="stable")[:LIKELIEST])
        return [rows[i] for i in kept], near[kept]

    def blank(self, index: int) -> Blank:
        """The empty skeleton of a template."""
        if index not in self._blanks:
            self._blanks[index] = open_blank(self.proposer.table[index], self.proposer.volumes_A3)
        return self._blanks[index]

    def _remoteness(self, rows: Integers, allowed: NDArray[np.bool_]) -> Integers:
        """Sum over the elements of templates of their Mendeleev distance to the nearest allowed element [rows]."""
        numbers = mendeleev_numbers()
        nearest = np.abs(numbers[:, None] - numbers[np.flatnonzero(allowed)]).min(1)
        return np.asarray((self.proposer.table.compositions[rows] > 0) @ nearest)


def allowed_types(proposer: Proposer, condition: Condition) -> torch.Tensor:
    """Types that may be drawn, bool [N_TYPES]: known to the memory, and allowed.

    Raises:
        GenerationError: a required element is not known, or not allowed.
    """
    known = proposer.volumes_A3 > 0
    if unknown := [z for z in condition.required if not known[z]]:
        raise GenerationError(f"{symbols(unknown)}: no crystal of the memory holds it")
    allowed = torch.from_numpy(known.copy())
    if condition.allowed:
        if missing := (condition.required | condition.keep) - condition.allowed:
            raise GenerationError(f"{symbols(missing)}: required, not allowed")
        allowed &= torch.isin(torch.arange(N_TYPES), torch.tensor(sorted(condition.allowed)))
    return allowed


def open_blank(template: Template, volumes_A3: Floats, *, new: bool = False) -> Blank:
    """A template with all its orbits open.

    Args:
        template: with its elements.
        volumes_A3: by atomic number, of one atom.
        new: whether no template of the memory has its orbits.

    Raises:
        StructureError: two sites in one place.
    """
    own = sum(volumes_A3[z] * n for z, n in template.composition.items())
    log_volume = math.log(template.volume_A3 / own)
    return Blank(template, OrbitGraph.of(template.form), (MASK,) * len(template.atoms), log_volume, new)


def around(crystal: Crystal, condition: Condition, network: Decorator) -> list[Blank]:
    """A given crystal with what is not kept left open, or with one more open orbit where everything is kept.

    Raises:
        GenerationError: what is to be kept is not there, or nothing is left to be drawn.
    """
    form = canonical(symmetric(crystal))
    elements = {orbit.number for orbit in form.orbits}
    if strange := condition.keep - elements:
        raise GenerationError(f"{symbols(strange)}: to be kept, but not in {crystal.formula}")
    forms = [form]
    if elements <= condition.keep:
        missing = condition.required - elements
        if len(missing) != 1:
            raise GenerationError(f"all of {crystal.formula} is kept: require one more element, which is inserted")
        forms = insertions(form, *missing)
        if not forms:
            raise GenerationError(f"{crystal.formula} has no empty place for {symbols(missing)}")
    blanks = []
    for filled in forms:
        numbers = [orbit.number for orbit in filled.orbits]
        given = tuple(z if z in condition.keep else MASK for z in numbers)
        blank = Blank(template_of(filled), OrbitGraph.of(filled), given, 0.0)
        (_, _, graphs), *_ = batches([blank])
        with torch.inference_mode():
            log_volume = float(network(torch.tensor([numbers]), graphs)[1])
        blanks.append(replace(blank, log_volume=log_volume))
    return blanks


def fitness(network: Decorator, blanks: Sequence[Blank], drawing: Drawing) -> Floats:
    """Log weights of blanks [n]: how common they are, and how likely to be filled as asked, each orbit on its own."""
    scores = np.array([math.log(blank.template.count) for blank in blanks])
    scores -= FEW * np.array([len(blank.template.composition) for blank in blanks])
    scores -= ALLOYS * np.array([_is_alloy(blank.template) for blank in blanks])
    for places, types, graphs in batches(blanks):
        with torch.inference_mode():
            logs = network(types, graphs)[0].log_softmax(-1)
        hidden = types == MASK
        score = (logs[..., drawing.allowed].logsumexp(-1) * hidden).sum(1)
        for element in sorted(drawing.required):
            absent = ((-torch.expm1(logs[..., element])).clamp_min(1e-9).log() * hidden).sum(1)
            occurs = (-torch.expm1(absent)).clamp_min(1e-9).log()
            score += torch.where((types == element).any(1), 0.0, occurs)
        scores[places] += score.numpy()
    return np.asarray(scores)


def _is_alloy(template: Template) -> bool:
    content = {chemical_symbols[z]: n for z, n in template.composition.items()}
    return is_charge_balanced(content, alloys=True) and not is_charge_balanced(content)


def batches(blanks: Sequence[Blank]) -> Iterator[tuple[list[int], torch.Tensor, GraphBatch]]:
    """Places, given types [b,o] and graphs of blanks with equally many orbits."""
    places: dict[int, list[int]] = defaultdict(list)
    for place, blank in enumerate(blanks):
        places[len(blank.given)].append(place)
    for same in places.values():
        for first in range(0, len(same), BATCH):
            part = same[first : first + BATCH]
            types = torch.tensor([blanks[i].given for i in part])
            yield part, types, GraphBatch.of([blanks[i].graph for i in part])


def symbols(numbers: Iterable[int]) -> str:
    """Symbols of elements, for messages."""
    return ", ".join(chemical_symbols[z] for z in sorted(numbers))
