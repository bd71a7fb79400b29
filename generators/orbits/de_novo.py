"""New crystals: which skeletons fit a chemistry, and which elements go on their orbits.

Skeletons come from the memory, each as likely as it is common and as the network (`decorator`) finds that
the allowed elements suit its geometry; or from a given crystal, of which some elements may stay, or whose empty places
take one more ion. The network then draws what is open. What the memory holds already, what was drawn before, what no
oxidation states balance and what has atoms too near one another is drawn again.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from ase.data import chemical_symbols
from numpy.typing import NDArray
from scipy.special import softmax

from data.chemistry import is_charge_balanced
from data.errors import GenerationError, StructureError
from data.fingerprint import SAME_UNRELAXED, distance, fingerprint, spacegroup
from data.normaliser import canonical
from data.records import Crystal
from data.skeletons import Template, template_of
from data.symmetric import SymmetricCrystal, symmetric
from data.wyckoff import Floats, Integers
from generators.base import Condition
from generators.exchange.proposals import Proposer, decorate, mendeleev_numbers
from generators.graph import MASK, N_TYPES
from generators.orbits.decorator import Decorator, Drawing, reveal
from generators.orbits.insertion import insertions
from generators.orbits.orbit_graph import GraphBatch, OrbitGraph
from generators.orbits.surrogate import Surrogate
from generators.orbits.targets import Sieve
from generators.sanity import SanityLimits, is_sane

POOL_BY_SAMPLE, POOL_LEAST = 1, 400
"""Templates whose geometry the network looks at, by sample and at least."""

REACH = 6.0
"""Mendeleev numbers between a template's elements and the allowed ones over which it is e times rarer in the pool."""

ROUNDS, TRIES = 20, 6
"""Rounds of drawing as many as are missing, and times that each of these is filled, before all is given up."""

LOOSEN = 4.0
"""Rounds after which the logarithms of all weights are halved."""

