"""Recipes of substitution: which prototype, enlarged how, with which element on which site; and carrying them out."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from redoxa.data.chemistry import radius_scale
from redoxa.data.records import Crystal
from redoxa.data.tables.prototypes import Prototype
from redoxa.generators.exchange.similarity import Species, replacements, species_of

Multiples = tuple[int, int, int]

MAX_CHOICES = 12
"""Likest replacements of one species that are considered."""


@dataclass(frozen=True)
class Mixing:
    """Other elements, each on so many of the sites of `species`."""

    species: str
    others: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class SwapRecipe:
    """How to make one crystal from a prototype.

    Attributes:
        prototype: the parent.
        multiples: supercell along the three primitive vectors.
        swap: new element by element of the parent; those not named stay.
        mixing: further elements on part of the sites of one species.
        cost: unlikeness of parent and child (see `generators.exchange.similarity`).
    """

    prototype: Prototype
    multiples: Multiples
    swap: Mapping[str, str]
    mixing: Mixing | None = None
    cost: float = field(default=0.0, compare=False)

    def composition(self) -> dict[str, int]:
        """Atoms of the child by element symbol."""
        factor = int(np.prod(self.multiples))
        out: Counter[str] = Counter()
        for element, count in self.prototype.crystal.composition.items():
            out[self.swap.get(element, element)] += factor * count
        if self.mixing:
            for element, count in self.mixing.others:
                out[self.swap.get(self.mixing.species, self.mixing.species)] -= count
                out[element] += count
        return {e: n for e, n in out.items() if n}

    def label(self) -> str:
        """Short account, e.g. ``olivine LiFePO4: Fe->Mn0.5Co0.5``."""
        factor = int(np.prod(self.multiples))
        parts = [f"{old}->{new}" for old, new in self.swap.items() if old != new]
        if self.mixing:
            sites = factor * self.prototype.crystal.composition[self.mixing.species]
            rest = sites - sum(n for _, n in self.mixing.others)
            shares = ((self.swap.get(self.mixing.species, self.mixing.species), rest), *self.mixing.others)
            parts = [p for p in parts if not p.startswith(f"{self.mixing.species}->")]
            parts.append(f"{self.mixing.species}->" + "".join(f"{e}{n / sites:.3g}" for e, n in shares))
        return f"{self.prototype.name}: {', '.join(parts)}" if parts else self.prototype.name

    def build(self) -> Crystal:
        """Carry it out: supercell, elements, and a lattice scaled isotropically by ionic radii."""
        parent = self.prototype.crystal
        numbers, fracs, lattice = supercell(parent, self.multiples)
        old = [chemical_symbols[z] for z in numbers]
        new = [self.swap.get(e, e) for e in old]
        if self.mixing:
            sites = [i for i, e in enumerate(old) if e == self.mixing.species]
            order = iter(spread_out(fracs[sites], lattice))
            for element, count in self.mixing.others:
                for i in itertools.islice(order, count):
                    new[sites[i]] = element
        scale = radius_scale(parent.composition, Counter(new))
        return Crystal(
            numbers=tuple(atomic_numbers[e] for e in new),
            frac_coords=fracs.tolist(),
            lattice_A=(lattice * scale).tolist(),
        )


def supercell(crystal: Crystal, multiples: Multiples) -> tuple[list[int], NDArray[np.float64], NDArray[np.float64]]:
    """Atomic numbers [N], fractional coordinates [N,3] and lattice [3,3] of a diagonal supercell."""
    shifts = np.array(list(itertools.product(*(range(m) for m in multiples))), dtype=float)
    fracs = (np.asarray(crystal.frac_coords)[:, None, :] + shifts[None]) / np.asarray(multiples, dtype=float)
    numbers = [z for z in crystal.numbers for _ in shifts]
    return numbers, fracs.reshape(-1, 3), np.asarray(crystal.lattice_A) * np.asarray(multiples)[:, None]


def repeated(crystal: Crystal, cells: int) -> Crystal:
    """A diagonal supercell of so many cells, as compact as can be."""
    if cells == 1:
        return crystal
    numbers, coords, lattice = supercell(crystal, compact_multiples(crystal, cells))
    return Crystal(numbers=tuple(numbers), frac_coords=coords.tolist(), lattice_A=lattice.tolist())


def compact_multiples(crystal: Crystal, factor: int) -> Multiples:
    """Diagonal supercell of `factor` cells that keeps the lengths as equal as it can."""
    lengths = np.linalg.norm(np.asarray(crystal.lattice_A), axis=1)
    divisions = [m for m in itertools.product(range(1, factor + 1), repeat=3) if np.prod(m) == factor]
    best = min(divisions, key=lambda m: (round(float(np.max(lengths * m) / np.min(lengths * m)), 6), m))
    return best[0], best[1], best[2]


def spread_out(fracs: NDArray[np.float64], lattice: NDArray[np.float64]) -> list[int]:
    """Order sites so that each is as far as possible from those before it (periodic; ties by index)."""
    images = np.array(list(itertools.product((-1, 0, 1), repeat=3)), dtype=float)
    delta = fracs[:, None, None, :] - fracs[None, :, None, :] + images[None, None]
    distances = np.linalg.norm(delta @ lattice, axis=-1).min(-1)
    order = [0]
    while len(order) < len(fracs):
        nearest = np.round(distances[:, order].min(1), 4)
        nearest[order] = -1.0
        order.append(int(nearest.argmax()))
    return order


@cache
def _species(prototype_name: str) -> tuple[Species, ...]:
    from redoxa.data.tables.prototypes import prototype

    return species_of(prototype(prototype_name))


def cell_factors(prototype: Prototype, n_atoms: tuple[int, int]) -> range:
    """How many primitive cells fit between the smallest and the largest number of atoms."""
    size = prototype.crystal.n_atoms
    return range(-(-n_atoms[0] // size), n_atoms[1] // size + 1)


def plain_recipes(prototype: Prototype, allowed: frozenset[str], n_atoms: tuple[int, int]) -> list[SwapRecipe]:
    """All substitutions of whole species in the smallest cell that has enough atoms; empty when none fits.

    Two species never become one element: that would be another structure.
    """
    factors = cell_factors(prototype, n_atoms)
    if not factors:
        return []
    species = _species(prototype.name)
    polyanionic = any(s.role == "former" for s in species)
    choices = [replacements(s, polyanionic, allowed)[:MAX_CHOICES] for s in species]
    multiples = compact_multiples(prototype.crystal, max(1, factors[0]))
    found = []
    for combination in itertools.product(*choices):
        elements = [r.element for r in combination]
        if len(set(elements)) == len(elements):
            swap = {s.element: e for s, e in zip(species, elements, strict=True)}
            found.append(SwapRecipe(prototype, multiples, swap, cost=sum(r.cost for r in combination)))
    return found


@dataclass(frozen=True)
class Pattern:
    """A supercell of a prototype, and how many sites of one of its metals each further element takes."""

    multiples: Multiples
    species: Species
    counts: tuple[int, ...]


def mixing_patterns(prototype: Prototype, n_atoms: tuple[int, int]) -> list[list[Pattern]]:
    """Ordered ways to mix metals in the supercells that fit, the smallest cell of each, simple shares first.

    One further element on up to half of the sites, or two on the same number each. Patterns of the same number of
    elements and the same denominator form a group: halves, thirds ..., then three elements by thirds, quarters ...
    """
    found: dict[tuple[int, int, int, str], Pattern] = {}
    for factor in cell_factors(prototype, n_atoms):
        multiples = compact_multiples(prototype.crystal, max(1, factor))
        for species in _species(prototype.name):
            sites = species.count * factor if species.role == "metal" else 0
            for counts in [(m,) for m in range(1, sites // 2 + 1)] + [(m, m) for m in range(1, sites // 3 + 1)]:
                share = Fraction(counts[0], sites)
                key = (len(counts), share.denominator, share.numerator, species.element)
                found.setdefault(key, Pattern(multiples, species, counts))
    grouped = itertools.groupby(sorted(found), key=lambda key: key[:2])
    return [[found[key] for key in keys] for _, keys in grouped]


def mixed_recipes(plain: SwapRecipe, pattern: Pattern, allowed: frozenset[str]) -> Iterator[SwapRecipe]:
    """The recipe `plain` with all further elements that `pattern` can bear, the likest first."""
    taken = set(plain.swap.values())
    partners = [r for r in replacements(pattern.species, True, allowed)[:MAX_CHOICES] if r.element not in taken]
    for chosen in itertools.combinations(partners, len(pattern.counts)):
        others = tuple((r.element, n) for r, n in zip(chosen, pattern.counts, strict=True))
        cost = plain.cost + 0.5 * sum(r.cost for r in chosen)
        yield SwapRecipe(plain.prototype, pattern.multiples, plain.swap, Mixing(pattern.species.element, others), cost)
