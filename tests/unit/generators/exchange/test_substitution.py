from __future__ import annotations

import numpy as np
import pytest
from ase.data import atomic_numbers, chemical_symbols
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition

from redoxa.data.chemistry import is_charge_balanced, radius_scale
from redoxa.data.crystal import CrystalBatch
from redoxa.data.errors import GenerationError
from redoxa.data.fingerprint import spacegroup
from redoxa.data.records import Crystal
from redoxa.data.structures import to_structure
from redoxa.data.tables.prototypes import prototype
from redoxa.generators.base import Condition
from redoxa.generators.contract import check_generator
from redoxa.generators.exchange.recipes import Mixing, SwapRecipe, compact_multiples, spread_out, supercell
from redoxa.generators.exchange.similarity import mendeleev_number, replacements, species_of
from redoxa.generators.exchange.substitution import SubstitutionGenerator

GENERATOR = SubstitutionGenerator()


def condition(allowed: str = "", required: str = "", **rest: object) -> Condition:
    z = [frozenset(atomic_numbers[e] for e in text.split()) for text in (allowed, required)]
    return Condition(z[0], z[1], **rest)  # type: ignore[arg-type]


def content(formula: str) -> dict[int, int]:
    return {e.Z: int(n) for e, n in Composition(formula).items()}


def sample(n: int, wanted: Condition, seed: int = 0) -> tuple[list[Crystal], list[str]]:
    batch, labels = GENERATOR.sample(n, wanted, np.random.default_rng(seed))
    return batch.to_crystals(), labels


CONDITIONS = {
    "open": condition(),
    "lithium oxides": condition("Li O Mn Fe Co Ti", "Li", n_atoms=(4, 12)),
    "sodium phosphates": condition("Na O P Mn Fe", "Na P", n_atoms=(10, 30), charge_neutral=True),
    "magnesium": condition("Mg O S Mn V Ti", "Mg", n_atoms=(4, 28), charge_neutral=True),
    "potassium": condition("K O F S Mn Fe Ti V Cr", "K", n_atoms=(2, 20), charge_neutral=True),
    "aluminium": condition("Al O S V Mo Ti", "Al", n_atoms=(4, 28), charge_neutral=True),
    "big cells only": condition("Li O Co Ni Mn", "Li", n_atoms=(25, 32)),
}


@pytest.mark.parametrize("case", CONDITIONS)
def test_contract_and_chemistry(case: str) -> None:
    wanted = CONDITIONS[case]
    crystals = check_generator(GENERATOR, wanted, n=12).to_crystals()
    for crystal in crystals:
        assert is_charge_balanced(crystal.composition)
        structure = to_structure(crystal)
        distances = structure.distance_matrix[np.triu_indices(len(structure), 1)]
        assert distances.min() > 1.2
        assert 5 < crystal.volume_A3 / crystal.n_atoms < 40


def test_samples_are_distinct_and_not_the_library() -> None:
    crystals, labels = sample(60, condition("Li O Co Ni Mn Fe", "Li", n_atoms=(4, 16), charge_neutral=True))
    assert all(":" in label for label in labels), "a published compound was returned as such"
    assert len(set(labels)) == 60
    matcher = StructureMatcher(scale=True)
    by_formula: dict[str, list[Crystal]] = {}
    for crystal in crystals:
        by_formula.setdefault(crystal.formula, []).append(crystal)
    same = [
        (a.formula, matcher.fit(to_structure(a), to_structure(b)))
        for group in by_formula.values() for i, a in enumerate(group) for b in group[:i]
    ]  # fmt: skip
    assert len(same) > 10, "several polymorphs of a composition are expected"
    assert sum(fit for _, fit in same) <= 0.1 * len(same)