Refine = Callable[[Sequence[SymmetricCrystal]], Sequence[SymmetricCrystal]]
"""Symmetric crystals in a better geometry, in the same order."""

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
    """

    template: Template
    graph: OrbitGraph
    given: tuple[int, ...]
    log_volume: float


@dataclass(frozen=True)
class Found:
    """A new crystal, the template that lent its geometry, and the element on each orbit of that."""

    crystal: Crystal
    template: Template
    numbers: tuple[int, ...]


class DeNovo:
    """Draws new crystals.

    Args:
        proposer: the memory.
        network: which elements go where.
        surrogate: foresees the properties that a condition may aim at; called when it does.
        refine: gives filled skeletons the geometry that suits their elements; by default they keep the lent one.
    """

    def __init__(
        self, proposer: Proposer, network: Decorator, surrogate: Callable[[], Surrogate], refine: Refine = list
    ) -> None:
        self.proposer, self.network, self._surrogate, self.refine = proposer, network, surrogate, refine
        self._blanks: dict[int, Blank] = {}

    def draw(self, condition: Condition, n: int, rng: np.random.Generator) -> Iterator[Found]:
        """Different crystals that satisfy the condition, in an order that `rng` decides; n, or fewer where it is hard.

        Raises:
            GenerationError: no skeleton suits the condition.
        """
        drawing = Drawing(self._allowed(condition), condition.required)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        if condition.like is None:
            blanks = self._templates(condition, drawing, n, rng)
        else:
            blanks = self._around(condition.like, condition)
        scores = self._scores(blanks, drawing)
        sieve = Sieve(condition, self.network, self._surrogate()) if condition.targets else None
        refusal = _Refusal(self.proposer, condition)
        found = 0
        for turn in range(ROUNDS):
            # What is likeliest is soon used up: later rounds look farther, at last at new forms of known formulas too.
            chances = softmax(scores / (1.0 + turn / LOOSEN))
            # Targets are given up last.
            refusal.known_formulas = condition.like is not None or 2 * turn >= ROUNDS
            if 4 * turn >= 3 * ROUNDS:
                sieve = None
            drawn = [blanks[i] for i in rng.choice(len(blanks), n - found + 8, p=chances)]
            # A blank that is refused gets new elements, so that skeletons keep their shares.
            for _ in range(TRIES):
                refused = []
                filled = list(self._filled(drawn, drawing, sieve, generator))
                forms = [
                    refusal.form(blank.template, numbers, volume) if met else None
                    for blank, numbers, volume, met in filled
                ]
                for (blank, numbers, _, _), form in zip(filled, self._refined(forms), strict=True):
                    crystal = None if form is None else refusal.accepted(form)
                    if crystal is None:
                        refused.append(blank)
                        continue
                    yield Found(crystal, blank.template, numbers)
                    found += 1
                    if found == n:
                        return
                drawn = refused

    def _refined(self, forms: Sequence[SymmetricCrystal | None]) -> list[SymmetricCrystal | None]:
        """Forms with the geometry that suits their elements; what is None stays None."""
        refined = iter(self.refine([form for form in forms if form is not None]))
        return [None if form is None else next(refined) for form in forms]

    def _allowed(self, condition: Condition) -> torch.Tensor:
        """Types that may be drawn, bool [N_TYPES]: known to the memory, and allowed."""
        known = self.proposer.volumes_A3 > 0
        if unknown := [z for z in condition.required if not known[z]]:
            raise GenerationError(f"{_symbols(unknown)}: no crystal of the memory holds it")
        allowed = torch.from_numpy(known.copy())
        if condition.allowed:
            if missing := (condition.required | condition.keep) - condition.allowed:
                raise GenerationError(f"{_symbols(missing)}: required, not allowed")
            allowed &= torch.isin(torch.arange(N_TYPES), torch.tensor(sorted(condition.allowed)))
        return allowed

    def _templates(self, condition: Condition, drawing: Drawing, n: int, rng: np.random.Generator) -> list[Blank]:
        """Empty skeletons of the memory, those near the allowed elements more often."""
        table = self.proposer.table
        low, high = condition.n_atoms
        atoms, kinds = table.compositions.sum(1), np.count_nonzero(table.compositions, axis=1)
        fits = (low <= atoms) & (atoms <= high) & (kinds >= len(condition.required))
        fits &= np.isin(table.groups, list(condition.groups)) if condition.groups else table.groups > 1
        rows = np.flatnonzero(fits)
        if not len(rows):
            raise GenerationError(f"no known skeleton has {low} to {high} atoms and the space groups asked for")
        near = np.log(table.counts[rows]) - self._remoteness(rows, drawing.allowed.numpy()) / REACH
        size = min(len(rows), max(POOL_LEAST, POOL_BY_SAMPLE * n))
        # Gumbel's trick: the largest of noisy log weights are a draw without replacement.
        chosen = rows[np.argsort(-(near + rng.gumbel(size=len(rows))), kind="stable")[:size]]
        return [self._blank(i) for i in chosen.tolist()]

    def _blank(self, index: int) -> Blank:
        if index not in self._blanks:
            table = self.proposer.table
            template = table[index]
            log_volume = math.log(table.volumes_A3[index] / (table.compositions[index] @ self.proposer.volumes_A3))
            open_orbits = (MASK,) * len(template.atoms)
            self._blanks[index] = Blank(template, OrbitGraph.of(template.form), open_orbits, log_volume)
        return self._blanks[index]

    def _around(self, crystal: Crystal, condition: Condition) -> list[Blank]:
        """A given crystal with what is not kept left open, or with one more open orbit where everything is kept."""
        form = canonical(symmetric(crystal))
        elements = {orbit.number for orbit in form.orbits}
        if strange := condition.keep - elements:
            raise GenerationError(f"{_symbols(strange)}: to be kept, but not in {crystal.formula}")
        forms = [form]
        if elements <= condition.keep:
            missing = condition.required - elements
            if len(missing) != 1:
                raise GenerationError(f"all of {crystal.formula} is kept: require one more element, which is inserted")
            forms = insertions(form, *missing)
            if not forms:
                raise GenerationError(f"{crystal.formula} has no empty place for {_symbols(missing)}")
        blanks = []
        for filled in forms:
            numbers = [orbit.number for orbit in filled.orbits]
            given = tuple(z if z in condition.keep else MASK for z in numbers)
            blank = Blank(template_of(filled), OrbitGraph.of(filled), given, 0.0)
            (_, _, graphs), *_ = _batches([blank])
            with torch.inference_mode():
                log_volume = float(self.network(torch.tensor([numbers]), graphs)[1])
            blanks.append(replace(blank, log_volume=log_volume))
        return blanks

    def _remoteness(self, rows: Integers, allowed: NDArray[np.bool_]) -> Integers:
        """Sum over the elements of templates of their Mendeleev distance to the nearest allowed element [rows]."""
        numbers = mendeleev_numbers()
        nearest = np.abs(numbers[:, None] - numbers[np.flatnonzero(allowed)]).min(1)
        return np.asarray((self.proposer.table.compositions[rows] > 0) @ nearest)

    def _scores(self, blanks: Sequence[Blank], drawing: Drawing) -> Floats:
        """Log weights of blanks: how common they are, and how likely to be filled as asked, each orbit on its own."""
        scores = np.log([float(blank.template.count) for blank in blanks])
        for places, types, graphs in _batches(blanks):
            with torch.inference_mode():
                logs = self.network(types, graphs)[0].log_softmax(-1)
            hidden = types == MASK
            score = (logs[..., drawing.allowed].logsumexp(-1) * hidden).sum(1)
            for element in sorted(drawing.required):
                absent = ((-torch.expm1(logs[..., element])).clamp_min(1e-9).log() * hidden).sum(1)
                occurs = (-torch.expm1(absent)).clamp_min(1e-9).log()
                score += torch.where((types == element).any(1), 0.0, occurs)
            scores[places] += score.numpy()
        return np.asarray(scores)

    def _filled(
        self, blanks: Sequence[Blank], drawing: Drawing, sieve: Sieve | None, generator: torch.Generator
    ) -> Iterator[tuple[Blank, tuple[int, ...], float, bool]]:
        """Blanks, all elements drawn, by how much the log volume is to change, and whether targets are met."""
        filled: dict[int, tuple[tuple[int, ...], float, bool]] = {}
        for places, types, graphs in _batches(blanks):
            with torch.inference_mode():
                drawn = reveal(self.network, types, graphs, drawing, generator)
                volumes = self.network(drawn, graphs)[1]
            met = [True] * len(drawn) if sieve is None else sieve.met(drawn, graphs)
            rows = zip(map(tuple, drawn.tolist()), volumes.tolist(), met, strict=True)
            filled |= dict(zip(places, rows, strict=True))
        for place, blank in enumerate(blanks):
            numbers, log_volume, met_here = filled[place]
            yield blank, numbers, log_volume - blank.log_volume, met_here


def _batches(blanks: Sequence[Blank]) -> Iterator[tuple[list[int], torch.Tensor, GraphBatch]]:
    """Places, given types [b,o] and graphs of blanks with equally many orbits."""
    places: dict[int, list[int]] = defaultdict(list)
    for place, blank in enumerate(blanks):
        places[len(blank.given)].append(place)
    for same in places.values():
        for first in range(0, len(same), BATCH):
            part = same[first : first + BATCH]
            types = torch.tensor([blanks[i].given for i in part])
            yield part, types, GraphBatch.of([blanks[i].graph for i in part])


def _symbols(numbers: Iterable[int]) -> str:
    return ", ".join(chemical_symbols[z] for z in sorted(numbers))


class _Refusal:
    """What is drawn again: known, drawn before, against the condition, or no crystal.

    Attributes:
        known_formulas: whether a formula of the memory may be drawn in a form that the memory does not hold.
    """

    def __init__(self, proposer: Proposer, condition: Condition) -> None:
        self.proposer, self.condition = proposer, condition
        self.known_formulas = False
        self._known: dict[bytes, list[int]] = defaultdict(list)
        for index, row in enumerate(proposer.table.compositions if condition.like is None else []):
            self._known[_reduced(row)].append(index)
        self._seen: set[str] = set()
        self._alike: dict[str, list[Crystal]] = defaultdict(list)

    def form(self, template: Template, numbers: tuple[int, ...], log_scale: float) -> SymmetricCrystal | None:
        """A template with these elements, or None where they are refused.

        Args:
            template: the skeleton.
            numbers: on its orbits.
            log_scale: logarithm of its volume over that of the template scaled to its elements.
        """
        key = repr(template.decorated(numbers))
        if key in self._seen:
            return None
        counts = np.bincount(numbers, template.atoms, N_TYPES).astype(np.int64)
        same = self._known.get(_reduced(counts), [])
        if same and not self.known_formulas:
            return None
        self._seen.add(key)
        if not self._fits(counts) or any(key == self._decorated(index) for index in same):
            return None
        form = decorate(template, numbers, self.proposer.volumes_A3)
        return replace(form, lengths_A=tuple(x * math.exp(log_scale / 3) for x in form.lengths_A))

    def accepted(self, form: SymmetricCrystal) -> Crystal | None:
        """The crystal, or None where it is refused for its geometry."""
        try:
            crystal = form.to_crystal()
        except StructureError:
            return None
        groups = self.condition.groups
        if not _sane(crystal) or (groups and spacegroup(crystal, 0.01) not in groups):
            return None
        return crystal if self._unlike(crystal) else None

    def _fits(self, counts: Integers) -> bool:
        """Whether a composition [104] is as asked for. Anions must be balanced; alloys are where they may be."""
        elements = np.flatnonzero(counts).tolist()
        if not self.condition.required <= set(elements):
            return False
        content = {chemical_symbols[z]: int(counts[z]) for z in elements}
        return is_charge_balanced(content, alloys=not self.condition.charge_neutral)

    def _decorated(self, index: int) -> str:
        template = self.proposer.table[index]
        return repr(template.decorated([orbit.number for orbit in template.form.orbits]))

    def _unlike(self, crystal: Crystal) -> bool:
        """Whether the crystal differs from all before: skeletons may differ by a mere distortion."""
        before = self._alike[crystal.formula]
        before.append(crystal)
        if len(before) == 1:
            return True
        *others, mark = map(fingerprint, before)
        return all(distance(mark, other) > SAME_UNRELAXED for other in others)


def _reduced(counts: Integers) -> bytes:
    """A composition [104] without its common factor."""
    return bytes(counts // np.gcd.reduce(counts))


def _sane(crystal: Crystal) -> bool:
    types, coords, lattice = (torch.tensor([x]) for x in (crystal.numbers, crystal.frac_coords, crystal.lattice_A))
    return bool(is_sane(types, coords, lattice, SanityLimits())[0])
