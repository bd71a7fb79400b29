"""Symmetry-distinct orderings: all of them, the lowest first, whatever the cell, its origin or the order of its atoms."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from redoxa.data.records import Crystal
from redoxa.data.structures import to_structure
from redoxa.data.tables.prototypes import prototype
from redoxa.screening.ions import orderings
from redoxa.screening.ions.orderings import ewald_matrix_eV, lowest_orderings
from redoxa.screening.ions.removal import ion_sites, supercell, without
from tests.unit.screening.conftest import cubic

OXIDE = {"Li": 1.0, "Co": 3.0, "O": -2.0}


def ewald_eV(crystal: Crystal, states: dict[str, float]) -> float:
    from pymatgen.analysis.ewald import EwaldSummation

    structure = to_structure(crystal)
    structure.add_oxidation_state_by_element(states)
    return float(EwaldSummation(structure).total_energy)


def test_the_ewald_matrix_sums_to_the_total():
    full = prototype("O3 LiCoO2").crystal
    assert ewald_matrix_eV(full, OXIDE).sum() == pytest.approx(ewald_eV(full, OXIDE), abs=1e-6)


@pytest.mark.parametrize("taken", [1, 2, 3])
def test_the_first_ordering_has_the_lowest_ewald_energy(taken):
    full = supercell(prototype("O3 LiCoO2").crystal, 4)
    sites = ion_sites(full, "Li")
    left = {stay: ewald_eV(without(full, set(sites) - set(stay)), OXIDE) for stay in combinations(sites, taken)}
    (first, *_) = lowest_orderings(full, sites, taken).choices
    # the neutralising background of the charged cell is the same for every ordering
    assert left[first] == pytest.approx(min(left.values()), abs=1e-4)


@pytest.mark.parametrize("name", ["O3 LiCoO2", "layered LiTiS2", "olivine LiFePO4"])
def test_as_many_distinct_orderings_as_structure_matching_finds(name):
    from pymatgen.analysis.structure_matcher import StructureMatcher

    full = supercell(prototype(name).crystal, 1 if name.startswith("olivine") else 4)
    sites = ion_sites(full, prototype(name).working_ion)
    for taken in (1, 2, 3):
        found = lowest_orderings(full, sites, taken, most=1000)
        assert found.exhaustive
        matcher = StructureMatcher(primitive_cell=False, scale=False, ltol=0.01, stol=0.01, angle_tol=0.1)
        every = [to_structure(without(full, set(sites) - set(stay))) for stay in combinations(sites, taken)]
        assert len(found.choices) == len(matcher.group_structures(every))


def test_the_order_of_atoms_the_origin_and_a_rotation_change_nothing():
    full = supercell(prototype("O3 LiCoO2").crystal, 6)
    order = np.random.default_rng(1).permutation(full.n_atoms)
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    other = Crystal(
        numbers=[full.numbers[i] for i in order],
        frac_coords=[[x + 0.137 for x in full.frac_coords[i]] for i in order],
        lattice_A=(np.array(full.lattice_A) @ turn).tolist(),
    )
    energies = []
    for crystal in (full, other):
        sites = ion_sites(crystal, "Li")
        found = lowest_orderings(crystal, sites, 3, most=100)
        energies.append([ewald_eV(without(crystal, set(sites) - set(stay)), OXIDE) for stay in found.choices])
    assert energies[0] == pytest.approx(energies[1], abs=1e-3)
    assert energies[0] == sorted(energies[0])


def test_sampling_finds_what_enumeration_finds(monkeypatch):
    full = supercell(prototype("O3 LiCoO2").crystal, 12)
    sites = ion_sites(full, "Li")
    states = {"Li": 1.0, "Co": 3.0, "O": -2.0}
    best = lowest_orderings(full, sites, 6, states=states)
    monkeypatch.setattr(orderings, "MAX_ENUMERATED", 10)
    sampled = lowest_orderings(full, sites, 6, states=states)
    assert (best.exhaustive, sampled.exhaustive) == (True, False)
    lowest, found = (ewald_eV(without(full, set(sites) - set(x.choices[0])), OXIDE) for x in (best, sampled))
    assert found == pytest.approx(lowest, abs=1e-4)
    assert sampled == lowest_orderings(full, sites, 6, states=states)  # the same every time


def test_ions_of_an_unknown_host_keep_apart():
    line = cubic([3] * 4 + [28], [[i / 4, 0, 0] for i in range(4)] + [[0.5, 0.5, 0.5]], 12.0)
    (stay,) = lowest_orderings(line, [0, 1, 2, 3], 2).choices
    assert stay in ((0, 2), (1, 3))


def test_sites_too_near_are_never_taken_together():
    pair = cubic([3, 3, 3, 28], [[0, 0, 0], [0.1, 0, 0], [0.5, 0, 0], [0.5, 0.5, 0.5]], 10.0)
    found = lowest_orderings(pair, [0, 1, 2], 2, most=10, apart_A=2.0)
    assert {frozenset(x) for x in found.choices} == {frozenset({0, 2}), frozenset({1, 2})}
    assert lowest_orderings(pair, [0, 1, 2], 3, apart_A=2.0).choices == ()


def test_none_and_all_taken():
    full = prototype("olivine LiFePO4").crystal
    sites = ion_sites(full, "Li")
    assert lowest_orderings(full, sites, 0).choices == ((),)
    assert lowest_orderings(full, sites, 4).choices == (tuple(sites),)
    with pytest.raises(ValueError, match="5 of 4"):
        lowest_orderings(full, sites, 5)
