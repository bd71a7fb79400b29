"""Electrode arithmetic against the LiTiO2 documents of the Materials Project, hand calculation, and pymatgen's faults."""

from __future__ import annotations

import gzip
import json

import pytest

from redoxa.data.records import Crystal
from redoxa.data.structures import from_structure
from redoxa.data.units import ION_VALENCE
from redoxa.screening.ions.removal import supercell
from redoxa.screening.physics.electrode import ElectrodeError, Performance, State, insertion_electrode, performance
from tests.unit.screening.conftest import cubic

LI_eV = -1.90753119


@pytest.fixture(scope="module")
def lithium_titanate(shared):
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    with gzip.open(shared / "anchors" / "LiTiO2_batt.json.gz", "rt") as file:
        return [ComputedStructureEntry.from_dict(row) for row in json.load(file)]


def voltages_V(found: Performance) -> tuple[float, ...]:
    return tuple(step.voltage_V for step in found.steps)


@pytest.mark.shared
def test_lithium_titanate_documents(lithium_titanate):
    states = [State(from_structure(e.structure), e.energy) for e in lithium_titanate]
    found = performance(states, "Li", LI_eV)
    assert found.average_voltage_V == pytest.approx(1.84143141, abs=1e-6)
    assert voltages_V(found) == pytest.approx((2.78583901, 0.89702381), abs=1e-6)
    assert found.capacity_grav_mAh_g == pytest.approx(308.7486, rel=1e-6)
    assert found.capacity_vol_mAh_cm3 == pytest.approx(1205.994, rel=1e-6)
    assert found.max_delta_volume == pytest.approx(0.027494, abs=1e-6)
    assert found.energy_vol_Wh_l == pytest.approx(1205.994 * 1.84143141, rel=1e-6)
    assert found.max_voltage_step_V == pytest.approx(2.78583901 - 0.89702381, abs=1e-6)


@pytest.mark.shared
def test_stripped_entries_would_be_wrong_and_ours_are_not_stripped(lithium_titanate):
    from pymatgen.analysis.phase_diagram import PDEntry
    from pymatgen.apps.battery.insertion_battery import InsertionElectrode
    from pymatgen.core import Composition

    metal = PDEntry(Composition("Li"), LI_eV)
    stripped = InsertionElectrode.from_entries(lithium_titanate, metal, strip_structures=True)
    assert stripped.get_capacity_vol() == pytest.approx(1205.994 / 4, rel=1e-6)  # the fault we stay clear of
    ours = insertion_electrode([State(from_structure(e.structure), e.energy) for e in lithium_titanate], "Li", LI_eV)
    assert all(hasattr(entry, "structure") for entry in ours.get_all_entries())


def rocksalt(cation: int, anion: int, a_A: float) -> Crystal:
    return cubic([cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]], a_A)


def ternary(ion: int, a_A: float) -> Crystal:
    return cubic([ion, 22, 8, 8], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0, 0], [0, 0.5, 0]], a_A)


def host(a_A: float) -> Crystal:
    return cubic([22, 8, 8], [[0.5, 0.5, 0.5], [0.5, 0, 0], [0, 0.5, 0]], a_A)


@pytest.mark.parametrize(
    ("ion", "number"), [("Li", 3), ("Na", 11), ("K", 19), ("Mg", 12), ("Ca", 20), ("Zn", 30), ("Al", 13)]
)
def test_one_ion_by_hand(ion, number):
    # V = (E_charged + E_metal - E_discharged) / z = (-20 - 1 + 24) / z
    found = performance([State(ternary(number, 4.0), -24.0), State(host(3.9), -20.0)], ion, -1.0)
    assert found.average_voltage_V == pytest.approx(3.0 / ION_VALENCE[ion])
    assert voltages_V(found) == pytest.approx((3.0 / ION_VALENCE[ion],))
    assert found.max_voltage_step_V == 0
    assert found.max_delta_volume == pytest.approx((4.0 / 3.9) ** 3 - 1)
    # z F / V: one ion in 64 A^3
    assert found.capacity_vol_mAh_cm3 == pytest.approx(ION_VALENCE[ion] * 26801.48 / (64e-24 * 6.02214e23), rel=1e-5)
    assert (found.x_charge, found.x_discharge) == (0, 1)


