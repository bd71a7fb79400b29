"""What may come next in a formula that is written slot by slot, so that it always ends well."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from redoxa.data.errors import GenerationError
from redoxa.generators.composition.grammar import Demand

Integers = NDArray[np.int64]
Truth = NDArray[np.bool_]


@dataclass(frozen=True)
class Place:
    """How far n formulas are written; all int64 [n].

    Attributes:
        last: code of the last element.
        taken: how many of the required elements it has.
        atoms: so far.
        divisor: greatest common one of the counts; 0 where there are none.
        left: slots that are still to be filled; 0 after the end.
    """

    last: Integers
    taken: Integers
    atoms: Integers
    divisor: Integers
    left: Integers

    def take(self, rows: Integers) -> Place:
        """Of some of the formulas, in another order maybe."""
        return Place(self.last[rows], self.taken[rows], self.atoms[rows], self.divisor[rows], self.left[rows])

    def free(self) -> Place:
        """The same where no element is required."""
        return Place(self.last, np.zeros_like(self.taken), self.atoms, self.divisor, self.left)


class Masks:
    """What may come next, without dead ends: whatever is allowed can be completed to what the demand accepts.

    Neutrality alone is left to rejection. Elements ascend, so a formula is written in one way only, and the masked
    probabilities of a model, renormalised, add up to 1 over the formulas that the demand accepts.

    Raises:
        GenerationError: nothing satisfies the demand.
    """

    def __init__(self, wish: Demand) -> None:
        grammar = wish.grammar
        self.wish, self.slots, self.most = wish, grammar.slots, grammar.max_atoms
        no_element = np.arange(self.most + 1) == 0
        self.counts: Truth = np.vstack([no_element, wish.counts])
        self.required = np.array([*wish.required, len(grammar.elements) + 1], np.int64)  # the last one is never met
        free = self.counts[:, 1:].any(1) & self.counts[:, 0]
        self.free: Truth = free
        self.free_after: Integers = (free[::-1].cumsum()[::-1] - free).astype(np.int64)
        self.complete = np.array(
            [[g == 1 and t > 0 and wish.fits(t) for g in range(self.most + 1)] for t in range(self.most + 1)], np.bool_
        )
        self.reach, self.opens = self._tables()
        if not self.elements(self.start(1)).any():
            raise GenerationError("no formula has the elements, counts and number of atoms that are asked for")

    def _tables(self) -> tuple[Truth, Truth]:
        """Whether a formula of so many atoms and such a divisor can end well [required taken, free ones left, t, g].

        The first where these many free elements may still come, the second where one more is to come before them.
        """
        needed, size = len(self.wish.required), self.most + 1
        any_count = np.arange(size) > 0
        reach = np.zeros((needed + 1, self.slots + 1, size, size), np.bool_)
        reach[needed, 0] = self.complete
        for j in range(1, self.slots + 1):
            reach[needed, j] = reach[needed, j - 1] | _before(reach[needed, j - 1], any_count)
        for r in reversed(range(needed)):
            for j in range(self.slots + 1):
                reach[r, j] = _before(reach[r + 1, j], self.counts[self.required[r]])
        opens = np.array([[_before(table, any_count) for table in tables] for tables in reach])
        return reach, opens

    def start(self, n: int) -> Place:
        """Nothing is written yet."""
        zeros = np.zeros(n, np.int64)
        return Place(zeros, zeros, zeros, zeros, np.full(n, self.slots, np.int64))

    def elements(self, place: Place) -> Truth:
        """Which elements may come next, by code; code 0 ends the formula [n,elements+1]."""
        codes = np.arange(len(self.counts))
        taken, atoms, divisor = (x[:, None] for x in (place.taken, place.atoms, place.divisor))
        spare = (place.left - (len(self.wish.required) - place.taken))[:, None]
        following = self.required[place.taken][:, None]
        is_next = codes == following
        room = np.minimum(spare - ~is_next, self.free_after[codes])
        ends = np.where(is_next, self.reach[taken, np.maximum(room, 0), atoms, divisor],
                        self.opens[taken, np.maximum(room, 0), atoms, divisor])  # fmt: skip
        may = (room >= 0) & ends & (codes > place.last[:, None]) & (is_next | (self.free & (codes < following)))
        may &= (place.left > 0)[:, None]
        may[:, 0] = (place.taken == len(self.wish.required)) & self.complete[place.atoms, place.divisor]
        return np.asarray(may, np.bool_)

    def atoms(self, place: Place, element: Integers) -> Truth:
        """Which counts an element [n] may have; 0 where it is the end [n,max_atoms+1]."""
        after = self._element(place, element)
        counts = np.arange(self.most + 1)
        room = np.minimum(after.left - (len(self.wish.required) - after.taken), self.free_after[element])
        atoms = place.atoms[:, None] + counts
        divisor = np.gcd(place.divisor[:, None], counts)
        table = self.reach[after.taken[:, None], np.maximum(room, 0)[:, None], np.minimum(atoms, self.most), divisor]
        may = self.counts[element] & table & (atoms <= self.most) & (counts > 0)
        return np.asarray(np.where(element[:, None] == 0, counts == 0, may), np.bool_)

    def advance(self, place: Place, element: Integers, count: Integers) -> Place:
        """The place after these elements with these counts [n]."""
        after = self._element(place, element)
        return Place(after.last, after.taken, place.atoms + count, np.gcd(place.divisor, count), after.left)

    def _element(self, place: Place, element: Integers) -> Place:
        """The place where the element is written and its count is not; after the end nothing is left."""
        ended = element == 0
        last = np.where(ended, place.last, element)
        taken = place.taken + (element == self.required[place.taken])
        return Place(last, taken, place.atoms, place.divisor, np.where(ended, 0, place.left - 1))


def _before(after: Truth, counts: Truth) -> Truth:
    """From which atoms and divisor one of these counts leads to where `after` is true [t,g]."""
    size = len(after)
    before = np.zeros_like(after)
    for count in np.flatnonzero(counts[1:]) + 1:
        before[: size - count] |= after[count:, np.gcd(np.arange(size), count)]
    return before
