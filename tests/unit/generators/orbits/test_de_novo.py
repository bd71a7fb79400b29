"""New crystals: new, different, neutral, as asked for, and from a skeleton, a host or part of a crystal."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher

from redoxa.data.chemistry import is_charge_balanced
from redoxa.data.crystal import CrystalBatch
from redoxa.data.errors import GenerationError
from redoxa.data.fingerprint import spacegroup
from redoxa.data.records import Crystal
from redoxa.data.structures import to_structure
from redoxa.data.symmetry.symmetric import Orbit, SymmetricCrystal, symmetric
from redoxa.data.tables.known_materials import load_known_materials
from redoxa.data.tables.prototypes import prototype
from redoxa.generators.base import Condition
from redoxa.generators.evaluate.novelty import SkeletonLibrary
from redoxa.generators.orbits.generator import OrbitsGenerator

LI, O, NA, P, S, MN, FE, AT = 3, 8, 11, 15, 16, 25, 26, 85


MAGNESIA = SymmetricCrystal(225, (Orbit("a", 12, ()), Orbit("b", 8, ())), (4.21,)).to_crystal()


@pytest.fixture(scope="module")
def generator() -> OrbitsGenerator:
    return OrbitsGenerator()


@pytest.fixture(scope="module")
def sixty(generator: OrbitsGenerator) -> tuple[CrystalBatch, list[str]]:
    """New crystals of any kind, and their labels."""
    return generator.sample(60, Condition(), np.random.default_rng(1))


def sample(generator: OrbitsGenerator, n: int, condition: Condition, seed: int = 0) -> list[Crystal]:
    return generator.sample(n, condition, np.random.default_rng(seed))[0].to_crystals()


def without(crystal: Crystal, number: int) -> Crystal:
    sites = [i for i, z in enumerate(crystal.numbers) if z != number]
    return Crystal(
        numbers=tuple(crystal.numbers[i] for i in sites),
        frac_coords=[crystal.frac_coords[i] for i in sites],
        lattice_A=crystal.lattice_A,
    )


def test_new_crystals_are_new_different_and_balanced(generator: OrbitsGenerator) -> None:
    crystals = sample(generator, 60, Condition())
    known = load_known_materials()
    for crystal in crystals:
        assert not known.knows_formula(crystal.formula)
        assert is_charge_balanced(crystal.composition, alloys=True)
    assert len({c.formula for c in crystals}) > 55
    assert sum(spacegroup(c, 0.01) == 1 for c in crystals) == 0


def test_the_space_group_is_the_one_that_is_named(sixty: tuple[CrystalBatch, list[str]]) -> None:
    batch, labels = sixty
    named = [int(label.split(":")[0].split()[-1]) for label in labels]
    found = [spacegroup(crystal, 0.01) for crystal in batch.to_crystals()]
    assert sum(f >= n for f, n in zip(found, named, strict=True)) == 60
    assert sum(f == n for f, n in zip(found, named, strict=True)) >= 57


def test_some_skeletons_are_new(generator: OrbitsGenerator, sixty: tuple[CrystalBatch, list[str]]) -> None:
    batch, labels = sixty
    new = [c for c, label in zip(batch.to_crystals(), labels, strict=True) if label.startswith("new skeleton")]
    assert 1 <= len(new) <= 15
    library = SkeletonLibrary(generator.proposer.table)
    assert all(library.is_new(crystal) for crystal in new)


def test_where_the_memory_has_none_all_skeletons_are_new(generator: OrbitsGenerator) -> None:
    table = generator.proposer.table
    atoms = table.compositions.sum(1)
    groups = frozenset(range(16, 195)) - set(table.groups[atoms <= 12].tolist())
    condition = Condition(frozenset({LI, O, P, S, FE, MN, NA}), frozenset({LI}), groups=groups, n_atoms=(2, 12))
    batch, labels = generator.sample(3, condition, np.random.default_rng(0))
    for crystal, label in zip(batch.to_crystals(), labels, strict=True):
        assert label == f"new skeleton, space group {spacegroup(crystal, 0.01)}"
        assert spacegroup(crystal, 0.01) in groups
        assert crystal.n_atoms <= 12
        assert "Li" in crystal.composition
        assert set(crystal.numbers) <= condition.allowed


def test_a_skeleton_is_kept(generator: OrbitsGenerator) -> None:
    olivine = prototype("olivine LiFePO4").crystal
    wanted = Condition(frozenset({NA, MN, P, S, O, FE}), frozenset({NA}), like=olivine, keep=frozenset({P, O}))
    for crystal in sample(generator, 2, wanted):
        assert spacegroup(crystal, 0.01) == 62
        assert (crystal.composition["P"], crystal.composition["O"]) == (4, 16)
        assert "Na" in crystal.composition
        letters = Counter(o.letter for o in symmetric(crystal).orbits)
        assert letters == Counter(o.letter for o in symmetric(olivine).orbits)


def test_an_exchanged_ion_takes_its_room(generator: OrbitsGenerator) -> None:
    layered = prototype("O3 LiCoO2").crystal
    wanted = Condition(frozenset({NA, 27, O}), frozenset({NA}), like=layered, keep=frozenset({27, O}))
    (crystal,) = sample(generator, 1, wanted)
    assert crystal.formula == "NaCoO2"
    assert 1.05 < crystal.volume_A3 / layered.volume_A3 < 1.35  # measured cells: 37.5 against 32.3 A^3, 1.16


def test_the_ion_is_put_into_an_empty_host(generator: OrbitsGenerator) -> None:
    full = prototype("olivine LiFePO4").crystal
    host = without(full, LI)
    batch, _ = generator.sample(
        3, Condition(required=frozenset({LI}), like=host, keep=frozenset({FE, P, O})), np.random.default_rng(0)
    )
    crystals = batch.to_crystals()
    assert all("Li" in c.composition for c in crystals)
    assert any(StructureMatcher().fit(to_structure(c), to_structure(full)) for c in crystals)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (Condition(required=frozenset({AT}), allowed=frozenset({AT})), "At: no crystal of the memory holds it"),
        (Condition(allowed=frozenset({O}), required=frozenset({LI})), "Li: required, not allowed"),
        (Condition(n_atoms=(19, 19), groups=frozenset({230})), "orbits found only 0"),
        (Condition(allowed=frozenset({LI}), n_atoms=(2, 2), groups=frozenset({225, 229})), "orbits found only"),
        (Condition(like=MAGNESIA, keep=frozenset({LI})), "Li: to be kept, but not in MgO"),
        (Condition(like=MAGNESIA, keep=frozenset({12, O})), "require one more element"),
    ],
)
def test_what_cannot_be_met_is_said(generator: OrbitsGenerator, condition: Condition, message: str) -> None:
    with pytest.raises(GenerationError, match=message):
        sample(generator, 40, condition)