def test_cells_of_different_size_give_the_same():
    small = performance([State(ternary(3, 4.0), -24.0), State(host(3.9), -20.0)], "Li", -1.0)
    large = performance(
        [State(supercell(ternary(3, 4.0), 3), -72.0), State(supercell(host(3.9), 2), -40.0)], "Li", -1.0
    )
    assert large.average_voltage_V == pytest.approx(small.average_voltage_V)
    assert large.capacity_vol_mAh_cm3 == pytest.approx(small.capacity_vol_mAh_cm3, rel=1e-6)
    assert large.max_delta_volume == pytest.approx(small.max_delta_volume, rel=1e-6)


def test_host_of_a_single_element():
    graphite = Crystal(numbers=[6, 6], frac_coords=[[0, 0, 0], [1 / 3, 2 / 3, 0]],
                       lattice_A=[[2.46, 0, 0], [-1.23, 2.13, 0], [0, 0, 3.4]])  # fmt: skip
    lithiated = Crystal(numbers=[6, 6, 3], frac_coords=[[0, 0, 0], [1 / 3, 2 / 3, 0], [0.66, 0.33, 0.5]],
                        lattice_A=[[2.46, 0, 0], [-1.23, 2.13, 0], [0, 0, 3.7]])  # fmt: skip
    found = performance([State(graphite, -18.0), State(lithiated, -20.1)], "Li", -1.9)
    assert found.average_voltage_V == pytest.approx(0.2)


def test_an_unstable_state_between_is_left_out_and_a_stable_one_makes_a_step():
    full, empty = State(supercell(ternary(3, 4.0), 2), -48.0), State(supercell(host(3.9), 2), -40.0)
    half = supercell(ternary(3, 3.95), 2)
    sites = [i for i, z in enumerate(half.numbers) if z == 3]
    keep = [i for i in range(half.n_atoms) if i != sites[0]]
    half = Crystal(
        numbers=[half.numbers[i] for i in keep], frac_coords=[half.frac_coords[i] for i in keep],
        lattice_A=half.lattice_A,
    )  # fmt: skip
    above = performance([full, State(half, -43.0), empty], "Li", -1.0)
    assert voltages_V(above) == pytest.approx((3.0,))
    below = performance([full, State(half, -44.5), empty], "Li", -1.0)
    assert voltages_V(below) == pytest.approx((3.5, 2.5))
    assert below.max_voltage_step_V == pytest.approx(1.0)
    assert below.average_voltage_V == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("states", "ion", "words"),
    [
        ([State(host(3.9), -20.0)], "Li", "no voltage: 1 states"),
        ([State(ternary(3, 4.0), -24.0), State(ternary(3, 4.1), -23.0)], "Li", "same Li content"),
        ([State(ternary(3, 4.0), -24.0), State(rocksalt(22, 8, 4.0), -20.0)], "Li", "different hosts"),
        ([State(cubic([3], [[0, 0, 0]], 3.4), -2.0), State(host(3.9), -20.0)], "Li", "has no host"),
        ([State(ternary(3, 4.0), -24.0), State(host(3.9), -20.0)], "Fe", "not a working ion"),
    ],
)
def test_what_is_no_electrode_is_said(states, ion, words):
    with pytest.raises(ElectrodeError, match=words):
        performance(states, ion, -1.0)


def test_a_scale_with_large_energies_by_atom_gives_the_same_voltage():
    # PBE+U and r2SCAN differ by tens of eV an atom in heavy elements; shifts by host atom drop out of a voltage.
    voltages = []
    for shift_eV in (0.0, -25.0):
        full = State(ternary(3, 4.0), -20.0 + shift_eV * host(3.9).n_atoms)
        empty = State(host(3.9), -17.9 + shift_eV * host(3.9).n_atoms)
        voltages.append(performance([full, empty], "Li", -2.0).average_voltage_V)
    assert voltages == pytest.approx([0.1, 0.1])
