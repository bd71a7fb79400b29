"""Oxygen release: reactions by hand, the gas against tables, and known oxides on the shipped reference."""

from __future__ import annotations

import pytest

from redoxa.data.errors import InputError
from redoxa.data.tables.reference import load_reference
from redoxa.screening.contract import check_gate
from redoxa.screening.physics.hull_energy import Competitors, candidate_entry, formula_atoms
from redoxa.screening.properties.oxygen import (
    LAST_K,
    OxygenReleaseTemperature,
    oxygen_potential_eV,
    oxygen_release,
    release_temperature_K,
)
from tests.unit.screening.conftest import IRON_OXIDES, TERNARY, around_of, reference_of, state, subject_of


def test_the_gas_is_that_of_the_tables():
    # JANAF at 1000 K: H - H(298 K) = 22.70 kJ/mol, S = 243.6 J/(mol K)
    assert oxygen_potential_eV(1000.0, 1.0) == pytest.approx((22.70 - 243.6) / 96.485, abs=0.01)
    assert oxygen_potential_eV(1000.0, 0.21) - oxygen_potential_eV(1000.0, 1.0) == pytest.approx(-0.1345, abs=1e-3)
    assert oxygen_potential_eV(0.0) == 0.0


@pytest.mark.parametrize(("temperature_K", "pressure_atm"), [(-1.0, 0.21), (2500.0, 0.21), (300.0, 0.0)])
def test_what_the_tables_lack_is_refused(temperature_K, pressure_atm):
    with pytest.raises(InputError):
        oxygen_potential_eV(temperature_K, pressure_atm)


def test_the_temperature_is_where_the_gas_repays_the_reaction():
    assert release_temperature_K(-oxygen_potential_eV(900.0)) == pytest.approx(900.0, abs=0.1)
    assert release_temperature_K(2.0, 1.0) > release_temperature_K(2.0, 0.21)
    assert release_temperature_K(-0.1) == 0.0
    assert release_temperature_K(99.0) == LAST_K


def test_the_first_reaction_by_hand():
    phases = Competitors(reference_of(IRON_OXIDES).entries({"Fe", "O"}))
    found = oxygen_release(phases, "Fe2O3", IRON_OXIDES["Fe2O3"], IRON_OXIDES["O2"])
    assert found.reaction == "6 Fe2O3 -> 4 Fe3O4 + O2"
    by_hand_eV = 28 * IRON_OXIDES["Fe3O4"] + 2 * IRON_OXIDES["O2"] - 30 * IRON_OXIDES["Fe2O3"]
    assert found.energy_eV_per_O2 == pytest.approx(by_hand_eV)
    assert found.direct_eV_per_O2 == pytest.approx(by_hand_eV)


def test_a_metastable_crystal_pays_less_than_its_hull():
    own = -7.3  # FeO2; 5/6 Fe2O3 + 1/6 O2 lie at -7.4
    phases = Competitors([*reference_of(IRON_OXIDES).entries({"Fe", "O"}), candidate_entry("FeO2", own)])
    found = oxygen_release(phases, "FeO2", own, IRON_OXIDES["O2"])
    assert found.energy_eV_per_O2 == 0.0  # the lowest mixture holds free oxygen
    assert found.reaction == "4 FeO2 -> 2 Fe2O3 + O2"
    assert found.direct_eV_per_O2 == pytest.approx(-12 * 0.1)


def test_nothing_to_give_off():
    phases = Competitors(reference_of(IRON_OXIDES).entries({"Li", "Fe", "O"}))
    assert oxygen_release(phases, "Fe", -8.4, -4.9) is None


def test_the_property_looks_at_the_charged_state():
    subject = subject_of(state([3, 26, 8, 8], -6.1), state([26, 8, 8], -6.5))
    found = check_gate(OxygenReleaseTemperature(), subject, around_of(TERNARY))
    # FeO2 0.1 eV/atom below 5/6 Fe2O3 + 1/6 O2: 4 FeO2 -> 2 Fe2O3 + O2 costs 12 x 0.1
    assert found.notes["oxygen_release_charge"] == "4 FeO2 -> 2 Fe2O3 + O2: 1.20 eV/O2"
    assert found.estimate.value == pytest.approx(release_temperature_K(1.2))
    assert found.estimate.sigma > 200
    assert "oxygen_release_discharge" in found.notes


def test_no_oxygen_no_number():
    subject = subject_of(state([3, 26], -5.0), state([26], -8.4))
    found = OxygenReleaseTemperature().evaluate(subject, around_of(TERNARY))
    assert (found.estimate, found.notes) == (None, {})


def test_cobalt_oxide_falls_apart_sooner_than_iron_phosphate():
    reference = load_reference()

    def temperature_K(formula: str) -> float:
        phases = reference.entries(formula_atoms(formula))
        own_eV = next(e.energy_eV_per_atom for e in phases if e.formula == formula)
        found = oxygen_release(Competitors(phases), formula, own_eV, reference.ion_metal_energy("O"))
        return release_temperature_K(found.energy_eV_per_O2)

    assert temperature_K("CoO2") < 600 < temperature_K("FePO4")
