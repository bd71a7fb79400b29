"""What the known skeletons offer for a given content: elements put on the orbits of templates, the likest first.

A proposal is a *decorated skeleton*; the nearest template that gives it lends its cell and free coordinates. Elements
may be exchanged species by species, two species may become one element, and in skeletons of few orbits the orbits of
one species may take different elements: ordered variants of simpler structures.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import TypeVar

import numpy as np
from ase.data import chemical_symbols

from redoxa.data.fingerprint import SAME_UNRELAXED, Fingerprint, distance, fingerprint
from redoxa.data.records import Crystal
from redoxa.data.symmetry.skeletons import HEAVIEST, Template, TemplateTable
from redoxa.data.symmetry.symmetric import SymmetricCrystal
from redoxa.data.symmetry.wyckoff import Floats, Integers
from redoxa.generators.base import CellContent
from redoxa.generators.exchange.similarity import mendeleev_number

T = TypeVar("T")

POOL = 200
"""Nearest templates of a content that are looked at, with and without changes each."""

PLAIN, CHANGED = 16, 12
"""Decorated skeletons that are proposed: as many without changes of which orbits are alike, and with."""

FEW_ORBITS = 6
"""Skeletons of at most so many orbits may have the orbits of one species told apart."""

CHANGE_COST = 2.0
"""What telling orbits apart or making two species one counts, in mean Mendeleev numbers."""

TYPICAL_VOLUME_A3 = 15.0
"""By atom; elements too rare for a fit are drawn towards it."""


@dataclass(frozen=True)
class Proposal:
    """A decorated skeleton for a content.

    Attributes:
        index: the nearest template that gives it, by its place in the table.
        numbers: atomic number on each orbit of that template.
        cells: primitive cells that the content fills.
        distances: of that template, then of the others that give it, ascending: mean change of Mendeleev number by
            atom, and `CHANGE_COST` for each change of which orbits are alike.
        changes: such changes of that template; one without any goes before all that need some.
    """

    index: int
    numbers: tuple[int, ...]
    cells: int
    distances: tuple[float, ...]
    changes: int


@dataclass(frozen=True)
class _Shelf:
    """Templates whose units (species or orbits) are of the same sizes.

    Attributes:
        templates: places in the table [t].
        old: atomic number of each unit [t,u].
        unit: unit of each orbit, for each template.
        species: species of each template [t].
        orbits: whether the units are orbits.
    """

    templates: Integers
    old: Integers
    unit: list[Integers]
    species: Integers
    orbits: bool


@dataclass(frozen=True)
class _Hit:
    distance: float
    index: int
    numbers: tuple[int, ...]
    changes: int


class Proposer:
    """Looks decorated skeletons up in a table of templates."""

    def __init__(self, table: TemplateTable) -> None:
        self.table = table
        self.volumes_A3 = element_volumes(table)
        self._shelves: dict[int, list[tuple[tuple[int, ...], _Shelf]]] = {}
        self._atoms = table.compositions.sum(1)

    def proposals(
        self, content: CellContent, leave_out: Sequence[int] = (), plain: int = PLAIN, changed: int = CHANGED
    ) -> list[Proposal]:
        """Decorated skeletons for a content: those of one cell first, then the nearest.

        Args:
            content: atoms by atomic number.
            leave_out: templates that are not to be used, by their places in the table.
            plain: how many at most that keep which orbits are alike.
            changed: how many at most that do not.
        """
        whole = math.gcd(*content.values())
        found: dict[object, list[tuple[_Hit, int]]] = defaultdict(list)
        for cells in (d for d in range(1, whole + 1) if whole % d == 0):
            for hit in self._nearest({z: n // cells for z, n in content.items()}, leave_out):
                key = cells, repr(self.table[hit.index].decorated(hit.numbers))
                found[key].append((hit, cells))
        proposals = []
        for same in found.values():
            nearest, cells = same[0]
            distances = nearest.distance, *sorted(hit.distance for hit, _ in same[1:])
            proposals.append(Proposal(nearest.index, nearest.numbers, cells, distances, nearest.changes))
        proposals.sort(key=lambda p: (p.cells > 1, p.distances[0]))
        kept = [p for p in proposals if not p.changes][:plain] + [p for p in proposals if p.changes][:changed]
        return sorted(kept, key=lambda p: (p.cells > 1, p.distances[0]))

    def form(self, proposal: Proposal) -> SymmetricCrystal:
        """The symmetric crystal of a proposal, one cell, scaled to the volume that its elements take."""
        return decorate(self.table[proposal.index], proposal.numbers, self.volumes_A3)

    def _nearest(self, content: CellContent, leave_out: Sequence[int]) -> list[_Hit]:
        """The `POOL` nearest without changes, and with."""
        elements = sorted(content, key=lambda z: (-content[z], z))
        counts = tuple(content[z] for z in elements)
        positions = mendeleev_numbers()
        rows: list[tuple[float, _Shelf, int, int, Integers, int]] = []
        for sizes, shelf in self._shelf(sum(counts)):
            assigned = assignments(sizes, counts)
            if not len(assigned):
                continue
            new = np.array(elements)[assigned]
            changes = _changes(shelf, new, len(elements))
            moved = np.abs(positions[shelf.old][:, None] - positions[new][None]) @ np.array(sizes) / sum(sizes)
            cost = np.where(changes < 0, np.inf, moved + CHANGE_COST * changes)
            cost[np.isin(shelf.templates, leave_out)] = np.inf
            for k in np.argsort(cost, axis=None, kind="stable")[:POOL].tolist():
                t, a = divmod(k, len(new))
                rows.append((float(cost[t, a]), shelf, t, a, new, int(changes[t, a])))
        rows = sorted((row for row in rows if row[0] < np.inf), key=lambda row: row[0])
        rows = [row for row in rows if not row[5]][:POOL] + [row for row in rows if row[5]][:POOL]
        return [
            _Hit(cost, int(shelf.templates[t]), tuple(new[a][shelf.unit[t]].tolist()), changes)
            for cost, shelf, t, a, new, changes in rows
        ]

    def _shelf(self, atoms: int) -> list[tuple[tuple[int, ...], _Shelf]]:
        """Templates of so many atoms, by the sizes of their species and, for few orbits, of their orbits."""
        if atoms not in self._shelves:
            rows: dict[tuple[bool, tuple[int, ...]], list[tuple[int, Integers, Integers]]] = defaultdict(list)
            for index in np.flatnonzero(self._atoms == atoms).tolist():
                for orbits, sizes, old, unit in self._units(index):
                    rows[orbits, sizes].append((index, old, unit))
            self._shelves[atoms] = [
                (
                    sizes,
                    _Shelf(
                        templates=np.array([index for index, _, _ in same]),
                        old=np.array([old for _, old, _ in same]),
                        unit=[unit for _, _, unit in same],
                        species=np.array([len(np.unique(old)) for _, old, _ in same]),
                        orbits=orbits,
                    ),
                )
                for (orbits, sizes), same in rows.items()
            ]
        return self._shelves[atoms]

    def _units(self, index: int) -> Iterator[tuple[bool, tuple[int, ...], Integers, Integers]]:
        """A template by species, and by orbits where there are few: sizes and elements of the units, unit by orbit."""
        here = slice(self.table.first_orbit[index], self.table.first_orbit[index + 1])
        numbers, atoms = self.table.orbit_numbers[here], self.table.orbit_atoms[here]
        species, unit = np.unique(numbers, return_inverse=True)
        yield False, *_by_size(np.bincount(unit, weights=atoms).astype(np.int64), species, unit)
        if len(species) < len(numbers) <= FEW_ORBITS:
            yield True, *_by_size(atoms, numbers, np.arange(len(numbers)))


def _by_size(sizes: Integers, old: Integers, unit: Integers) -> tuple[tuple[int, ...], Integers, Integers]:
    """Units in descending order of size."""
    order = np.argsort(-sizes, kind="stable")
    return tuple(sizes[order].tolist()), old[order], np.argsort(order)[unit]


def _changes(shelf: _Shelf, new: Integers, elements: int) -> Integers:
    """How many species are split and merged by each assignment [t,a]; -1 where orbits are told apart for nothing."""
    if not shelf.orbits:
        return np.full((len(shelf.templates), len(new)), shelf.old.shape[1] - elements)
    pairs = np.sort(shelf.old[:, None] * (HEAVIEST + 1) + new[None], axis=-1)
    distinct = 1 + (np.diff(pairs, axis=-1) != 0).sum(-1)
    changes = 2 * distinct - shelf.species[:, None] - elements
    return np.where(distinct == shelf.species[:, None], -1, changes)


@lru_cache(maxsize=100_000)
def assignments(sizes: tuple[int, ...], counts: tuple[int, ...]) -> Integers:
    """Every way to give units of these sizes to elements so that each gets its count: element of each unit [a,u]."""
    found: list[list[int]] = []

    def place(chosen: list[int], left: list[int]) -> None:
        if len(chosen) == len(sizes):
            found.append(chosen)
            return
        for element, room in enumerate(left):
            if room >= sizes[len(chosen)]:
                place([*chosen, element], [*left[:element], room - sizes[len(chosen)], *left[element + 1 :]])

    if sum(sizes) == sum(counts):
        place([], list(counts))
    return np.array(found, dtype=np.int64).reshape(-1, len(sizes))


def decorate(template: Template, numbers: Sequence[int], volumes_A3: Floats) -> SymmetricCrystal:
    """A template with other elements on its orbits, scaled to the volume that they take.

    Args:
        template: what lends the cell and the free coordinates.
        numbers: atomic number by orbit.
        volumes_A3: by atomic number, of one atom.
    """
    old = sum(volumes_A3[o.number] * n for o, n in zip(template.form.orbits, template.atoms, strict=True))
    new = sum(volumes_A3[z] * n for z, n in zip(numbers, template.atoms, strict=True))
    scale = float(new / old) ** (1 / 3)
    return replace(
        template.form,
        orbits=tuple(replace(o, number=z) for o, z in zip(template.form.orbits, numbers, strict=True)),
        lengths_A=tuple(x * scale for x in template.form.lengths_A),
    )


def unlike_first(answers: Iterable[tuple[Crystal, T]]) -> Iterator[tuple[Crystal, T]]:
    """Answers to one content with what is known of each, those that equal an earlier one last.

    Skeletons may differ by a mere distortion.
    """
    seen: list[Fingerprint] = []
    repeats: list[tuple[Crystal, T]] = []
    for crystal, known in answers:
        if is_new(crystal, seen):
            yield crystal, known
        else:
            repeats.append((crystal, known))
    yield from repeats


def is_new(crystal: Crystal, seen: list[Fingerprint]) -> bool:
    """Whether a crystal equals none that were seen; it is added to them then."""
    mark = fingerprint(crystal)
    if any(distance(mark, other) <= SAME_UNRELAXED for other in seen):
        return False
    seen.append(mark)
    return True


def element_volumes(table: TemplateTable) -> Floats:
    """Volume by atom of each element [104] in A^3, by least squares over the templates; 0 where it does not occur."""
    return fitted_volumes(table.compositions, table.volumes_A3)


def fitted_volumes(contents: Integers, volumes_A3: Floats) -> Floats:
    """The same from atoms by atomic number [B,104] and the volumes that they take together [B]."""
    atoms = contents.sum(1)
    shares = contents / atoms[:, None]
    pull = np.full(shares.shape[1], 1e-4)
    fitted = np.linalg.solve(
        shares.T @ shares + np.diag(pull), shares.T @ (volumes_A3 / atoms) + pull * TYPICAL_VOLUME_A3
    )
    return np.where(shares.any(0), np.maximum(fitted, 1.0), 0.0)


@cache
def mendeleev_numbers() -> Integers:
    """Position of each element on the Mendeleev scale, by atomic number [104]."""
    return np.array([0, *(mendeleev_number(chemical_symbols[z]) for z in range(1, HEAVIEST + 1))])
