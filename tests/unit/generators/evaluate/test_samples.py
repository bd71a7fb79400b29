"""Validity, uniqueness, novelty and symmetry of samples."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher

from redoxa.data.fingerprint import SAME_UNRELAXED, fingerprint
from redoxa.data.structures import to_structure
from redoxa.data.symmetry.skeletons import load_templates, template_of
from redoxa.data.symmetry.symmetric import symmetric
from redoxa.data.tables.known_materials import KnownMaterial, KnownMaterials
from redoxa.data.tables.prototypes import load_prototypes
from redoxa.generators.evaluate.novelty import SkeletonLibrary, novelty, skeleton_of
from redoxa.generators.evaluate.symmetry import keeps_symmetry, meant_group
from redoxa.generators.evaluate.table import Memory, Sample, measure
from redoxa.generators.evaluate.uniqueness import first_equals
from redoxa.generators.evaluate.validity import is_smact_valid, is_valid_structure, sanity_complaint
from tests.unit.generators.evaluate.crystals import caesium_chloride, cubic, rocksalt, shaken, zincblende

LI, O, NA, CL, FE, CU, AU = 3, 8, 11, 17, 26, 29, 79


def test_structural_validity_ends_where_published() -> None:
    assert is_valid_structure(cubic([LI, O], [[0, 0, 0], [0.126, 0, 0]], 4.0))  # 0.504 A
    assert not is_valid_structure(cubic([LI, O], [[0, 0, 0], [0.124, 0, 0]], 4.0))
    assert is_valid_structure(cubic([LI], [[0, 0, 0]], 0.47))  # an atom and its image are no pair; 0.104 A^3
    assert not is_valid_structure(cubic([LI], [[0, 0, 0]], 0.46))  # 0.097 A^3


def test_sane_is_stricter_than_valid() -> None:
    assert sanity_complaint(rocksalt(NA, CL, 5.64)) == ""
    tight = rocksalt(NA, CL, 3.6)  # 1.80 A over radii of 1.66 + 1.02 A
    assert is_valid_structure(tight)
    assert sanity_complaint(tight) == "a contact of 0.67 sums of covalent radii"
    assert "a volume of" in sanity_complaint(rocksalt(NA, CL, 14.0))


@pytest.mark.parametrize(
    ("composition", "valid"),
    [
        ({"Na": 1, "Cl": 1}, True),
        ({"Na": 4, "Cl": 4}, True),
        ({"Li": 1, "Fe": 1, "P": 1, "O": 4}, True),  # Li+ Fe2+ P5+
        ({"Cu": 3, "Au": 1}, True),  # an alloy
        ({"S": 8}, True),  # an element
        ({"Na": 2, "Cl": 1}, False),
        ({"Na": 1, "F": 3}, False),
        ({"Ca": 1, "Cl": 5}, False),
        ({"He": 1, "O": 1}, False),  # no electronegativity
        ({"Li": 1, "O": 4}, False),
    ],
)
def test_smact_rule(composition: dict[str, int], valid: bool) -> None:
    assert is_smact_valid(composition) is valid


def test_smact_rule_asks_for_anions_more_electronegative_than_cations() -> None:
    assert is_smact_valid({"Pd": 1, "O": 1})
    assert not is_smact_valid({"Pd": 1, "Si": 1})  # Pd4+ Si4- is neutral, but palladium is the more electronegative


def test_duplicates_agree_with_comparing_all_pairs() -> None:
    """60 crystals, most of them library prototypes and shaken copies of them: 1,770 pairs against the buckets."""
    prototypes = [p.crystal for p in load_prototypes("electrodes") if p.crystal.n_atoms <= 8][:12]
    made = [rocksalt(NA, CL, 5.6), zincblende(NA, CL, 6.1), caesium_chloride(NA, CL, 3.4), rocksalt(LI, CL, 5.1)]
    base = [*prototypes, *made]
    crystals = [shaken(base[i % len(base)], i, 0.02 if i % 3 else 0.25) for i in range(60)]
    np.random.default_rng(1).shuffle(crystals)  # type: ignore[arg-type]
    matcher = StructureMatcher()
    structures = [to_structure(c) for c in crystals]
    expected: list[int | None] = [None] * 60
    equal = {(j, i) for j, i in combinations(range(60), 2) if matcher.fit(structures[i], structures[j])}
    for i in range(60):
        expected[i] = next((j for j in range(i) if expected[j] is None and (j, i) in equal), None)
    found = first_equals(crystals, [fingerprint(c) for c in crystals])
    assert [f is None for f in found] == [e is None for e in expected]
    assert sum(f is None for f in found) not in (1, 60)
    assert all(f is None or ((f, i) in equal) for i, f in enumerate(found))


def test_novelty_by_fingerprint_and_formula() -> None:
    known = KnownMaterials([KnownMaterial("LiCl", "only its formula", "test")])
    known.add(rocksalt(NA, CL, 5.6), "salt", "test")

    def of(crystal):
        return novelty(fingerprint(crystal), known, SAME_UNRELAXED)

    same = of(shaken(rocksalt(NA, CL, 5.7), 0, 0.02))
    assert (same.formula, same.structure, same.nearest) == (False, "known", "salt")
    other = of(zincblende(NA, CL, 6.1))
    assert (other.formula, other.structure) == (False, "new")
    assert (other.distance or 0.0) > SAME_UNRELAXED
    assert of(rocksalt(LI, CL, 5.1)).structure == "undecided"
    new = of(rocksalt(LI, O, 4.2))
    assert (new.formula, new.structure, new.nearest) == (True, "new", "")


def test_a_skeleton_does_not_depend_on_elements_or_origin() -> None:
    a, b = rocksalt(NA, CL, 5.6), rocksalt(CL, NA, 5.6)
    moved = shaken(rocksalt(LI, O, 4.2), 3, 0.0)
    assert skeleton_of(a) == skeleton_of(b) == skeleton_of(moved) == (225, ("a", "b"))
    assert skeleton_of(zincblende(NA, CL, 6.1)) == (216, ("a", "c"))
    assert skeleton_of(shaken(a, 0, 0.4)) is None  # P1


def test_skeletons_of_the_library_are_known_with_other_elements() -> None:
    templates = list(load_templates())[::900]
    library = SkeletonLibrary(templates)
    for template in templates:
        form = template.form
        swap = {z: 20 + i for i, z in enumerate(sorted({o.number for o in form.orbits}, reverse=True))}
        orbits = tuple(type(o)(o.letter, swap[o.number], o.free) for o in form.orbits)
        swapped = type(form)(form.group, orbits, form.lengths_A, form.angles_deg)
        assert template_of(swapped).skeleton in library
        assert library.is_new(swapped.to_crystal()) is (None if form.group == 1 else False)


def test_a_new_skeleton_is_new() -> None:
    library = SkeletonLibrary([template_of(symmetric(rocksalt(NA, CL, 5.6)))])
    assert library.is_new(rocksalt(LI, O, 4.2)) is False
    assert library.is_new(zincblende(LI, O, 4.6)) is True


def test_labels_that_name_a_space_group() -> None:
    assert meant_group("space group 166: Na->Li") == 166
    assert [meant_group(x) for x in ("olivine LiFePO4", "", "space group 231", "space group 0")] == [None] * 4


@pytest.mark.parametrize(
    ("meant", "found", "kept"),
    [
        (166, 166, True),
        (225, 225, True),
        (62, 14, False),
        (14, 62, True),  # P2_1/c in Pnma
        (216, 227, True),  # zincblende into diamond
        (194, 225, False),
        (15, 1, False),
        (1, 2, True),
        (2, 0, False),
    ],
)
def test_supergroups_count_as_kept(meant: int, found: int, kept: bool) -> None:
    assert keeps_symmetry(meant, found) is kept


def test_rows_say_what_is_wrong() -> None:
    known = KnownMaterials()
    known.add(rocksalt(NA, CL, 5.6), "salt", "test")
    memory = Memory(known, SkeletonLibrary([template_of(symmetric(rocksalt(NA, CL, 5.6)))]))
    samples = [
        Sample("0", rocksalt(NA, CL, 5.65), "space group 225: as it is"),
        Sample("1", None, "", "x.cif: the file is empty"),
        Sample("2", cubic([LI, O], [[0, 0, 0], [0.05, 0, 0]], 4.0)),
        Sample("3", shaken(rocksalt(NA, CL, 5.6), 0, 0.02), "space group 225: as it is"),
        Sample("4", zincblende(CU, AU, 6.3)),
    ]
    salt, unreadable, close, twin, alloy = measure(samples, memory)
    assert (salt.valid_structure, salt.charge_balanced, salt.symmetry_kept, salt.unique, salt.novel) == (
        True, True, True, True, False,
    )  # fmt: skip
    assert salt.novel_structure == "known"
    assert unreadable.reasons == ["x.cif: the file is empty"]
    assert (unreadable.valid_structure, unreadable.unique, unreadable.novel) == (False, False, None)
    assert not close.valid_structure
    assert close.min_distance_A == pytest.approx(0.2)
    assert close.reasons == ["two atoms 0.20 A apart"]
    assert (twin.unique, twin.duplicate_of, twin.symmetry_kept) == (False, 0, False)
    assert (alloy.charge_balanced, alloy.smact_valid, alloy.novel_skeleton, alloy.novel) == (False, True, True, True)
