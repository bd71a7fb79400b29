"""Is a crystal new: against the known materials and the skeletons that ship."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from redoxa.data.errors import StructureError
from redoxa.data.fingerprint import Fingerprint
from redoxa.data.records import Crystal
from redoxa.data.symmetry.skeletons import Skeleton, Template, template_of
from redoxa.data.symmetry.symmetric import symmetric
from redoxa.data.tables.known_materials import KnownMaterials
from redoxa.generators.evaluate.symmetry import LOOSE_A, TIGHT_A

Standing = Literal["new", "known", "undecided"]
"""`undecided`: the formula is known, but no structure of it is in the table. Never counted as new."""


@dataclass(frozen=True)
class Novelty:
    """What is new about a crystal.

    Attributes:
        formula: its reduced formula is in no table.
        structure: by fingerprint within its formula.
        nearest: name of the nearest known material, "" where there is none.
        distance: fingerprint distance to it, where known.
    """

    formula: bool
    structure: Standing
    nearest: str = ""
    distance: float | None = None


def novelty(mark: Fingerprint, known: KnownMaterials, tolerance: float) -> Novelty:
    """Hold a fingerprint against the known materials.

    Args:
        mark: of the crystal.
        known: the table.
        tolerance: `data.fingerprint.SAME` for relaxed crystals, `SAME_UNRELAXED` before.
    """
    match = known.nearest(mark, tolerance)
    if match is None:
        return Novelty(True, "new")
    if match.distance is None:
        return Novelty(False, "undecided", match.name)
    return Novelty(False, "known" if match.level == "structure" else "new", match.name, match.distance)


def skeleton_of(crystal: Crystal, symprec_A: float = LOOSE_A) -> Skeleton | None:
    """Skeleton of a crystal; None in P1, and where no symmetry is found."""
    try:
        form = symmetric(crystal, symprec_A)
    except StructureError:
        return None
    return template_of(form).skeleton if form.group > 1 else None


class SkeletonLibrary:
    """The skeletons of a library of templates."""

    def __init__(self, templates: Iterable[Template]) -> None:
        self._known = frozenset(template.skeleton for template in templates)

    def __contains__(self, item: Skeleton) -> bool:
        return item in self._known

    def is_new(self, crystal: Crystal) -> bool | None:
        """Whether its skeleton is none of these, at the loose and at the tight tolerance; None in P1.

        The two may read different symmetries, and a sample is given the benefit of neither.
        """
        loose = skeleton_of(crystal)
        if loose is None or loose in self:
            return None if loose is None else False
        tight = skeleton_of(crystal, TIGHT_A)
        return tight is None or tight not in self
