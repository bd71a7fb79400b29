"""Is a candidate one arrangement of a solid solution whose end is known?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import ClassVar

import numpy as np
from ase.data import chemical_symbols
from ase.units import kB

from redoxa.data.errors import StructureError
from redoxa.data.fingerprint import SAME_UNRELAXED, SYMPREC_A
from redoxa.data.records import Crystal, Reason, Verdict
from redoxa.data.structures import equivalent_sites
from redoxa.screening.base import Findings, Needs, Subject, Surroundings
from redoxa.screening.labels import Note

FIRED_K = 1000.0
"""A usual temperature of synthesis, at which the entropy of mixing is told."""

RADII_WITHIN = 0.15
"""By how much the ionic radii of elements of a group may differ where they are to mix (Goldschmidt's rule)."""


class OrderedChild:
    """Metals in order on places that are equivalent in a known crystal of one of them.

    When fired they may lie there at random, as a solid solution; the ordered crystal is then no new material. That is
    how predictions of an autonomous laboratory came to be disputed (Leeman et al., PRX Energy 3, 011002, 2024). The
    known materials hold ordered crystals alone, so the parent is looked for by its ends.
    """

    name: ClassVar[str] = "ordered_child"
    summary: ClassVar[str] = "no ordered arrangement of a solid solution whose end is known"
    stage: ClassVar[str] = "novelty"
    needs: ClassVar[Needs] = Needs.CRYSTAL
    cost: ClassVar[float] = 0.02
    notes: ClassVar[Mapping[str, Note]] = {
        "disordered_parent": Note("Perhaps one arrangement of a disordered crystal: {}.", told="elsewhere"),
    }

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Put one metal of each set that may mix everywhere, and look the crystal up."""
        if around.known is None:
            return Findings()
        crystal = subject.candidate.crystal
        for mixed in _mixing(crystal):
            for z in mixed:
                parent = _all(crystal, mixed, z)
                match = around.known.nearest(parent, SAME_UNRELAXED)
                if match is None or match.level != "structure" or not _share_places(crystal, parent, mixed):
                    continue
                metals = ", ".join(chemical_symbols[m] for m in mixed)
                group = f", space group {match.spacegroup}" if match.spacegroup else ""
                text = (
                    f"{metals} are in order on places that are equivalent in the known {match.formula} ({match.name}"
                    f"{group}); fired, they may mix, which gains {_entropy_meV(crystal, mixed):.0f} meV/atom at "
                    f"{FIRED_K:.0f} K if ideal, and the ordered crystal is no new material then"
                )
                rejects = around.settings.ordered_child == "reject"
                verdict = Verdict.FAIL if rejects else Verdict.PASS
                reason = Reason(stage=self.stage, code="ordered_child", text=text, verdict=verdict)
                return Findings(reasons=[reason], notes={"disordered_parent": f"{metals} in {match.formula}"})
        return Findings()


def _mixing(crystal: Crystal) -> Iterator[tuple[int, ...]]:
    """Sets of elements that may share places, the larger ones first."""
    elements = sorted(set(crystal.numbers))
    for size in range(len(elements), 1, -1):
        for some in combinations(elements, size):
            if all(_mix(a, b) for a, b in combinations(some, 2)):
                yield some


def _mix(a: int, b: int) -> bool:
    """Whether two elements may share places: transition metals, lanthanides, like ions of a group."""
    from pymatgen.core import Element

    first, second = Element.from_Z(a), Element.from_Z(b)
    if first.is_transition_metal and second.is_transition_metal:
        return True
    if first.is_lanthanoid and second.is_lanthanoid:
        return True
    radii = sorted((float(first.average_ionic_radius), float(second.average_ionic_radius)))
    return first.group == second.group and radii[0] > 0 and radii[1] / radii[0] - 1 <= RADII_WITHIN


def _all(crystal: Crystal, mixed: tuple[int, ...], z: int) -> Crystal:
    """The crystal with one element on all the places of the others."""
    numbers = tuple(z if n in mixed else n for n in crystal.numbers)
    return Crystal(numbers=numbers, frac_coords=crystal.frac_coords, lattice_A=crystal.lattice_A)


def _share_places(crystal: Crystal, parent: Crystal, mixed: tuple[int, ...]) -> bool:
    """Whether different elements lie on places that the symmetry of the parent makes equal."""
    try:
        orbits = equivalent_sites(parent, SYMPREC_A)
    except StructureError:
        return False
    held: dict[int, set[int]] = {}
    for orbit, z in zip(orbits, crystal.numbers, strict=True):
        if z in mixed:
            held.setdefault(orbit, set()).add(z)
    return any(len(elements) > 1 for elements in held.values())


def _entropy_meV(crystal: Crystal, mixed: tuple[int, ...]) -> float:
    """What ideal mixing lowers the free energy by, in meV/atom at `FIRED_K`."""
    counts = np.array(list(Counter(z for z in crystal.numbers if z in mixed).values()), float)
    shares = counts / counts.sum()
    return 1000 * FIRED_K * float(kB) * math.fsum(-counts * np.log(shares)) / len(crystal.numbers)
