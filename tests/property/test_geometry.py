"""No property that is geometry depends on the cell, its orientation, its origin or the order of its atoms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redoxa.data.fingerprint import STEP, distance, fingerprint
from redoxa.data.records import Crystal
from redoxa.data.structures import density_g_cm3
from redoxa.data.tables.prototypes import Prototype
from redoxa.screening.gates.topotaxy import Moves, same_host
from redoxa.screening.ions.empty_sites import empty_sites
from redoxa.screening.ions.orderings import ewald_matrix_eV, lowest_orderings
from redoxa.screening.ions.removal import ion_sites, supercell, without
from redoxa.screening.mobility.hops import hop_kinds, network
from redoxa.screening.properties.volume import principal_stretches
from tests.property.strategies import Disguise, disguises, few, hosts, perturbed, seeds

LAYERED = ("O3 LiCoO2", "P2 NaCoO2", "chain Li2CuO2", "layered LiTiS2", "O3' NaMnO2")
MANY_IONS = ("spinel LiMn2O4", "Li-rich Li2MnO3", "perovskite NaFeF3", "borate LiFeBO3")


def each(values: list[float], cells: int) -> list[float]:
    """Values of the atoms of one cell as they come in so many cells, ascending."""
    return sorted(x for x in values for _ in range(cells))


@few(60)
@given(hosts(), disguises())
def test_the_fingerprint_knows_a_crystal_again(host: Prototype, disguise: Disguise):
    crystal, other = host.crystal, disguise.of(host.crystal)
    assert (
        distance(fingerprint(crystal), fingerprint(other)) < STEP / 4
    )  # a shell cut by the last rank moves it a little
    assert density_g_cm3(other) == pytest.approx(density_g_cm3(crystal), rel=1e-5)


@few(25)
@given(hosts(*LAYERED), disguises())
def test_empty_sites(host: Prototype, disguise: Disguise):
    crystals = [without(c, ion_sites(c, host.working_ion)) for c in (host.crystal, disguise.of(host.crystal))]
    plain, other = (empty_sites(c, host.working_ion) for c in crystals)
    for name in ("clearance_A", "bond_valence"):
        expected = each([getattr(s, name) for s in plain], disguise.cells)
        assert sorted(getattr(s, name) for s in other) == pytest.approx(expected, abs=0.02)


@few(40)
@given(hosts(), disguises())
def test_kinds_of_hops(host: Prototype, disguise: Disguise):
    once, again = (hop_kinds(c, host.working_ion, 4.5) for c in (host.crystal, disguise.of(host.crystal)))
    assert [k.distance_A for k in again] == pytest.approx([k.distance_A for k in once], abs=1e-4)
    assert [len(k.edges) for k in again] == [disguise.cells * len(k.edges) for k in once]
    ways = [[(network(k.edges).dimension, k.symmetric) for k in kinds] for kinds in (once, again)]
    assert ways[0] == ways[1]


@few(20)
@given(hosts(*MANY_IONS), disguises(most_cells=1), st.data())
def test_orderings(host: Prototype, disguise: Disguise, data: st.DataObject):
    crystal, ion = host.crystal, host.working_ion
    taken = data.draw(st.integers(1, crystal.composition[ion] - 1))
    states = {e: 1.0 if e == ion else -0.5 for e in crystal.composition}
    energies = []
    for form in (crystal, disguise.of(crystal)):
        sites = ion_sites(form, ion)
        found = lowest_orderings(form, sites, taken, most=100, states=states)
        matrix_eV, rest = ewald_matrix_eV(form, states), set(range(form.n_atoms)) - set(sites)
        kept = [sorted(rest | set(choice)) for choice in found.choices]
        energies.append([matrix_eV[np.ix_(k, k)].sum() for k in kept])
    assert energies[1] == pytest.approx(energies[0], abs=1e-3)
    assert energies[0] == pytest.approx(sorted(energies[0]), abs=1e-5)


@few(12)
@given(hosts("lithiated spinel LiTiO2", "chain Ca3Co2O6"), disguises(most_cells=1))
def test_orderings_of_one_energy_come_in_one_order(host: Prototype, disguise: Disguise):
    crystal = supercell(host.crystal, 2)
    marks = []
    for form in (crystal, disguise.of(crystal)):
        sites = ion_sites(form, host.working_ion)
        found = lowest_orderings(form, sites, len(sites) // 2, most=3)
        marks.append([fingerprint(without(form, set(sites) - set(stay))) for stay in found.choices])
    assert all(distance(a, b) < STEP / 4 for a, b in zip(*marks, strict=True))


@few(40)
@given(hosts(), disguises(), seeds, disguises())
def test_lattice_strain(host: Prototype, disguise: Disguise, seed: int, turned: Disguise):
    end = perturbed(host.crystal, seed)
    once = principal_stretches(host.crystal, end)
    both = principal_stretches(disguise.of(host.crystal), disguise.of(end))
    assert both == pytest.approx(once, abs=1e-5)
    alone = Disguise(((1, 0, 0), (0, 1, 0), (0, 0, 1)), turned.rotation, turned.shift, 0)
    assert principal_stretches(host.crystal, alone.of(end)) == pytest.approx(once, abs=1e-5)


@few(30)
@given(hosts(), disguises(), seeds, st.booleans(), st.floats(-0.5, 0.5))
def test_shifts_of_atoms(host: Prototype, disguise: Disguise, seed: int, emptied: bool, drift: float):
    ion = host.working_ion
    full, other = host.crystal, perturbed(host.crystal, seed)

    def moves(a: Crystal, b: Crystal) -> Moves:
        return Moves.between(a, without(b, ion_sites(b, ion)) if emptied else b, ion)

    once = moves(full, other)
    again = moves(disguise.of(full), drifted(disguise.of(other, like=full), drift))
    for name in ("host_shifts_A", "ion_shifts_A"):
        expected = each(getattr(once, name).tolist(), disguise.cells)
        assert sorted(getattr(again, name).tolist()) == pytest.approx(expected, abs=1e-4)
    assert len(once.ion_shifts_A) == (0 if emptied else full.composition[ion])


def drifted(crystal: Crystal, along: float) -> Crystal:
    return crystal.model_copy(update={"frac_coords": tuple((x + along, y, z) for x, y, z in crystal.frac_coords)})


@few(8)
@given(hosts(*LAYERED), disguises(), seeds)
def test_a_host_is_the_same_however_it_is_written(host: Prototype, disguise: Disguise, seed: int):
    moved = disguise.of(perturbed(host.crystal, seed, amplitude_A=0.05, strain=0.01))
    emptied = without(moved, ion_sites(moved, host.working_ion))
    assert same_host(host.crystal, emptied, host.working_ion)
