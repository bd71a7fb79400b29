"""Is the host still the same crystal when the ions have left, and is every atom still in its place?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from redoxa.data.chemistry import NONMETALS
from redoxa.data.records import Crystal, Estimate, Reason, Verdict
from redoxa.data.structures import to_structure
from redoxa.screening.base import Findings, Needs, Subject, Surroundings
from redoxa.screening.labels import Label
from redoxa.screening.potentials.base import FloatArray

SHIFT_SIGMA_A = 0.1

OTHER_SITE_A = 0.9
"""Half the way between neighbouring octahedral and tetrahedral sites of close-packed anions."""


class Topotactic:
    """The host keeps its structure when the ions leave; else it is a conversion, another reaction."""

    name: ClassVar[str] = "topotactic"
    summary: ClassVar[str] = "the host is the same crystal before and after the ions left"
    stage: ClassVar[str] = "topotactic"
    needs: ClassVar[Needs] = Needs.CHARGED
    cost: ClassVar[float] = 0.1

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Match the hosts with the tolerances by which the Materials Project groups insertion electrodes."""
        discharged, charged = subject.both
        if same_host(discharged.crystal, charged.crystal, subject.ion):
            return Findings()
        text = f"without {subject.ion} the host relaxed to another structure: a conversion, not an insertion"
        rejects = around.settings.topotactic == "reject"
        verdict = Verdict.FAIL if rejects else Verdict.PASS
        return Findings(reasons=[Reason(stage=self.stage, code="not_topotactic", text=text, verdict=verdict)])


class MaxCationShift:
    """How far a cation of the host moves on charge; beyond 0.9 A it has gone to another site."""

    name: ClassVar[str] = "max_cation_shift"
    summary: ClassVar[str] = "largest shift of a host cation on charge, its common drift taken off"
    unit: ClassVar[str] = "A"
    stage: ClassVar[str] = "topotactic"
    needs: ClassVar[Needs] = Needs.CHARGED
    cost: ClassVar[float] = 0.11
    label: ClassVar[Label] = Label("Largest shift of a cation", "Cation shift", "Host")

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Compare the places of the host atoms, which keep their order, and those of the ions that stayed."""
        if subject.full_cell is None:
            raise LookupError("both relaxed states in one cell are needed")
        moves = Moves.between(subject.full_cell, subject.both[1].crystal, subject.ion)
        cations = [i for i, e in enumerate(moves.host) if e not in NONMETALS] or list(range(len(moves.host)))
        farthest = max(cations, key=lambda i: (round(float(moves.host_shifts_A[i]), 3), moves.host[i]))
        shift_A = float(moves.host_shifts_A[farthest])
        found = Findings(
            Estimate(
                value=shift_A,
                sigma=SHIFT_SIGMA_A,
                unit=self.unit,
                method="fractional coordinates of the relaxed states in their mean lattice, drift of the host removed",
                model=around.model.id,
            )
        )
        if shift_A > OTHER_SITE_A:
            text = f"a host cation ({moves.host[farthest]}) moved {shift_A:.1f} A on charge: to another site"
            found.reasons.append(Reason(stage=self.stage, code="cation_moved", text=text, verdict=Verdict.PASS))
        if left := int((moves.ion_shifts_A > OTHER_SITE_A).sum()):
            text = (
                f"{left} of the {subject.ion} that stayed left their sites, by up to {moves.ion_shifts_A.max():.1f} A"
            )
            found.reasons.append(Reason(stage=self.stage, code="ion_moved", text=text, verdict=Verdict.PASS))
        return found


@dataclass(frozen=True)
class Moves:
    """How atoms moved between two states of charge in one cell.

    Attributes:
        host: element symbols of the host atoms [h].
        host_shifts_A: how far each moved [h].
        ion_shifts_A: how far each ion that is left in the second state lies from the nearest site of an ion in the
            first [i].
    """

    host: tuple[str, ...]
    host_shifts_A: FloatArray
    ion_shifts_A: FloatArray

    @classmethod
    def between(cls, full: Crystal, other: Crystal, ion: str) -> Moves:
        """Compare two crystals whose host atoms come in the same order.

        Raises:
            ValueError: the host atoms are not the same.
        """
        from ase.geometry import find_mic
        from pymatgen.core import Lattice

        number = atomic_numbers[ion]
        hosts = [[i for i, z in enumerate(c.numbers) if z != number] for c in (full, other)]
        symbols = [[chemical_symbols[c.numbers[i]] for i in h] for c, h in zip((full, other), hosts, strict=True)]
        if symbols[0] != symbols[1]:
            raise ValueError("the host atoms of the two states differ in kind, number or order")
        lattice = (np.array(full.lattice_A) + np.array(other.lattice_A)) / 2
        a, b = (np.array(c.frac_coords) for c in (full, other))
        delta = b[hosts[1]] - a[hosts[0]]
        drift = np.angle(np.exp(2j * np.pi * delta).mean(0)) / (2 * np.pi)  # may be half a cell, so before wrapping
        shifts_A, _ = find_mic((delta - drift) @ lattice, lattice)
        common_A = shifts_A.mean(0)
        drift += common_A @ np.linalg.inv(lattice)
        stayed = [i for i, z in enumerate(other.numbers) if z == number]
        sites = [i for i, z in enumerate(full.numbers) if z == number]
        ions = np.empty(0)
        if stayed and sites:
            ions = np.asarray(Lattice(lattice).get_all_distances(b[stayed] - drift, a[sites])).min(1)
        return cls(tuple(symbols[0]), np.linalg.norm(shifts_A - common_A, axis=1), ions)


def same_host(a: Crystal, b: Crystal, ion: str) -> bool:
    """True where both crystals are one structure when `ion` is not looked at (volumes may differ)."""
    from pymatgen.analysis.structure_matcher import ElementComparator, StructureMatcher

    matcher = StructureMatcher(
        ltol=0.2, stol=0.3, angle_tol=5, primitive_cell=True, scale=True,
        comparator=ElementComparator(), ignored_species=[ion],
    )  # fmt: skip
    return bool(matcher.fit(to_structure(a), to_structure(b), symmetric=True))
