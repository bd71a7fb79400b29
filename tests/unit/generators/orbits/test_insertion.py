"""Empty places: the ion that was taken out of a known electrode is put back where it was."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher

from redoxa.data.structures import to_structure
from redoxa.data.symmetry.normaliser import canonical
from redoxa.data.symmetry.symmetric import Orbit, SymmetricCrystal, symmetric
from redoxa.data.tables.prototypes import load_prototypes, prototype
from redoxa.generators.orbits.insertion import CLEARANCE_A, MOST_SITES, insertions


def host_of(name: str, ion: int) -> tuple[SymmetricCrystal, SymmetricCrystal]:
    full = canonical(symmetric(prototype(name).crystal))
    return full, replace(full, orbits=tuple(o for o in full.orbits if o.number != ion))


@pytest.mark.parametrize(
    ("name", "ion"),
    [("olivine LiFePO4", 3), ("O3 NaCoO2", 11), ("spinel LiMn2O4", 3), ("layered LiTiS2", 3), ("tavorite LiVPO4F", 3)],
)
def test_the_ion_finds_back(name: str, ion: int) -> None:
    full, host = host_of(name, ion)
    found = insertions(host, ion)
    matcher, truth = StructureMatcher(), to_structure(full.to_crystal())
    assert any(matcher.fit(to_structure(form.to_crystal()), truth) for form in found)


@pytest.mark.slow
def test_ions_of_the_library_find_back() -> None:
    hits = asked = 0
    for entry in load_prototypes("electrodes"):
        full = canonical(symmetric(entry.crystal))
        ions = [o for o in full.orbits if o.number in {3, 11, 12, 19, 20, 30}]
        if len({o.number for o in ions}) != 1 or len(ions) != 1:
            continue
        asked += 1
        _, host = host_of(entry.name, ions[0].number)
        truth = to_structure(full.to_crystal())
        hits += any(
            StructureMatcher().fit(to_structure(form.to_crystal()), truth) for form in insertions(host, ions[0].number)
        )
    assert asked > 50
    assert hits >= asked - 3


def test_places_are_empty_and_differ() -> None:
    _, host = host_of("olivine LiFePO4", 3)
    found = insertions(host, 3)
    assert len({(form.orbits[-1].letter, form.orbits[-1].free) for form in found}) == len(found)
    for form in found:
        assert form.orbits[:-1] == host.orbits
        structure = to_structure(form.to_crystal())
        ions = [i for i, site in enumerate(structure) if site.specie.Z == 3]
        assert len(ions) <= MOST_SITES
        distances = structure.distance_matrix[ions]
        assert distances[distances > 0].min() >= CLEARANCE_A - 1e-6


def test_a_dense_metal_has_no_room() -> None:
    assert insertions(SymmetricCrystal(229, (Orbit("a", 26, ()),), (2.87,)), 3) == []
