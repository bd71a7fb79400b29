"""What a drawn crystal earns.

The reward is the sum of the weights of its parts (`PARTS`, each 0 or 1), and `ALL` where it has them all; 0 where the
run drew the crystal before. A crystal earns nothing, not even 0, where no known phase holds all its elements: a hull
that nobody has looked at says nothing. It is left out of learning, and so is what the screening could not finish
(error, lost process).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from redoxa.data.errors import StructureError
from redoxa.data.fingerprint import SAME, SAME_UNRELAXED, Fingerprint, distance, fingerprint
from redoxa.data.records import Crystal, ScreeningResult, Verdict
from redoxa.generators.evaluate.families import Families, family
from redoxa.screening.ports import ReferenceTable
from redoxa.screening.settings import Range

NEAR_eV_PER_ATOM: Final = 0.1
"""Farthest above the known hull, discharged, that counts as near."""


class Part(NamedTuple):
    """A part of the reward: what it counts, and what it asks."""

    weight: float
    asks: str


PARTS: Final[Mapping[str, Part]] = MappingProxyType({
    "near": Part(0.1, "stability_discharge is at most 0.1 eV/atom"),
    "in_range": Part(0.2, "the screening passes it, and every objective of the campaign lies in its range"),
    "new_family": Part(0.2, "near, and of a family of no known material and no earlier crystal of the run"),
})  # fmt: skip
"""By name. A new family far from the hull is easily found, and earns nothing."""

ALL: Final = 0.5
"""For a hit, which has them all: each alone is easy."""


@dataclass(frozen=True)
class Judged:
    """A drawn crystal and what it earned.

    Attributes:
        number: of the round.
        drawn: as it was drawn.
        result: of the screening; None where the run drew it before, so that it was not screened.
        parts: 0 or 1 by the names of `PARTS`.
        repeated: whether the run drew it before, or one that relaxes to the same.
        reward: from 0 to 1; None where it is left out of learning.
    """

    number: int
    drawn: Crystal
    result: ScreeningResult | None
    parts: Mapping[str, int]
    repeated: bool
    reward: float | None

    @property
    def hit(self) -> bool:
        """Everything that is asked of a crystal."""
        return self.reward is not None and not self.repeated and all(self.parts.values())

    @property
    def above_hull_eV_per_atom(self) -> float | None:
        """Of the discharged state; None where the screening did not come so far."""
        found = None if self.result is None else self.result.estimates.get("stability_discharge")
        return None if found is None else found.value


class Seen:
    """Crystals that came before.

    Args:
        tolerance: largest fingerprint distance of equal ones.
    """

    def __init__(self, tolerance: float = SAME_UNRELAXED) -> None:
        self.tolerance = tolerance
        self._marks: dict[str, list[Fingerprint]] = defaultdict(list)

    def add(self, crystal: Crystal) -> bool:
        """Whether an equal one came before; it counts from now on. What has no fingerprint equals none."""
        try:
            mark = fingerprint(crystal)
        except StructureError:
            return False
        before = self._marks[crystal.formula]
        same = any(distance(mark, other) <= self.tolerance for other in before)
        before.append(mark)
        return same


class Judge:
    """Rewards crystals of one round after another; the order decides which of two equal ones is the first.

    Args:
        objectives: ranges of the campaign.
        reference: tells where a hull is known.
        families: of the known materials.
    """

    def __init__(self, objectives: Mapping[str, Range], reference: ReferenceTable, families: Families) -> None:
        self.objectives, self.reference, self.families = objectives, reference, families
        self._relaxed, self._families = Seen(SAME), set[str]()

    def judge(self, number: int, drawn: Sequence[Crystal], results: Sequence[ScreeningResult | None]) -> list[Judged]:
        """What the crystals of a round earn; a result is None where the run drew the crystal before."""
        return [self._one(number, crystal, result) for crystal, result in zip(drawn, results, strict=True)]

    def is_new(self, own: str, composition: Mapping[str, int]) -> bool:
        """Whether no known material and no earlier crystal of the run has a family."""
        return own not in self._families and not self.families.knows(composition)

    def _one(self, number: int, drawn: Crystal, result: ScreeningResult | None) -> Judged:
        if result is None:
            return Judged(number, drawn, None, dict.fromkeys(PARTS, 0), repeated=True, reward=0.0)
        relaxed = result.crystals.get("discharged")
        repeated = relaxed is not None and self._relaxed.add(relaxed)
        parts = self._parts(drawn, result)
        earned = sum(PARTS[name].weight * met for name, met in parts.items()) + ALL * all(parts.values())
        silent = (
            result.is_lost or result.verdict is Verdict.ERROR or not self.reference.coverage(drawn.composition).n_full
        )
        return Judged(number, drawn, result, parts, repeated, None if silent else round(earned * (not repeated), 6))

    def _parts(self, drawn: Crystal, result: ScreeningResult) -> dict[str, int]:
        own, distance_eV = family(drawn.composition), result.estimates.get("stability_discharge")
        near = distance_eV is not None and distance_eV.value <= NEAR_eV_PER_ATOM
        new = self.is_new(own, drawn.composition)
        self._families.add(own)
        within = [
            (value := result.estimates.get(name)) is not None and limits.broken_limit(value.value) is None
            for name, limits in self.objectives.items()
        ]
        in_range = result.verdict is Verdict.PASS and all(within)
        return {"near": int(near), "in_range": int(in_range), "new_family": int(near and new)}
