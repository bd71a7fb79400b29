"""Known skeletons with their elements exchanged: the nearest template, and random substitution.

On an exact content, the template of the same stoichiometry whose elements are nearest on the Mendeleev scale, scaled to
the volume that its new elements take; the j-th request of one content gets the j-th nearest. Otherwise a random
template with elements drawn by likeness. Symmetry is that of the template. This is the baseline that learned models
have to beat, on the memory that they share (`data.skeletons`).
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from ase.data import chemical_symbols

from data.chemistry import is_charge_balanced
from data.crystal import CrystalBatch
from data.errors import GenerationError, StructureError
from data.records import Crystal
from data.skeletons import Template, load_templates
from generators.base import CellContent, Condition, OnStep
from generators.proposals import decorate, element_volumes, mendeleev_numbers
from generators.recipes import repeated

TEMPERATURE = 8.0
"""Mendeleev numbers over which an exchange becomes e times rarer in random substitution."""

TRIES = 2000
"""Draws per sample before random substitution gives up."""

Swap = dict[int, int]


@dataclass(frozen=True)
class Match:
    """A template (by its place in the table) for a content: new elements, number of cells, distance of the elements."""

    index: int
    swap: tuple[tuple[int, int], ...]
    cells: int
    distance: float


class TemplateGenerator:
    """Nearest templates for given contents, random substitution without.

    Args:
        checkpoint: a table of templates; by default the one that ships.
    """

    name: ClassVar[str] = "template"
    summary: ClassVar[str] = "known skeletons with their elements exchanged, symmetry kept"

    def __init__(self, checkpoint: Path | None = None) -> None:
        self.templates = load_templates(checkpoint)
        self.checkpoint_sha256: str | None = self.templates.sha256
        self.volumes_A3 = element_volumes(self.templates)
        self._by_counts: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for i, counts in enumerate(np.sort(self.templates.compositions, axis=1)):
            self._by_counts[tuple(counts[counts > 0].tolist())].append(i)

    def sample(
        self, n: int, condition: Condition, rng: np.random.Generator, on_step: OnStep | None = None
    ) -> tuple[CrystalBatch, list[str]]:
        """Return n crystals and their labels, e.g. ``space group 166: Na->Li``; see `generators.base.Generator`.

        Raises:
            GenerationError: no template has an asked-for content, or too few substitutions satisfy the condition.
        """
        if condition.contents and len(condition.contents) != n:
            raise GenerationError(f"{len(condition.contents)} contents were given for {n} samples")
        source = self._predicted(condition) if condition.contents else self._substituted(condition, rng)
        crystals, labels = [], []
        for crystal, label in itertools.islice(source, n):
            crystals.append(crystal)
            labels.append(label)
            if on_step is not None:
                on_step(len(crystals), n)
        if len(crystals) < n:
            raise GenerationError(f"template found only {len(crystals)} of {n} crystals; allow more elements or atoms")
        return CrystalBatch.from_crystals(crystals), labels

    def matches(self, content: CellContent) -> list[Match]:
        """Templates for a content, the nearest first."""
        whole = math.gcd(*content.values())
        found = []
        for cells in (d for d in range(1, whole + 1) if whole % d == 0):
            counts = {z: n // cells for z, n in content.items()}
            for i in self._by_counts.get(tuple(sorted(counts.values())), []):
                distance, swap = nearest_swap(self._composition(i), counts)
                found.append(Match(i, tuple(swap.items()), cells, distance))
        return sorted(found, key=lambda m: (m.cells > 1, m.distance, -self.templates.counts[m.index]))

    def _composition(self, index: int) -> CellContent:
        row = self.templates.compositions[index]
        numbers = np.flatnonzero(row)
        return dict(zip(numbers.tolist(), row[numbers].tolist(), strict=True))

    def build(self, template: Template, swap: Swap, cells: int = 1) -> Crystal:
        """The crystal of a template with its elements exchanged, scaled to the volume that they take."""
        numbers = [swap.get(o.number, o.number) for o in template.form.orbits]
        return repeated(decorate(template, numbers, self.volumes_A3).to_crystal(), cells)

    def _predicted(self, condition: Condition) -> Iterator[tuple[Crystal, str]]:
        """One crystal a content, in order."""
        sources: dict[tuple[tuple[int, int], ...], Iterator[Match]] = {}
        for index, content in enumerate(condition.contents):
            key = tuple(sorted(content.items()))
            match = next(sources.setdefault(key, iter(self.matches(content))), None)
            if match is None:
                formula = "".join(f"{chemical_symbols[z]}{n}" for z, n in key)
                raise GenerationError(f"contents[{index}] = {formula}: no (further) template of this stoichiometry")
            template, swap = self.templates[match.index], dict(match.swap)
            yield self.build(template, swap, match.cells), _label(template, swap)

    def _substituted(self, condition: Condition, rng: np.random.Generator) -> Iterator[tuple[Crystal, str]]:
        """Random substitutions that satisfy the condition, no two alike and none the template itself."""
        allowed = sorted(condition.allowed or {z for z in range(1, 104) if self.volumes_A3[z] > 0})
        if missing := condition.required - set(allowed):
            raise GenerationError(f"{', '.join(chemical_symbols[z] for z in sorted(missing))}: required, not allowed")
        low, high = condition.n_atoms
        atoms, kinds = self.templates.compositions.sum(1), np.count_nonzero(self.templates.compositions, axis=1)
        fits = (low <= atoms) & (atoms <= high) & (len(condition.required) <= kinds) & (kinds <= len(allowed))
        pool = np.flatnonzero(fits).tolist()
        seen: set[object] = set()
        misses = 0
        while pool and misses < TRIES:
            misses += 1
            template = self.templates[pool[int(rng.integers(len(pool)))]]
            swap = draw_swap(list(template.composition), allowed, sorted(condition.required), rng)
            key = template.skeleton, tuple(swap.values())
            if key in seen or all(a == b for a, b in swap.items()):
                continue
            new = _swapped(template.composition, swap)
            if condition.charge_neutral and not is_charge_balanced({chemical_symbols[z]: n for z, n in new.items()}):
                continue
            try:
                crystal = self.build(template, swap)
            except StructureError:
                continue
            seen.add(key)
            misses = 0
            yield crystal, _label(template, swap)


def nearest_swap(old: CellContent, new: CellContent) -> tuple[float, Swap]:
    """Assign new elements to old ones of equal counts so that Mendeleev numbers change least; the mean change."""
    swap: Swap = {}
    total = 0.0
    for count in set(old.values()):
        before = [z for z, n in old.items() if n == count]
        after = [z for z, n in new.items() if n == count]
        orders = itertools.permutations(after)
        least, order = min((sum(_change(a, b) for a, b in zip(before, o, strict=True)), o) for o in orders)
        total += least * count
        swap |= dict(zip(before, order, strict=True))
    return total / sum(old.values()), swap


def draw_swap(old: Sequence[int], allowed: Sequence[int], required: Sequence[int], rng: np.random.Generator) -> Swap:
    """Give each old element an allowed one by likeness, no two the same, the required ones first."""
    swap: Swap = {}
    for element in required:
        left = [z for z in old if z not in swap]
        swap[_drawn(left, element, rng)] = element
    for element in (z for z in old if z not in swap):
        swap[element] = _drawn([z for z in allowed if z not in swap.values()], element, rng)
    return {z: swap[z] for z in old}


def _drawn(options: Sequence[int], element: int, rng: np.random.Generator) -> int:
    weights = np.exp([-_change(z, element) / TEMPERATURE for z in options])
    return int(options[rng.choice(len(options), p=weights / weights.sum())])


def _change(a: int, b: int) -> int:
    return abs(int(mendeleev_numbers()[a] - mendeleev_numbers()[b]))


def _swapped(composition: CellContent, swap: Swap) -> CellContent:
    found: Counter[int] = Counter()
    for z, n in composition.items():
        found[swap.get(z, z)] += n
    return dict(found)


def _label(template: Template, swap: Swap) -> str:
    changes = ", ".join(f"{chemical_symbols[a]}->{chemical_symbols[b]}" for a, b in swap.items() if a != b)
    return f"space group {template.form.group}: {changes or 'as it is'}"
