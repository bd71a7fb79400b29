"""Duplicates among samples, without comparing all pairs: by formula, fingerprint, then `StructureMatcher`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from redoxa.data.fingerprint import Fingerprint, distance
from redoxa.data.records import Crystal
from redoxa.data.structures import to_structure

if TYPE_CHECKING:
    from pymatgen.core import Structure

FAR = 0.8
"""Fingerprint distance beyond which the matcher is not asked. Of 344 pairs of samples that it called equal, none lay
beyond 0.41."""


def first_equals(
    crystals: Sequence[Crystal], marks: Sequence[Fingerprint], on_step: Callable[[int, int], None] | None = None
) -> list[int | None]:
    """For each crystal the index of the first distinct one that it equals; None for the first of its kind.

    Equal means that pymatgen's `StructureMatcher` with its own tolerances (ltol 0.2, stol 0.3, 5 degrees) matches
    them. Only within one reduced formula, and there only with crystals that are not far by fingerprint.
    """
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher()
    kept: dict[str, list[tuple[int, Structure]]] = defaultdict(list)
    found: list[int | None] = []
    for i, (crystal, mark) in enumerate(zip(crystals, marks, strict=True)):
        structure = to_structure(crystal)
        bucket = kept[crystal.formula]
        near = sorted((gap, j, other) for j, other in bucket if (gap := distance(mark, marks[j])) <= FAR)
        twin = next((j for _, j, other in near if matcher.fit(structure, other)), None)
        if twin is None:
            bucket.append((i, structure))
        found.append(twin)
        if on_step is not None:
            on_step(i + 1, len(crystals))
    return found
