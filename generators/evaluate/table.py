"""One row a sample: every value that does not need a potential."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from redoxa.data.chemistry import is_charge_balanced
from redoxa.data.errors import StructureError
from redoxa.data.fingerprint import SAME_UNRELAXED, Fingerprint, fingerprint, spacegroup
from redoxa.data.records import Crystal
from redoxa.data.structures import density_g_cm3
from redoxa.data.tables.known_materials import KnownMaterials
from redoxa.generators.evaluate.families import Families, Gaps, transition_metals
from redoxa.generators.evaluate.novelty import SkeletonLibrary, novelty
from redoxa.generators.evaluate.reference_set import Portrait, portrait
from redoxa.generators.evaluate.symmetry import LOOSE_A, TIGHT_A, group_and_primitive, keeps_symmetry, meant_group
from redoxa.generators.evaluate.uniqueness import first_equals
from redoxa.generators.evaluate.validity import (
    is_smact_valid,
    is_valid_structure,
    sanity_complaint,
    smallest_distance_A,
)


@dataclass(frozen=True)
class Sample:
    """What is judged: a crystal with its name, or why there is none."""

    name: str
    crystal: Crystal | None
    label: str = ""
    reason: str = ""


@dataclass
class SampleRow:
    """A sample and what was found; None where a value does not apply or was not asked for."""

    name: str
    label: str
    formula: str | None = None
    n_atoms: int | None = None
    n_elements: int | None = None
    density_g_cm3: float | None = None
    space_group: int | None = None
    space_group_tight: int | None = None
    space_group_meant: int | None = None
    symmetry_kept: bool | None = None
    min_distance_A: float | None = None
    valid_structure: bool = False
    sane: bool = False
    charge_balanced: bool = False
    smact_valid: bool = False
    duplicate_of: int | None = None
    unique: bool | None = None
    n_transition_metals: int | None = None
    novel_formula: bool | None = None
    novel_family: bool | None = None
    novel_skeleton: bool | None = None
    novel_structure: str | None = None
    novel: bool | None = None
    nearest_known: str | None = None
    nearest_known_distance: float | None = None
    nearest_in_family_distance: float | None = None
    reasons: list[str] = field(default_factory=list)
    portrait: Portrait | None = field(default=None, repr=False)
    mark: Fingerprint | None = field(default=None, repr=False)
    gaps: Gaps | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Memory:
    """What novelty is judged against."""

    known: KnownMaterials
    skeletons: SkeletonLibrary

    @cached_property
    def families(self) -> Families:
        """The known materials by family; a second of work."""
        return Families(self.known)


def measure(
    samples: Sequence[Sample], memory: Memory | None, on_step: Callable[[int, int], None] | None = None
) -> list[SampleRow]:
    """Judge samples one by one, then find the duplicates.

    Args:
        samples: an unreadable one counts as invalid.
        memory: None where novelty and uniqueness are of no interest (structure prediction).
        on_step: called with (done, total).
    """
    rows = []
    for i, sample in enumerate(samples):
        rows.append(_row(sample, memory))
        if on_step is not None:
            on_step(i + 1, len(samples))
    if memory is not None:
        _mark_duplicates(samples, rows)
    return rows


def _row(sample: Sample, memory: Memory | None) -> SampleRow:
    row = SampleRow(sample.name, sample.label)
    crystal = sample.crystal
    if crystal is None:
        row.reasons.append(sample.reason)
        return row
    row.formula, row.n_atoms, row.n_elements = crystal.formula, crystal.n_atoms, len(crystal.composition)
    row.density_g_cm3, row.n_transition_metals = density_g_cm3(crystal), transition_metals(crystal.composition)
    _validity(row, crystal)
    row.space_group, primitive_atoms = group_and_primitive(crystal, LOOSE_A)
    row.space_group_tight = spacegroup(crystal, TIGHT_A)
    row.space_group_meant = meant_group(sample.label)
    if row.space_group_meant is not None:
        row.symmetry_kept = keeps_symmetry(row.space_group_meant, row.space_group_tight)
        if not row.symmetry_kept:
            row.reasons.append(f"space group {row.space_group_meant} was meant, {row.space_group_tight} found")
    try:
        row.mark = fingerprint(crystal)
    except StructureError as error:
        row.reasons.append(str(error))
        return row
    row.portrait = portrait(crystal, row.mark, row.space_group, primitive_atoms)
    if memory is not None:
        _novelty(row, crystal, row.mark, memory)
    return row


def _validity(row: SampleRow, crystal: Crystal) -> None:
    distance = smallest_distance_A(crystal)
    row.min_distance_A = distance if distance < float("inf") else None
    row.valid_structure = is_valid_structure(crystal)
    complaint = sanity_complaint(crystal)
    row.sane = not complaint
    row.charge_balanced = is_charge_balanced(crystal.composition)
    row.smact_valid = is_smact_valid(crystal.composition)
    if not row.valid_structure:
        row.reasons.append(f"two atoms {distance:.2f} A apart" if distance < 0.5 else "the cell has no volume")
    elif complaint:
        row.reasons.append(complaint)


def _novelty(row: SampleRow, crystal: Crystal, mark: Fingerprint, memory: Memory) -> None:
    found = novelty(mark, memory.known, SAME_UNRELAXED)
    row.novel_formula, row.novel_structure = found.formula, found.structure
    row.novel_family = not memory.families.knows(crystal.composition)
    row.gaps = memory.families.gaps(mark, crystal.composition)
    row.nearest_in_family_distance = row.gaps.family
    row.novel_skeleton = memory.skeletons.is_new(crystal)
    row.novel = found.formula or bool(row.novel_skeleton)
    row.nearest_known, row.nearest_known_distance = found.nearest or None, found.distance
    if found.structure == "known":
        row.reasons.append(f"known material {found.nearest}")


def _mark_duplicates(samples: Iterable[Sample], rows: Sequence[SampleRow]) -> None:
    usable = [
        (i, s.crystal, row.mark)
        for i, (s, row) in enumerate(zip(samples, rows, strict=True))
        if s.crystal is not None and row.mark is not None
    ]
    twins = first_equals([c for _, c, _ in usable], [m for _, _, m in usable])
    for row in rows:
        row.unique = False
    for (i, _, _), twin in zip(usable, twins, strict=True):
        rows[i].unique = twin is None
        if twin is not None:
            rows[i].duplicate_of = usable[twin][0]
            rows[i].reasons.append(f"the same crystal as sample {usable[twin][0]}")
