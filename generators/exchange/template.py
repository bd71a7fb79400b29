"""Known skeletons with their elements exchanged: the nearest template, and random substitution.

On an exact content, the template whose elements are nearest on the Mendeleev scale (`generators.exchange.proposals`),
scaled to the volume that its new elements take; the j-th request of one content gets the j-th nearest skeleton.
Otherwise a random template with elements drawn by likeness. Symmetry is that of the template. This is the baseline
that learned models have to beat, on the memory that they share (`data.symmetry.skeletons`).
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from ase.data import chemical_symbols

from redoxa.data.chemistry import is_charge_balanced
from redoxa.data.crystal import CrystalBatch
from redoxa.data.errors import GenerationError, StructureError
from redoxa.data.fingerprint import spacegroup
from redoxa.data.progress import OnStep
from redoxa.data.records import Crystal
from redoxa.data.symmetry.skeletons import Template, load_templates
from redoxa.generators.base import CellContent, Condition, Predicted, ShortfallError, refuse
from redoxa.generators.exchange.proposals import POOL, Proposer, decorate, mendeleev_numbers, unlike_first
from redoxa.generators.exchange.recipes import repeated

TEMPERATURE = 8.0
"""Mendeleev numbers over which an exchange becomes e times rarer in random substitution."""

TRIES = 2000
"""Draws per sample before random substitution gives up."""

Swap = dict[int, int]


class TemplateGenerator:
    """Nearest templates for given contents, random substitution without.

    Args:
        checkpoint: a table of templates; by default the one that ships.
    """

    name: ClassVar[str] = "template"
    summary: ClassVar[str] = "known skeletons with their elements exchanged, symmetry kept"
    models: ClassVar[tuple[str, ...]] = ("substitution",)
    aims: ClassVar[frozenset[str]] = frozenset()
    cannot: ClassVar[Mapping[str, str]] = {"like": "use `orbits`", "targets": "use `orbits`"}

    def __init__(self, checkpoint: Path | None = None) -> None:
        self.templates = load_templates(checkpoint)
        self.checkpoint_sha256: str | None = self.templates.sha256
        self.proposer = Proposer(self.templates)

    def sample(
        self, n: int, condition: Condition, rng: np.random.Generator, on_step: OnStep | None = None
    ) -> tuple[CrystalBatch, list[str]]:
        """Return n crystals and their labels, e.g. ``space group 166: Na->Li``; see `generators.base.Generator`.

        Raises:
            GenerationError: no template has an asked-for content, or too few substitutions satisfy the condition.
        """
        if condition.contents and len(condition.contents) != n:
            raise GenerationError(f"{len(condition.contents)} contents were given for {n} samples")
        refuse(self.name, condition, **self.cannot)
        source = self._predicted(condition) if condition.contents else self._substituted(condition, rng)
        crystals, labels = [], []
        for crystal, label in itertools.islice(source, n):
            crystals.append(crystal)
            labels.append(label)
            if on_step is not None:
                on_step(len(crystals), n)
        if len(crystals) < n:
            why = f"template found only {len(crystals)} of {n} crystals; allow more elements or atoms"
            raise ShortfallError(why, list(map(Predicted, crystals, labels)))
        return CrystalBatch.from_crystals(crystals), labels

    def _predicted(self, condition: Condition) -> Iterator[tuple[Crystal, str]]:
        """One crystal a content, in order."""
        answers: dict[tuple[tuple[int, int], ...], Iterator[tuple[Crystal, str]]] = {}
        for index, content in enumerate(condition.contents):
            key = tuple(sorted(content.items()))
            if key not in answers:
                answers[key] = unlike_first(self._nearest(content, condition.groups))
            answer = next(answers[key], None)
            if answer is None:
                formula = "".join(f"{chemical_symbols[z]}{n}" for z, n in key)
                raise GenerationError(f"contents[{index}] = {formula}: no (further) template of this stoichiometry")
            yield answer

    def _nearest(self, content: CellContent, groups: frozenset[int]) -> Iterator[tuple[Crystal, str]]:
        """Crystals of a content: those whose species are kept first, then those of one cell, then the nearest.

        Of equally near skeletons the one that more templates give goes first.
        """
        found = self.proposer.proposals(content, plain=POOL, changed=POOL)
        for proposal in sorted(found, key=lambda p: (p.changes > 0, p.cells > 1, p.distances[0], -len(p.distances))):
            try:
                crystal = self.proposer.form(proposal).to_crystal()
            except StructureError:
                continue
            if groups and spacegroup(crystal, 0.01) not in groups:
                continue
            yield repeated(crystal, proposal.cells), _label(self.templates[proposal.index], proposal.numbers)

    def _substituted(self, condition: Condition, rng: np.random.Generator) -> Iterator[tuple[Crystal, str]]:
        """Random substitutions that satisfy the condition, no two alike and none the template itself."""
        volumes_A3 = self.proposer.volumes_A3
        allowed = sorted(condition.allowed or {z for z in range(1, 104) if volumes_A3[z] > 0})
        if missing := condition.required - set(allowed):
            raise GenerationError(f"{', '.join(chemical_symbols[z] for z in sorted(missing))}: required, not allowed")
        low, high = condition.n_atoms
        atoms, kinds = self.templates.compositions.sum(1), np.count_nonzero(self.templates.compositions, axis=1)
        fits = (low <= atoms) & (atoms <= high) & (len(condition.required) <= kinds) & (kinds <= len(allowed))
        if condition.groups:
            fits &= np.isin(self.templates.groups, list(condition.groups))
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
            numbers = [swap[o.number] for o in template.form.orbits]
            try:
                crystal = decorate(template, numbers, volumes_A3).to_crystal()
            except StructureError:
                continue
            if condition.groups and spacegroup(crystal, 0.01) not in condition.groups:
                continue
            seen.add(key)
            misses = 0
            yield crystal, _label(template, numbers)


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


def _label(template: Template, numbers: Sequence[int]) -> str:
    pairs = dict.fromkeys(zip((o.number for o in template.form.orbits), numbers, strict=True))
    changes = ", ".join(f"{chemical_symbols[a]}->{chemical_symbols[b]}" for a, b in pairs if a != b)
    return f"space group {template.form.group}: {changes or 'as it is'}"
