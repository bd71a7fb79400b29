"""Is a crystal new: against the known materials and the skeletons that ship."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal

from data.errors import StructureError
from data.fingerprint import Fingerprint
from data.normaliser import motions
from data.records import Crystal
from data.skeletons import Template
from data.symmetric import ANGLES, LENGTHS, SymmetricCrystal, crystal_system, symmetric
from data.tables import KnownMaterials
from generators.evaluate.symmetry import LOOSE_A, TIGHT_A

Skeleton = tuple[int, tuple[str, ...]]
"""Space group, and the Wyckoff letters of each species, sorted."""

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
    return skeleton(form) if form.group > 1 else None


def skeleton(form: SymmetricCrystal) -> Skeleton:
    """Space group and, for each species, the letters of its orbits; the same for all elements and all origins.

    The least over the normaliser of the group, so that rocksalt is one skeleton whichever element sits on `a`. Oblique
    cells keep the axes that spglib gives them.
    """
    species: dict[int, list[str]] = defaultdict(list)
    for orbit in form.orbits:
        species[orbit.number].append(orbit.letter)
    return form.group, min(
        tuple(sorted("".join(sorted(letters[x] for x in orbits)) for orbits in species.values()))
        for letters in _relabellings(form.group)
    )


@cache
def _relabellings(group: int) -> tuple[dict[str, str], ...]:
    """Where the normaliser carries the Wyckoff letters of a space group, each way once."""
    system = crystal_system(group)
    lengths = (1.0, 1.31, 1.73)[: len(set(LENGTHS[system]))]
    angles = (97.0, 101.0, 107.0)[: len(ANGLES.get(system, ()))]
    found = {tuple(motion.letters.items()) for motion in motions(SymmetricCrystal(group, (), lengths, angles))}
    return tuple(dict(items) for items in sorted(found))


class SkeletonLibrary:
    """The skeletons of a library of templates; those of a space group are worked out when first asked for."""

    def __init__(self, templates: Iterable[Template]) -> None:
        self._forms: dict[int, list[SymmetricCrystal]] = defaultdict(list)
        self._known: dict[int, frozenset[Skeleton]] = {}
        for template in templates:
            self._forms[template.form.group].append(template.form)

    def __contains__(self, item: Skeleton) -> bool:
        group = item[0]
        if group not in self._known:
            self._known[group] = frozenset(skeleton(form) for form in self._forms.get(group, ()))
        return item in self._known[group]

    def is_new(self, crystal: Crystal) -> bool | None:
        """Whether its skeleton is none of these, at the loose and at the tight tolerance; None in P1.

        The two may read different symmetries, and a sample is given the benefit of neither.
        """
        loose = skeleton_of(crystal)
        if loose is None or loose in self:
            return None if loose is None else False
        tight = skeleton_of(crystal, TIGHT_A)
        return tight is None or tight not in self
