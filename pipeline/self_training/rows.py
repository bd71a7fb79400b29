"""What self-training draws and finds: one row a crystal, and the numbers of a round."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redoxa.data.errors import StructureError
from redoxa.data.fingerprint import SAME, Fingerprint, fingerprint, spacegroup
from redoxa.data.records import Crystal
from redoxa.data.tables.known_materials import KnownMaterials
from redoxa.generators.evaluate.novelty import novelty
from redoxa.generators.evaluate.uniqueness import first_equals
from redoxa.generators.evaluate.values import Value, median, share
from redoxa.pipeline.evaluate.relaxation import Outcome
from redoxa.screening.physics.hulls import Hulls

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass
class Found:
    """What screening says of a drawn crystal.

    Attributes:
        number: of the round.
        drawn: as it was drawn.
        relaxed: at its minimum, within its symmetry or, where confirmed, with all atoms free; None without one.
        energy_eV_per_atom: there.
        reason: why there is no minimum.
        unique: no crystal before it, of any round, is equal.
        novel: no known material is equal.
        above_hull_eV_per_atom: of the known phases; None without a hull.
        phases: in its chemical system.
        full_phases: of them, with all its elements.
        decomposes_to: the phases below or beside it.
        near: at most the limit above the hull.
        confirmed: whether all atoms were free.
    """

    number: int
    drawn: Crystal
    relaxed: Crystal | None = None
    energy_eV_per_atom: float | None = None
    reason: str = ""
    unique: bool = False
    novel: bool = False
    above_hull_eV_per_atom: float | None = None
    phases: int = 0
    full_phases: int = 0
    decomposes_to: str = ""
    near: bool = False
    confirmed: bool = False

    @property
    def msun(self) -> bool:
        """Converged, unique, novel and near the hull."""
        return self.near and self.unique and self.novel

    @property
    def kept(self) -> bool:
        """To be learned from: a hull without any phase of all elements would reward what nobody has looked at."""
        return self.msun and self.full_phases > 0


class Judge:
    """Judges crystals of one round after another.

    Args:
        hulls: of the known phases.
        known: materials that are not new.
        limit_eV_per_atom: what counts as near the hull.
    """

    def __init__(self, hulls: Hulls, known: KnownMaterials, limit_eV_per_atom: float) -> None:
        self.hulls, self.known, self.limit_eV_per_atom = hulls, known, limit_eV_per_atom
        self._crystals: list[Crystal] = []
        self._marks: list[Fingerprint] = []

    def judge(self, number: int, drawn: Sequence[Crystal], outcomes: Sequence[Outcome | None]) -> list[Found]:
        """One answer a drawn crystal; an outcome is None where no symmetric form was found."""
        found = [Found(number, one) for one in drawn]
        first, new = len(self._crystals), []
        for one, outcome in zip(found, outcomes, strict=True):
            self._place(one, outcome)
            if one.relaxed is None:
                continue
            try:
                mark = fingerprint(one.relaxed)
            except StructureError as error:
                one.relaxed, one.near, one.reason = None, False, str(error)
                continue
            self._crystals.append(one.relaxed)
            self._marks.append(mark)
            new.append(one)
        twins = first_equals(self._crystals, self._marks)
        for one, twin, mark in zip(new, twins[first:], self._marks[first:], strict=True):
            one.unique, one.novel = twin is None, novelty(mark, self.known, SAME).structure == "new"
        return found

    def confirm(self, one: Found, outcome: Outcome) -> None:
        """Replace what the relaxation within the symmetry gave by what one with all atoms free gives."""
        self._place(one, outcome)
        one.confirmed = True
        if one.relaxed is not None:
            one.novel = novelty(fingerprint(one.relaxed), self.known, SAME).structure == "new"

    def _place(self, one: Found, outcome: Outcome | None) -> None:
        """Energy and hull distance of a relaxed crystal."""
        end = None if outcome is None else outcome.relaxation
        one.relaxed = end.crystal if end is not None and end.converged else None
        if end is None or one.relaxed is None:
            one.near = False
            one.reason = (
                end.reason if end is not None else outcome.error if outcome is not None else "no symmetric form"
            )
            return
        one.energy_eV_per_atom = end.energy_eV_per_atom
        coverage = self.hulls.reference.coverage(one.relaxed.composition)
        one.phases, one.full_phases = coverage.n_phases, coverage.n_full
        place = self.hulls.distance(one.relaxed.composition, end.energy_eV_per_atom)
        if place is not None:
            one.above_hull_eV_per_atom, one.decomposes_to = place.value_eV_per_atom, place.products_text
        one.near = place is not None and place.value_eV_per_atom <= self.limit_eV_per_atom


def round_values(found: Sequence[Found], cpu_s: Mapping[str, float]) -> dict[str, Value]:
    """Numbers of a round: shares of all that were drawn, with Wilson intervals."""
    distances = [x for one in found if (x := one.above_hull_eV_per_atom) is not None]
    hits, spent = sum(one.msun for one in found), sum(cpu_s.values())
    return {
        "sampled": Value(float(len(found)), len(found)),
        "converged": share(one.relaxed is not None for one in found),
        "unique": share(one.unique for one in found),
        "novel": share(one.novel for one in found),
        "near": share(one.near for one in found),
        "msun": share(one.msun for one in found),
        "msun_full": share(one.kept for one in found),
        "above_hull_median": median(distances),
        "entropy_elements": Value(entropy(one.drawn.composition for one in found), len(found)),
        "cpu_s": Value(spent, len(found)),
        "msun_per_cpu_minute": Value(60.0 * hits / spent if spent else None, hits),
    }


def entropy(compositions: Iterable[Iterable[str]]) -> float:
    """Entropy in nats of which elements occur, each counted once a crystal: falls where variety is lost."""
    counts = Counter(element for composition in compositions for element in composition)
    total = sum(counts.values())
    return -sum(n / total * math.log(n / total) for n in counts.values())


def table_of(rounds: Sequence[Sequence[Found]]) -> DataFrame:
    """All crystals as rows."""
    from pandas import DataFrame

    rows = []
    for one in (one for found in rounds for one in found):
        crystal = one.relaxed or one.drawn
        rows.append(
            {
                "round": one.number,
                "formula": crystal.formula,
                "space_group": spacegroup(crystal, 0.01),
                "above_hull_eV_per_atom": one.above_hull_eV_per_atom,
                "energy_eV_per_atom": one.energy_eV_per_atom,
                "competing_phases": one.phases,
                "competing_phases_full": one.full_phases,
                "decomposes_to": one.decomposes_to,
                "converged": one.relaxed is not None,
                "confirmed": one.confirmed,
                "unique": one.unique,
                "novel": one.novel,
                "msun": one.msun,
                "learned_from": one.kept,
                "reason": one.reason,
                "atomic_numbers": list(crystal.numbers),
                "frac_coords": [x for site in crystal.frac_coords for x in site],
                "lattice_A": [x for vector in crystal.lattice_A for x in vector],
            }
        )
    return DataFrame(rows)