def test_same_seed_same_samples_and_other_seed_others() -> None:
    wanted = condition("Na O Mn Fe Ni Ti V Cr", "Na", n_atoms=(4, 24))
    first, labels = sample(30, wanted, 5)
    again, _ = sample(30, wanted, 5)
    other, other_labels = sample(30, wanted, 6)
    assert first == again
    assert first != other
    assert len(set(labels) & set(other_labels)) < 25
    # asking for more goes on where fewer ended
    assert sample(45, wanted, 5)[0][:30] == first


def test_thousands_in_a_common_chemistry() -> None:
    wanted = condition("Na O P F Mn Fe Ni Ti V Cr Co", "Na", n_atoms=(4, 30), charge_neutral=True)
    crystals, _ = sample(1500, wanted)
    assert len({c.content_hash for c in crystals}) == 1500


def test_prototypes_take_turns() -> None:
    _, labels = sample(40, condition("Li O S F P Mn Fe Co Ni Ti V", "Li", n_atoms=(4, 30)))
    assert len({label.split(":")[0] for label in labels}) > 15


def test_what_cannot_be_met_is_said() -> None:
    with pytest.raises(GenerationError, match="Na is required but not allowed"):
        sample(2, condition("Li O Mn", "Na"))
    with pytest.raises(GenerationError, match=r"knows only \d+ crystals .* 500 were asked for"):
        sample(500, condition("Li O Mn", "Li", n_atoms=(4, 8), charge_neutral=True))
    with pytest.raises(GenerationError, match="knows only 0 crystals"):
        sample(1, condition("Xe", "Xe"))
    with pytest.raises(GenerationError, match="1 contents were given for 2 samples"):
        sample(2, Condition(contents=(content("LiCoO2"),)))


def test_published_compounds_are_the_last_resort() -> None:
    wanted = condition("K Cr O", "K", n_atoms=(4, 4), charge_neutral=True)
    _, labels = sample(1, wanted)
    assert labels != ["O3 KCrO2"]
    known = 0
    with pytest.raises(GenerationError, match="knows only") as caught:
        sample(100, wanted)
    known = int(str(caught.value).split("only ")[1].split()[0])
    assert sample(known, wanted)[1][-1] == "O3 KCrO2"


EXACT = [
    ("Li4Mn4P4O16", {62}),  # olivine
    ("Na4Mn4P4O16", {62}),  # maricite or olivine
    ("Na3Co3O6", None),
    ("Li3Co1Cr2O6", None),
    ("Mg2Cr4S8", {227}),  # spinel
    ("Zr1O2", {225}),  # fluorite
    ("Hf1O2", {225}),
]


@pytest.mark.parametrize(("formula", "groups"), EXACT, ids=[f for f, _ in EXACT])
def test_exact_contents(formula: str, groups: set[int] | None) -> None:
    crystals, labels = sample(1, Condition(contents=(content(formula),)))
    assert {atomic_numbers[e]: n for e, n in crystals[0].composition.items()} == content(formula)
    assert labels[0].startswith("space group ")
    assert groups is None or spacegroup(crystals[0]) in groups


def test_repeated_contents_get_other_structures() -> None:
    crystals, _ = sample(4, Condition(contents=(content("Li2Fe2O4"),) * 4))
    matcher = StructureMatcher(stol=0.15)
    fits = [matcher.fit(to_structure(a), to_structure(b)) for i, a in enumerate(crystals) for b in crystals[:i]]
    assert not any(fits)


def test_contents_without_template_are_named() -> None:
    wanted = Condition(contents=(content("LiCoO2"), content("Li7La3Zr2O12F5")))
    with pytest.raises(GenerationError, match=r"contents\[1\] = Li7O12F5Zr2La3"):
        sample(2, wanted)


