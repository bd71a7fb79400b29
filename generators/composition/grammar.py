"""A formula as slots from the least to the most electronegative element, and what a formula must hold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from redoxa.data.chemistry import is_charge_balanced
from redoxa.data.errors import GenerationError, InputError
from redoxa.data.symmetry.sequences import element_ranks
from redoxa.generators.base import CellContent, Condition

Formula = tuple[tuple[int, int], ...]
"""A reduced formula: (atomic number, count), from the least to the most electronegative element; ties, which mean
nothing, by atomic number. Made by `formula_of`."""

Given = Mapping[int, int | None]
"""Part of a formula: atomic number -> count in the reduced formula, None where the count is open."""


def formula_of(content: CellContent) -> Formula:
    """The reduced formula of a cell.

    Raises:
        InputError: no atoms, counts that are not positive, or an element beyond lawrencium.
    """
    rank = element_ranks()
    if not content or min(content.values()) < 1 or not all(0 < z < len(rank) for z in content):
        raise InputError(f"{content} is no content of a cell: positive counts of elements up to 103 are")
    divisor = math.gcd(*content.values())
    return tuple(sorted(((z, n // divisor) for z, n in content.items()), key=lambda part: rank[part[0]]))


def is_neutral(formula: Formula) -> bool:
    """Whether common oxidation states balance it; alloys are not (`data.chemistry.is_charge_balanced`)."""
    from ase.data import chemical_symbols

    return is_charge_balanced({chemical_symbols[z]: n for z, n in formula})


@dataclass(frozen=True)
class Grammar:
    """Which formulas there are: so many elements of these at most, and so many atoms in the reduced formula.

    Attributes:
        elements: atomic numbers, from the least to the most electronegative. Code k is the k-th of them, 0 is none.
        max_atoms: of a reduced formula.
        slots: different elements in a formula.
    """

    elements: tuple[int, ...]
    max_atoms: int = 20
    slots: int = 6

    @classmethod
    def of(cls, elements: Iterable[int], max_atoms: int = 20, slots: int = 6) -> Grammar:
        """The grammar of these elements, in any order."""
        rank = element_ranks()
        return cls(tuple(sorted(set(elements), key=lambda z: rank[z])), max_atoms, slots)

    @cached_property
    def codes(self) -> dict[int, int]:
        """Atomic number -> code, from 1 on."""
        return {z: k for k, z in enumerate(self.elements, 1)}

    def holds(self, formula: Formula) -> bool:
        """Whether it is a formula of this grammar."""
        numbers = [self.codes.get(z, 0) for z, _ in formula]
        counts = [n for _, n in formula]
        ascending = numbers == sorted(set(numbers)) and numbers[:1] > [0] and len(numbers) <= self.slots
        return ascending and min(counts) >= 1 and sum(counts) <= self.max_atoms and math.gcd(*counts) == 1

    def encode(self, formulas: Sequence[Formula]) -> NDArray[np.int64]:
        """Slots of (code of the element, count), zeros in the empty ones at the end [n,slots,2].

        Raises:
            InputError: one that is none of this grammar.
        """
        slots = np.zeros((len(formulas), self.slots, 2), np.int64)
        for row, formula in zip(slots, formulas, strict=True):
            if not self.holds(formula):
                raise InputError(f"{formula}: not a formula of this grammar ({len(self.elements)} elements)")
            row[: len(formula)] = [(self.codes[z], n) for z, n in formula]
        return slots

    def decode(self, slots: NDArray[np.int64]) -> list[Formula]:
        """Inverse of `encode`; what breaks the grammar comes out as it is, for `holds` to refuse."""
        return [tuple((self.elements[k - 1], n) for k, n in row if k) for row in slots.tolist()]

    def counts(self, formulas: Sequence[Formula]) -> NDArray[np.int64]:
        """Atoms of each element of the grammar [n,elements]."""
        slots = self.encode(formulas)
        counts = np.zeros((len(formulas), len(self.elements) + 1), np.int64)
        np.put_along_axis(counts, slots[:, :, 0], slots[:, :, 1], axis=1)  # empty slots write 0 into column 0
        return counts[:, 1:]

    def from_counts(self, counts: NDArray[np.int64]) -> list[Formula]:
        """Inverse of `counts`; what breaks the grammar comes out as it is."""
        return [tuple((self.elements[k], int(row[k])) for k in np.flatnonzero(row)) for row in counts]

    def everything(self) -> list[Formula]:
        """Every formula of a tiny grammar; hopeless beyond four elements or so."""
        counts = product(range(self.max_atoms + 1), repeat=len(self.elements))
        return [f for f in self.from_counts(np.array(list(counts))) if self.holds(f)]


@dataclass(frozen=True)
class Demand:
    """What a condition and given parts ask of a formula; hard.

    Attributes:
        grammar: of the formulas.
        counts: which counts each element may have, bool [elements,max_atoms+1]; without count 0 it is required.
        n_atoms: smallest and largest cell; some multiple of the formula unit must lie between.
        neutral: whether oxidation states must balance it.
    """

    grammar: Grammar
    counts: NDArray[np.bool_]
    n_atoms: tuple[int, int] = (1, 10**6)
    neutral: bool = False

    @cached_property
    def required(self) -> tuple[int, ...]:
        """Codes of the elements that must occur, ascending."""
        return tuple((1 + np.flatnonzero(~self.counts[:, 0])).tolist())

    @property
    def narrows(self) -> bool:
        """Whether it asks for more than the grammar does, neutrality aside."""
        return not (self.counts.all() and all(map(self.fits, range(1, self.grammar.max_atoms + 1))))

    def fits(self, atoms: int) -> bool:
        """Whether cells of so many atoms in the formula unit can have a size that is asked for."""
        low, high = self.n_atoms
        return high // atoms >= 1 and high // atoms * atoms >= low

    def accepts(self, formula: Formula) -> bool:
        """Whether it is a formula of the grammar that satisfies everything."""
        if not self.grammar.holds(formula) or not self.fits(sum(n for _, n in formula)):
            return False
        codes = [self.grammar.codes[z] for z, _ in formula]
        fits = all(self.counts[code - 1, n] for code, (_, n) in zip(codes, formula, strict=True))
        return fits and set(codes).issuperset(self.required) and (not self.neutral or is_neutral(formula))


def demand(grammar: Grammar, condition: Condition | None = None, given: Given | None = None) -> Demand:
    """What a condition asks of formulas by `allowed`, `required`, `n_atoms` and `charge_neutral`, and given parts.

    What else a condition may say is of crystals: whoever makes these refuses it or sees to it.

    Raises:
        GenerationError: it asks for an element that the grammar lacks or that is not allowed, for more elements than
            there are slots, or gives a count that is none.
    """
    given = given or {}
    condition = condition or Condition(n_atoms=(1, 10**6))
    needed = condition.required | given.keys()
    for z in sorted(needed):
        if z not in grammar.codes or (condition.allowed and z not in condition.allowed):
            raise GenerationError(f"element {z} is required, but {_symbol(z)} is not among those that may occur")
    if len(needed) > grammar.slots:
        raise GenerationError(f"{len(needed)} elements are required; a formula has {grammar.slots} at most")
    counts = np.ones((len(grammar.elements), grammar.max_atoms + 1), np.bool_)
    for z, code in grammar.codes.items():
        if condition.allowed and z not in condition.allowed:
            counts[code - 1, 1:] = False
        counts[code - 1, 0] = z not in needed
    for z, count in given.items():
        if count is not None:
            if not 1 <= count <= grammar.max_atoms:
                raise GenerationError(f"{count} atoms of element {z} are given: 1 to {grammar.max_atoms} can be")
            counts[grammar.codes[z] - 1] = np.arange(grammar.max_atoms + 1) == count
    return Demand(grammar, counts, condition.n_atoms, condition.charge_neutral)


def _symbol(z: int) -> str:
    from ase.data import chemical_symbols

    return str(chemical_symbols[z]) if 0 < z < len(chemical_symbols) else "it"
