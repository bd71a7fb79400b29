"""Equal crystals among candidates, whatever the order in which they are looked at."""

from __future__ import annotations

from collections.abc import Iterable

from redoxa.data.errors import StructureError
from redoxa.data.fingerprint import SAME_UNRELAXED, Fingerprint, distance, fingerprint
from redoxa.data.records import Candidate


class DuplicateIndex:
    """Finds, for a candidate, the first equal one that stands before it in a fixed order.

    The order is the one in which candidates are added, and only what stands before counts. So the answer is the same in
    whatever order the screening itself proceeds, and after any interruption. Adding a candidate twice changes nothing.
    """

    def __init__(self, candidates: Iterable[Candidate] = (), tolerance: float = SAME_UNRELAXED) -> None:
        self.tolerance = tolerance
        self._place: dict[str, int] = {}
        self._buckets: dict[str, list[Candidate]] = {}
        self._marks: dict[str, Fingerprint | None] = {}
        for candidate in candidates:
            self.add(candidate)

    def add(self, candidate: Candidate) -> None:
        """Append a candidate to the order."""
        if candidate.id not in self._place:
            self._place[candidate.id] = len(self._place)
            self._buckets.setdefault(candidate.formula, []).append(candidate)

    def __contains__(self, candidate: Candidate) -> bool:
        return candidate.id in self._place

    def duplicate_of(self, candidate: Candidate) -> str | None:
        """Id of the first equal candidate before this one; None for a new crystal or one that was never added."""
        place = self._place.get(candidate.id)
        own = self._mark(candidate) if place is not None else None
        if place is None or own is None:
            return None
        for other in self._buckets[candidate.formula]:
            if self._place[other.id] >= place:
                return None
            mark = self._mark(other)
            if other.working_ion == candidate.working_ion and mark and distance(own, mark) <= self.tolerance:
                return other.id
        return None

    def _mark(self, candidate: Candidate) -> Fingerprint | None:
        """Fingerprint, kept; None for a cell too degenerate to have one (it fails elsewhere)."""
        if candidate.id not in self._marks:
            try:
                self._marks[candidate.id] = fingerprint(candidate.crystal)
            except StructureError:
                self._marks[candidate.id] = None
        return self._marks[candidate.id]
