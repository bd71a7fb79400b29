"""What may come next in a crystal that is being written as a sequence of orbits, so that it can always be completed.

Positions without free coordinates hold one orbit at most, the others any number; the sites of the primitive cell must
add up to what is asked for. Whether that can still be met depends only on how many positions of each size are left,
so the search is small, and its answers are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from redoxa.data.symmetry.positions import PositionTable
from redoxa.generators.base import CellContent

END = 0
"""Stands in the place of an element where the sequence ends."""

Sizes = tuple[tuple[int, int], ...]
"""Positions that hold one orbit at most: sites in the primitive cell, and how many such positions are left."""


@dataclass(frozen=True)
class Wish:
    """What the primitive cell of a crystal must satisfy.

    Attributes:
        allowed: atomic numbers that may occur.
        required: atomic numbers that must occur.
        content: exact atoms by atomic number; then `allowed`, `required` and `atoms` play no part.
        atoms: smallest and largest number of sites.
        groups: space groups; empty for any.
        neutral: whether common oxidation states must balance it; no part of the grammar, but looked at when it is
            complete.
    """

    allowed: frozenset[int]
    required: frozenset[int] = frozenset()
    content: CellContent | None = None
    atoms: tuple[int, int] = (1, 20)
    groups: frozenset[int] = frozenset()
    neutral: bool = False


@dataclass
class Draft:
    """A crystal being written: its space group, and the orbits so far (Wyckoff position by its place in the table).

    `log_probability` is of the choices made so far, among those that were left, in nats.
    """

    group: int
    positions: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    log_probability: float = 0.0


class Grammar:
    """Which elements and positions may follow, for one wish."""

    def __init__(self, table: PositionTable, wish: Wish) -> None:
        self.table, self.wish = table, wish
        self._atoms, self._free = table.atoms.tolist(), table.free.tolist()

    def groups(self) -> list[int]:
        """Space groups in which the wish can be met."""
        candidates = sorted(self.wish.groups) or range(1, len(self.table.first) - 1)
        return [group for group in candidates if self._feasible(Draft(group))]

    def elements(self, draft: Draft) -> list[int]:
        """Elements that the next orbit may have, and `END` where the crystal is complete."""
        kinds = self._kinds(draft)
        if self.wish.content is not None:
            found = [z for z in sorted(self.left(draft)) if self._any(draft, kinds, z)]
        else:
            missing = self.wish.required - set(draft.numbers)
            usable = {helps: self._any(draft, kinds, helps) for helps in (True, False)}
            found = [z for z in sorted(self.wish.allowed) if usable[z in missing]]
        return [END, *found] if self.complete(draft) else found

    def positions(self, draft: Draft, element: int) -> list[int]:
        """Positions that an orbit of this element may take."""
        kinds = self._kinds(draft)
        step: int | bool = element
        if self.wish.content is None:
            step = element in self.wish.required - set(draft.numbers)
        return [p for kind, places in kinds.items() if self._feasible(draft, kind, step) for p in places]

    def complete(self, draft: Draft) -> bool:
        """Whether the crystal satisfies the wish as it is."""
        if self.wish.content is not None:
            return not self.left(draft)
        sites = sum(self._atoms[p] for p in draft.positions)
        return sites > 0 and self.wish.required <= set(draft.numbers) and self._inside(sites)

    def left(self, draft: Draft) -> CellContent:
        """Atoms of an exact content that are not placed yet; nothing where no content is asked for."""
        left = Counter(self.wish.content or {})
        if self.wish.content is not None:
            for position, number in zip(draft.positions, draft.numbers, strict=True):
                left[number] -= self._atoms[position]
        return {z: n for z, n in left.items() if n}

    def _inside(self, sites: int) -> bool:
        low, high = self.wish.atoms
        return low <= sites <= high

    def _kinds(self, draft: Draft) -> dict[tuple[int, bool], list[int]]:
        """Positions that are left by (sites, whether one orbit is all they hold)."""
        taken = {p for p in draft.positions if not self._free[p]}
        kinds: dict[tuple[int, bool], list[int]] = {}
        here = self.table.of(draft.group)
        for position in range(here.start, here.stop):
            if position not in taken:
                kinds.setdefault((self._atoms[position], not self._free[position]), []).append(position)
        return kinds

    def _any(self, draft: Draft, kinds: dict[tuple[int, bool], list[int]], step: int | bool) -> bool:
        return any(self._feasible(draft, kind, step) for kind in kinds)

    def _feasible(self, draft: Draft, kind: tuple[int, bool] | None = None, step: int | bool = False) -> bool:
        """Whether the wish can be met after one more orbit of a kind (or as it is).

        Args:
            draft: the crystal so far.
            kind: sites of the orbit, and whether its position holds no other.
            step: element of the orbit where a content is asked for; else whether it is one that is still required.
        """
        sizes, endless = _stock(self._kinds(draft), kind)
        taken = kind[0] if kind else 0
        if self.wish.content is not None:
            left = Counter(self.left(draft))
            left[int(step)] -= taken
            if any(n < 0 for n in left.values()):
                return False
            return can_fill(sizes, endless, tuple(sorted((n for n in left.values() if n), reverse=True)))
        sites = taken + sum(self._atoms[p] for p in draft.positions)
        missing = len(self.wish.required - set(draft.numbers)) - int(step)
        low, high = self.wish.atoms
        least = max(low - sites, 0 if sites else 1)
        return any(orbits >= missing for orbits in most_orbits(sizes, endless, high - sites)[least:])


def _stock(kinds: dict[tuple[int, bool], list[int]], taken: tuple[int, bool] | None) -> tuple[Sizes, tuple[int, ...]]:
    """What is left: single positions by size, and sizes of those without end."""
    singles = {atoms: len(places) for (atoms, single), places in kinds.items() if single}
    if taken and taken[1]:
        singles[taken[0]] -= 1
    endless = {atoms for atoms, single in kinds if not single}
    return tuple(sorted((a, n) for a, n in singles.items() if n)), tuple(sorted(endless))


@lru_cache(maxsize=200_000)
def can_fill(sizes: Sizes, endless: tuple[int, ...], needs: tuple[int, ...]) -> bool:
    """Whether orbits can be shared out so that each element gets exactly its number of sites.

    Args:
        sizes: single positions left.
        endless: sizes of the positions that hold any number of orbits.
        needs: sites of each element, descending.
    """
    if not needs:
        return True
    sums = _sums(endless, needs[0])
    return any(
        sums[needs[0] - sites] and can_fill(rest, endless, needs[1:]) for rest, sites in _choices(sizes, needs[0])
    )


def _choices(sizes: Sizes, most: int) -> Iterator[tuple[Sizes, int]]:
    """Every way to take single positions of at most so many sites together: what is left, and the sites taken."""
    if not sizes:
        yield (), 0
        return
    (atoms, count), *others = sizes
    for used in range(min(count, most // atoms) + 1):
        kept = ((atoms, count - used),) if used < count else ()
        for rest, sites in _choices(tuple(others), most - used * atoms):
            yield (*kept, *rest), sites + used * atoms


@lru_cache(maxsize=10_000)
def _sums(endless: tuple[int, ...], most: int) -> tuple[bool, ...]:
    """For each number up to `most`, whether these sizes, any number of times, add up to it."""
    found = [True] + [False] * most
    for total in range(1, most + 1):
        found[total] = any(total >= size and found[total - size] for size in endless)
    return tuple(found)


@lru_cache(maxsize=200_000)
def most_orbits(sizes: Sizes, endless: tuple[int, ...], sites: int) -> Sequence[int]:
    """For each number of sites from 0 on, the most orbits that add up to it; -1 where none do. Empty below 0 sites."""
    if sites < 0:
        return ()
    best = [0] + [-1] * sites
    for size, count in sizes:
        for _ in range(count):
            for total in range(sites, size - 1, -1):
                if best[total - size] >= 0:
                    best[total] = max(best[total], best[total - size] + 1)
    for size in endless:
        for total in range(size, sites + 1):
            if best[total - size] >= 0:
                best[total] = max(best[total], best[total - size] + 1)
    return tuple(best)
