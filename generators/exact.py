"""Exact cell contents met from templates of the same stoichiometry, the likest elements first."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from ase.data import chemical_symbols

from data.chemistry import OXIDATION_STATES, ionic_radius_A
from data.errors import GenerationError
from data.fingerprint import SAME_UNRELAXED, Fingerprint, distance, fingerprint
from data.prototypes import Prototype, load_prototypes
from data.records import Crystal
from data.reference_phases import load_reference_structures
from generators.base import CellContent
from generators.recipes import Mixing, Recipe, compact_multiples
from generators.similarity import mendeleev_number

Anonymous = tuple[int, ...]
"""Reduced counts of the elements of a compound, ascending: (1, 1, 1, 4) for LiFePO4."""

_METAL_LIMIT = 80
"""Mendeleev numbers below this belong to metals (Pettifor's order ends with B, C ... O, F)."""

_MIXING_COST = 20.0
"""Mixing two metals is resorted to where no whole species fits about as well."""

_SIZE_WEIGHT = 20.0
"""What a change of size by a factor of e counts, in Mendeleev numbers."""


@dataclass
class ContentMatcher:
    """Finds a template for each asked-for content; the j-th request of one content gets the j-th best.

    Templates are the electrode prototypes and the reference phases.
    """

    contents: tuple[CellContent, ...]

    def recipes(self) -> Iterator[Recipe]:
        """One recipe a content, in order.

        Raises:
            GenerationError: no template fits; names the index and the composition.
        """
        sources: dict[tuple[tuple[str, int], ...], Iterator[Recipe]] = {}
        given: Counter[tuple[tuple[str, int], ...]] = Counter()
        for index, content in enumerate(self.contents):
            wanted = {chemical_symbols[z]: n for z, n in sorted(content.items()) if n > 0}
            key = tuple(wanted.items())
            recipe = next(sources.setdefault(key, _unlike(_matches(wanted))), None)
            if recipe is None:
                formula = "".join(f"{e}{n}" for e, n in wanted.items())
                raise GenerationError(
                    f"contents[{index}] = {formula}: {given[key]} structures of this stoichiometry are known, "
                    f"number {given[key] + 1} was asked for"
                )
            given[key] += 1
            yield recipe


def _unlike(recipes: list[Recipe]) -> Iterator[Recipe]:
    """Leave out recipes that give the crystal of an earlier one."""
    seen: list[Fingerprint] = []
    for recipe in recipes:
        mark = fingerprint(recipe.build())
        if all(distance(mark, other) > SAME_UNRELAXED for other in seen):
            seen.append(mark)
            yield recipe


@cache
def _templates() -> dict[Anonymous, list[Prototype]]:
    """Electrodes and reference phases, by stoichiometry."""
    found: dict[Anonymous, list[Prototype]] = defaultdict(list)
    reference = [_as_prototype(name, crystal) for name, crystal in load_reference_structures()]
    for entry in (*load_prototypes("electrodes"), *reference):
        found[_anonymous(entry.crystal.composition)].append(entry)
    return dict(found)


def _as_prototype(name: str, crystal: Crystal) -> Prototype:
    """A reference phase in the dress of a prototype; its working ion is of no account here."""
    return Prototype(
        name=name, family="reference", formula=crystal.formula, working_ion="Li", space_group="P1", crystal=crystal,
        source="data/library/reference.yaml",
    )  # fmt: skip


def _anonymous(composition: dict[str, int]) -> Anonymous:
    divisor = int(np.gcd.reduce(list(composition.values())))
    return tuple(sorted(n // divisor for n in composition.values()))


def _matches(wanted: dict[str, int]) -> list[Recipe]:
    """Every way to meet the content, the likest elements first."""
    found = [*_assignments(wanted), *_mixed_assignments(wanted)]
    return sorted(found, key=lambda r: (round(r.cost, 6), r.prototype.name))


def _assignments(wanted: dict[str, int]) -> Iterator[Recipe]:
    total = sum(wanted.values())
    for template in _templates().get(_anonymous(wanted), []):
        factor, rest = divmod(total, template.crystal.n_atoms)
        if factor and not rest:
            cost, swap = _best_swap(template.crystal.composition, wanted, factor)
            yield Recipe(template, compact_multiples(template.crystal, factor), swap, cost=cost)


def _best_swap(old: dict[str, int], wanted: dict[str, int], factor: int) -> tuple[float, dict[str, str]]:
    """Assign the wanted elements to species of the same count so that Mendeleev numbers change least per atom."""
    swap: dict[str, str] = {}
    cost = 0.0
    for count in sorted(set(old.values())):
        species = [e for e, n in old.items() if n == count]
        elements = [e for e, n in wanted.items() if n == count * factor]
        ranked = [
            (sum(_distance(s, e) for s, e in zip(species, order, strict=True)), order)
            for order in itertools.permutations(elements)
        ]
        best = min(ranked)
        cost += best[0]
        swap.update(zip(species, best[1], strict=True))
    return cost / len(old), swap


@cache
def _distance(a: str, b: str) -> float:
    """Unlikeness: difference of Mendeleev numbers and of sizes; crossing between metals and nonmetals is dear."""
    crossing = 0.0 if (mendeleev_number(a) < _METAL_LIMIT) == (mendeleev_number(b) < _METAL_LIMIT) else 50.0
    sizes = [ionic_radius_A(e, OXIDATION_STATES[e][0]) if e in OXIDATION_STATES else 1.0 for e in (a, b)]
    size = _SIZE_WEIGHT * abs(math.log(sizes[0] / sizes[1])) if min(sizes) > 0 else 0.0
    return abs(mendeleev_number(a) - mendeleev_number(b)) + size + crossing


def _mixed_assignments(wanted: dict[str, int]) -> Iterator[Recipe]:
    """Recipes in which two metals of the content share the sites of one species (LiMn0.5Ni0.5O2 as LiMO2)."""
    metals = [e for e in wanted if mendeleev_number(e) < _METAL_LIMIT]
    for minor, major in itertools.permutations(metals, 2):
        if wanted[minor] > wanted[major] or (wanted[minor] == wanted[major] and minor > major):
            continue
        merged = {e: n for e, n in wanted.items() if e != minor}
        merged[major] += wanted[minor]
        for recipe in _assignments(merged):
            host = next(old for old, new in recipe.swap.items() if new == major)
            mixing = Mixing(host, ((minor, wanted[minor]),))
            cost = recipe.cost + _MIXING_COST + _distance(major, minor)
            yield Recipe(recipe.prototype, recipe.multiples, recipe.swap, mixing, cost)
