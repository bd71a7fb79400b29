"""Cheap signs of mobility: room for the ion between the atoms of its host, and its bond valence landscape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from redoxa.data.chemistry import ionic_radius_A
from redoxa.data.errors import InputError
from redoxa.data.records import Crystal, Estimate, Reason, Verdict
from redoxa.data.units import ION_VALENCE
from redoxa.screening.base import Findings, Needs, Subject, Surroundings
from redoxa.screening.labels import Label, Note
from redoxa.screening.mobility.bond_valence import BondValenceMap, OPEN_eV, WITHIN_eV, bond_valence_map
from redoxa.screening.mobility.free_space import room
from redoxa.screening.mobility.percolation import Threshold

RADIUS_SIGMA_A = 0.1
"""Shannon's radii of one ion differ by so much between its usual coordinations; the grid takes 0.03 A off."""

BARRIER_RELATIVE_SIGMA = 0.6
"""RMS of (bond valence - DFT) / bond valence over 19 electrodes (`tests/unit/screening/test_bond_valence.py`)."""

DIMENSION_SIGMA = 0.5

NOISE_eV, NOISE_A = 0.03, 0.03
"""Thresholds that differ by less are one: the grid breaks symmetries by so much."""

FAR_A = 0.6
"""A lowest place further than this from all sites of the ion is worth a note."""


class BottleneckRadius:
    """Radius of the largest ball that crosses the empty host."""

    name: ClassVar[str] = "bottleneck_radius"
    summary: ClassVar[str] = "largest ball that crosses the host between its hard spheres, in one dimension at least"
    unit: ClassVar[str] = "A"
    stage: ClassVar[str] = "pathways"
    needs: ClassVar[Needs] = Needs.DISCHARGED
    cost: ClassVar[float] = 0.2
    label: ClassVar[Label] = Label("Radius of the bottleneck", "Bottleneck", "Mobility")
    notes: ClassVar[Mapping[str, Note]] = {
        "bottlenecks": Note("Largest balls that cross the host: {}.", "Mobility"),
        "assumed_charges": Note("Charges assumed for the radii: {}.", "Mobility"),
    }

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:  # noqa: ARG002
        """Pure geometry: Shannon radii, all working ions taken out."""
        if subject.converts:
            return Findings()
        found = room(_discharged(subject), subject.ion)
        own_A = ionic_radius_A(subject.ion, ION_VALENCE[subject.ion])
        notes = {
            "bottlenecks": f"{_ways(found.bottlenecks, NOISE_A)} A; {subject.ion} itself has {own_A:.2f} A, the "
            f"largest void {found.largest_A:.2f} A"
        }
        if found.assumed:
            notes["assumed_charges"] = f"{', '.join(found.assumed)}: the most common state, nothing balances"
        method = "largest percolating ball between spheres of Shannon radii (doi:10.1107/S0567739476001551)"
        return Findings(
            Estimate(
                value=found.radius_A(1), sigma=RADIUS_SIGMA_A, unit=self.unit, method=method, model="hard spheres"
            ),
            notes=notes,
        )


class PercolationBarrierBv:
    """Lowest bond valence site energy at which the ion crosses the empty host."""

    name: ClassVar[str] = "percolation_barrier_bv"
    summary: ClassVar[str] = "bond valence barrier of crossing the host in one dimension at least; twice that of DFT"
    unit: ClassVar[str] = "eV"
    stage: ClassVar[str] = "pathways"
    needs: ClassVar[Needs] = Needs.DISCHARGED
    cost: ClassVar[float] = 0.25
    label: ClassVar[Label] = Label(
        "Migration barrier, bond valence",
        "Barrier (bond valence)",
        "Mobility",
        absent="its charges or bond valences are unknown",
    )
    notes: ClassVar[Mapping[str, Note]] = {
        "bond_valence_barriers": Note("Bond valence barriers: {}.", "Mobility"),
        "bond_valence_site": Note("In the bond valence landscape {}.", "Mobility"),
    }

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """The barrier above the best place, and those in more dimensions in a note."""
        found = _map(subject, around, self.name)
        if isinstance(found, Findings):
            return found
        if 1 not in found.thresholds:
            text = f"the bond valence landscape lets {subject.ion} through nowhere"
            return _without_number(around, self.name, "no_way_through", text)
        notes = {"bond_valence_barriers": f"{_ways(found.thresholds, NOISE_eV)} eV"}
        if found.site_distance_A > FAR_A:
            notes["bond_valence_site"] = f"the best place lies {found.site_distance_A:.1f} A from the ion's own"
        value = found.thresholds[1].level
        return Findings(_bond_valence(value, BARRIER_RELATIVE_SIGMA * value, self.unit), notes=notes)


class MobilityDimension:
    """In how many dimensions the bond valence landscape is open."""

    name: ClassVar[str] = "mobility_dimension"
    summary: ClassVar[str] = (
        f"dimensions with a bond valence barrier below {OPEN_eV:g} eV and within {WITHIN_eV:g} eV of the lowest"
    )
    unit: ClassVar[str] = "1"
    stage: ClassVar[str] = "pathways"
    needs: ClassVar[Needs] = Needs.DISCHARGED
    cost: ClassVar[float] = 0.26
    label: ClassVar[Label] = Label("Dimensions of the ion's ways", "Dimensions", "Mobility")

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """0 where the ion is stuck, 1 in channels, 2 between layers, 3 everywhere."""
        found = _map(subject, around, self.name)
        if isinstance(found, Findings):
            return found
        return Findings(_bond_valence(float(found.dimension), DIMENSION_SIGMA, self.unit))


def _discharged(subject: Subject) -> Crystal:
    if subject.discharged is None:
        raise LookupError("the relaxed discharged state is needed")
    return subject.discharged.crystal


def _map(subject: Subject, around: Surroundings, name: str) -> BondValenceMap | Findings:
    """The landscape, or why there is none."""
    if subject.converts:
        return Findings()
    try:
        return bond_valence_map(_discharged(subject), subject.ion)
    except InputError as error:
        return _without_number(around, name, "no_bond_valence", str(error))


def _without_number(around: Surroundings, name: str, code: str, text: str) -> Findings:
    verdict = Verdict.UNDETERMINED if name in around.settings.all_limits else Verdict.PASS
    return Findings(reasons=[Reason(stage="pathways", code=code, text=text, verdict=verdict)])


def _bond_valence(value: float, sigma: float, unit: str) -> Estimate:
    method = "bond valence site energy of one ion in the rigid host (doi:10.1107/S2052520618015718)"
    return Estimate(value=value, sigma=sigma, unit=unit, method=method, model="softBV")


def _ways(thresholds: Mapping[int, Threshold], noise: float) -> str:
    """``1D 0.45 along [0 1 0], 3D 3.58``; a dimension that costs nothing more than the one before takes its place."""
    parts = []
    for dimension, threshold in thresholds.items():
        further = thresholds.get(dimension + 1)
        if further is not None and further.level - threshold.level <= noise:
            continue
        shape = {1: " along [{} {} {}]", 2: " in ({} {} {})"}.get(threshold.network.dimension, "")
        axes = "".join(shape.format(*axis) for axis in threshold.network.axes)
        parts.append(f"{dimension}D {abs(threshold.level):.2f}{axes}")
    return ", ".join(parts)