def test_lattice_scales_with_shannon_radii() -> None:
    # LiFePO4 -> NaFePO4: mean cation radius (0.76, 0.78, 0.17) -> (1.02, 0.78, 0.17), O2- 1.40 A
    assert radius_scale({"Li": 1, "Fe": 1, "P": 1, "O": 4}, {"Na": 1, "Fe": 1, "P": 1, "O": 4}) == pytest.approx(
        ((1.02 + 0.78 + 0.17) / 3 + 1.40) / ((0.76 + 0.78 + 0.17) / 3 + 1.40)
    )
    parent = prototype("olivine LiFePO4")
    child = SwapRecipe(parent, (1, 1, 1), {"Li": "Na"}).build()
    measured = prototype("olivine NaFePO4").crystal.volume_A3
    assert child.volume_A3 == pytest.approx(measured, rel=0.06)
    assert child.frac_coords == parent.crystal.frac_coords


def test_mixing_spreads_the_second_metal() -> None:
    recipe = SwapRecipe(prototype("O3 LiCoO2"), (1, 1, 4), {"Co": "Ni"}, Mixing("Co", (("Mn", 2),)))
    assert recipe.composition() == {"Li": 4, "Ni": 2, "Mn": 2, "O": 8}
    assert recipe.label() == "O3 LiCoO2: Co->Ni0.5Mn0.5"
    numbers, fracs, lattice = supercell(prototype("O3 LiCoO2").crystal, (1, 1, 4))
    cobalt = [i for i, z in enumerate(numbers) if chemical_symbols[z] == "Co"]
    # four sites in a row: the second is half-way round, the rest lie between
    assert sorted(spread_out(fracs[cobalt], lattice)[:2]) in ([0, 2], [1, 3])
    assert np.linalg.det(lattice) == pytest.approx(4 * prototype("O3 LiCoO2").crystal.volume_A3)


def test_supercells_are_compact() -> None:
    layered = prototype("layered LiTiS2").crystal  # 3.455 x 3.455 x 6.195
    assert compact_multiples(layered, 4) == (2, 2, 1)
    assert compact_multiples(layered, 1) == (1, 1, 1)


def test_roles_and_kin() -> None:
    roles = {s.element: s.role for s in species_of(prototype("olivine LiFePO4"))}
    assert roles == {"Li": "ion", "Fe": "metal", "P": "former", "O": "anion"}
    iron, oxygen = (next(s for s in species_of(prototype("olivine LiFePO4")) if s.element == e) for e in ("Fe", "O"))
    kin = [r.element for r in replacements(iron, True, frozenset())]
    assert kin[0] == "Fe"
    assert {"Mn", "Co", "Ni"} <= set(kin[:8])
    assert not {"O", "P", "Li", "Na", "Ca"} & set(kin)
    assert [r.element for r in replacements(oxygen, True, frozenset())] == ["O"]
    assert "S" in [r.element for r in replacements(oxygen, False, frozenset())]
    assert all(r.cost >= 0 for r in replacements(iron, True, frozenset()))
    assert {r.element for r in replacements(iron, True, frozenset({"Fe", "Mn", "O"}))} == {"Fe", "Mn"}
    frame = {s.element: s.role for s in species_of(prototype("graphite KC8"))}
    assert frame == {"K": "ion", "C": "frame"}


def test_mendeleev_numbers_follow_pettifor() -> None:
    order = [
        "Cs",
        "K",
        "Na",
        "Li",
        "Ca",
        "Ti",
        "Mn",
        "Fe",
        "Co",
        "Ni",
        "Cu",
        "Mg",
        "Zn",
        "Al",
        "Si",
        "P",
        "S",
        "O",
        "F",
    ]
    assert sorted(order, key=mendeleev_number) == order


def test_progress_is_told() -> None:
    seen: list[tuple[int, int]] = []
    batch, _ = GENERATOR.sample(5, condition("Li O Mn", "Li"), np.random.default_rng(0), lambda *a: seen.append(a))
    assert isinstance(batch, CrystalBatch)
    assert seen == [(i, 5) for i in range(1, 6)]
    assert GENERATOR.checkpoint_sha256 is None
