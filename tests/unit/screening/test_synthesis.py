"""Reaction energies against measured ones, gases against the tables, and routes against chemistry that is known."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from redoxa.data.errors import InputError
from redoxa.data.lab.recipe import Atmosphere
from redoxa.data.records import Verdict
from redoxa.data.synthesis.catalogue import default_catalogue
from redoxa.data.synthesis.reaction import Reaction, balance
from redoxa.data.synthesis.route import Route, RouteEnergy, find_routes
from redoxa.data.tables.reference import load_reference
from redoxa.screening.base import Model, Subject, Surroundings
from redoxa.screening.compute.relax import Relaxation
from redoxa.screening.contract import check_gate
from redoxa.screening.physics.furnace import (
    EV_PER_KJ_MOL,
    DECARBONATION_kJ_mol,
    fit_carbon_dioxide,
    gas_energy_eV,
    gas_thermal_eV,
    reduced_mass_amu,
    solid_thermal_eV_per_atom,
)
from redoxa.screening.physics.hulls import Hulls
from redoxa.screening.physics.reaction_energy import Furnace, Phase, ReactionEnergies
from redoxa.screening.properties.synthesis import SYNTHESIS_SIGMA_eV_PER_ATOM, SynthesisEnergy, energies_of
from redoxa.screening.settings import Range, ScreenSettings
from tests.unit.screening.conftest import candidate, cubic, from_library, reference_of

# -- gases and solids at temperature -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gas", "temperature_K", "entropy_J_mol_K", "enthalpy_kJ_mol"),
    [  # S(T) and H(T) - H(298.15 K) of the NIST-JANAF tables
        ("O2", 1000, 243.578, 22.703), ("O2", 1500, 258.068, 40.599), ("CO2", 1000, 269.299, 33.397), ("CO2", 1500, 292.199, 61.705),
    ],
)  # fmt: skip
def test_gases_equal_the_janaf_tables(gas, temperature_K, entropy_J_mol_K, enthalpy_kJ_mol):
    expected = (enthalpy_kJ_mol - temperature_K * entropy_J_mol_K / 1000) * EV_PER_KJ_MOL
    assert gas_thermal_eV(gas, temperature_K) == pytest.approx(expected, abs=0.01)


def test_pressure_and_the_ends_of_the_tables():
    thin, full = (gas_energy_eV(-9.0, "O2", 1000, p) for p in (0.21, 1.0))
    assert full - thin == pytest.approx(-8.617333e-5 * 1000 * math.log(0.21), rel=1e-6)
    assert gas_thermal_eV("O2", 1050) == pytest.approx((gas_thermal_eV("O2", 1000) + gas_thermal_eV("O2", 1100)) / 2)
    with pytest.raises(InputError, match="300 to 2000 K"):
        gas_thermal_eV("CO2", 200)


def test_the_descriptor_of_solids_by_hand():
    # NaCl at 1000 K: 22.4 A^3 by atom, reduced mass 22.990 * 35.45 / 58.44 = 13.946
    salt = cubic([11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]], 44.8 ** (1 / 3))
    by_hand = (-2.48e-4 * math.log(22.4) - 8.94e-5 * 13.946 / 22.4) * 1000 + 0.181 * math.log(1000) - 0.882
    assert solid_thermal_eV_per_atom(salt, 1000) == pytest.approx(by_hand, abs=1e-3)
    assert reduced_mass_amu({"Na": 2, "Cl": 2}) == pytest.approx(13.946, abs=1e-3)
    with pytest.raises(InputError):
        solid_thermal_eV_per_atom(cubic([11], [[0, 0, 0]], 3.0), 1000)


def test_calcite_gives_off_its_gas_near_the_measured_temperature():
    # 1 atm of CO2 at 1168 K; 12.25 A^3 by atom
    calcite = cubic([20, 6, 8, 8, 8], [[i / 5, 0, 0] for i in range(5)], 61.24 ** (1 / 3))
    enthalpy_eV = DECARBONATION_kJ_mol["CaCO3", "CaO"] * EV_PER_KJ_MOL

    def change_eV(temperature_K: float) -> float:
        return (
            enthalpy_eV + gas_thermal_eV("CO2", temperature_K) - 3 * solid_thermal_eV_per_atom(calcite, temperature_K)
        )

    assert change_eV(1168 - 150) > 0 > change_eV(1168 + 150)


def test_carbon_dioxide_is_what_makes_carbonates_decompose_as_measured():
    oxides = {oxide: -10.0 - i for i, (_, oxide) in enumerate(DECARBONATION_kJ_mol)}
    energies = {
        **oxides,
        **{c: oxides[o] - 20.0 - h * EV_PER_KJ_MOL for (c, o), h in DECARBONATION_kJ_mol.items()},
    }
    found = fit_carbon_dioxide(energies)
    assert found.energy_eV == pytest.approx(-20.0)
    assert found.spread_eV == pytest.approx(0, abs=1e-9)
    assert found.n_carbonates == len(DECARBONATION_kJ_mol)
    assert fit_carbon_dioxide({f: e for f, e in energies.items() if f[:2] in ("Ca", "Mg")}) is None


# -- reactions by hand -------------------------------------------------------------------------------------------------


def phase(formula: str, atoms: dict[str, float], energy_eV: float) -> Phase:
    return Phase(formula, atoms, energy_eV)


GASES_eV = {"air": -10.0, "oxygen": -9.9, "argon": -11.0, "nitrogen": -11.0, "argon/hydrogen 95/5": -14.0}
COLD = Furnace(oxygen_eV=GASES_eV, carbon_dioxide_eV=-24.0, solid_eV_per_atom=0.0)
MGO = phase("MgO", {"Mg": 1, "O": 1}, -12.0)
AL2O3 = phase("Al2O3", {"Al": 2, "O": 3}, -35.0)
SPINEL = phase("MgAl2O4", {"Mg": 1, "Al": 2, "O": 4}, -47.7)
OTHER = phase("MgAl4O7", {"Mg": 1, "Al": 4, "O": 7}, -82.5)


def reaction(target: str, *powders: str, gas: str | None = "O2") -> Reaction:
    rows = default_catalogue().by_formula
    found = balance(target, [rows[p] for p in powders], gas)
    assert found is not None
    return found


def energy(target: Phase, known: list[Phase], *powders: str, atmosphere: Atmosphere = "air") -> RouteEnergy:
    found = ReactionEnergies(target, known, COLD)(reaction(target.formula, *powders), atmosphere)
    assert found is not None
    return found


def test_two_oxides_by_hand():
    found = energy(SPINEL, [MGO, AL2O3], "MgO", "Al2O3")
    assert found.driving_force_eV_per_atom == pytest.approx(-0.7 / 7)
    assert found.inverse_hull_eV_per_atom == pytest.approx(-0.7 / 7)  # its precursors are its only rivals
    assert set(found.rivals) == {"MgO", "Al2O3"}


def test_a_rival_makes_the_target_shallower_but_not_less_downhill():
    found = energy(SPINEL, [MGO, AL2O3, OTHER], "MgO", "Al2O3")
    assert found.driving_force_eV_per_atom == pytest.approx(-0.7 / 7)
    # half of MgAl4O7 and half of MgO: -41.25 - 6.0
    assert found.inverse_hull_eV_per_atom == pytest.approx((-47.7 + 47.25) / 7)
    assert set(found.rivals) == {"MgAl4O7", "MgO"}


def test_a_lower_polymorph_is_a_rival_and_the_same_crystal_is_not():
    same = phase("MgAl2O4", SPINEL.atoms, -47.7 - 0.01)
    assert "MgAl2O4" not in energy(SPINEL, [MGO, AL2O3, same], "MgO", "Al2O3").rivals
    lower = phase("MgAl2O4", SPINEL.atoms, -47.7 - 0.7)
    found = energy(SPINEL, [MGO, AL2O3, lower], "MgO", "Al2O3")
    assert found.rivals == ("MgAl2O4",)
    assert found.inverse_hull_eV_per_atom == pytest.approx(0.1)


def test_gases_are_balanced_and_paid_for():
    target = phase("LiCoO2", {"Li": 1, "Co": 1, "O": 2}, -24.0)
    carbonate = phase("Li2CO3", {"Li": 2, "C": 1, "O": 3}, -38.0)
    spinel = phase("Co3O4", {"Co": 3, "O": 4}, -44.0)
    found = energy(target, [carbonate, spinel], "Li2CO3", "Co3O4")
    by_hand = -24.0 + 0.5 * -24.0 - (0.5 * -38.0 + -44.0 / 3 + -10.0 / 12)
    assert found.driving_force_eV_per_atom == pytest.approx(by_hand / 4)


def test_a_carbonate_that_the_reference_lacks_counts_as_its_oxide():
    target = phase("LiCoO2", {"Li": 1, "Co": 1, "O": 2}, -24.0)
    oxide, spinel = phase("Li2O", {"Li": 2, "O": 1}, -14.0), phase("Co3O4", {"Co": 3, "O": 4}, -44.0)
    found = energy(target, [oxide, spinel], "Li2CO3", "Co3O4")
    assert found.driving_force_eV_per_atom == pytest.approx((-24.0 - (0.5 * -14.0 - 44.0 / 3 - 10.0 / 12)) / 4)


def test_oxygen_leaves_more_easily_the_less_there_is_of_it():
    target = phase("MgMn2O4", {"Mg": 1, "Mn": 2, "O": 4}, -46.0)
    known = [MGO, phase("MnO2", {"Mn": 1, "O": 2}, -22.0)]
    force = {
        gas: energy(target, known, "MgO", "MnO2", atmosphere=gas).driving_force_eV_per_atom
        for gas in ("air", "argon", "argon/hydrogen 95/5")
    }
    assert force["air"] - force["argon"] == pytest.approx(0.5 * 1.0 / 7)
    assert force["argon"] - force["argon/hydrogen 95/5"] == pytest.approx(0.5 * 3.0 / 7)


def test_a_rival_may_take_oxygen_from_air_and_not_from_argon():
    target = phase("LiMnO2", {"Li": 1, "Mn": 1, "O": 2}, -25.0)
    known = [
        phase("Li2CO3", {"Li": 2, "C": 1, "O": 3}, -38.0), phase("Mn2O3", {"Mn": 2, "O": 3}, -34.0),
        phase("Li2MnO3", {"Li": 2, "Mn": 1, "O": 3}, -39.0), phase("LiMn2O4", {"Li": 1, "Mn": 2, "O": 4}, -50.0),
    ]  # fmt: skip
    in_air = energy(target, known, "Li2CO3", "Mn2O3")
    in_argon = energy(target, known, "Li2CO3", "Mn2O3", atmosphere="argon")
    assert set(in_air.rivals) == {"Li2MnO3", "LiMn2O4"}
    # 3 LiMnO2 + O2 / 2 -> Li2MnO3 + LiMn2O4: -39 - 50 against -75 - 5
    assert in_air.inverse_hull_eV_per_atom == pytest.approx((-80 + 89) / 12)
    assert in_argon.inverse_hull_eV_per_atom < in_air.inverse_hull_eV_per_atom


def test_what_the_reference_lacks_has_no_energy():
    assert ReactionEnergies(SPINEL, [MGO], COLD)(reaction("MgAl2O4", "MgO", "Al2O3"), "air") is None


# -- on the shipped reference ------------------------------------------------------------------------------------------

FORMATION_kJ_mol = {
    "MgO": -601.6, "CaO": -634.9, "SiO2": -910.7, "Al2O3": -1675.7, "TiO2": -944.0, "FeO": -272.0, "Fe2O3": -824.2, "Fe3O4": -1118.4,
    "MnO": -385.2, "Mn2O3": -959.0, "MnO2": -520.0, "Mn3O4": -1387.8, "CoO": -237.9, "Co3O4": -891.0, "ZnO": -350.5, "P2O5": -1492.0,
    "CaCO3": -1207.6, "Li2CO3": -1215.9, "Na2CO3": -1130.7, "MgAl2O4": -2299.9, "Mg2SiO4": -2174.0, "MgSiO3": -1549.0,
    "CaSiO3": -1634.9, "CaTiO3": -1660.6, "MgTiO3": -1572.8, "Li2SiO3": -1648.1, "Li3PO4": -2095.8, "Na2SiO3": -1554.9,
    "LiAlO2": -1188.7, "NaAlO2": -1133.2, "Na3PO4": -1917.4, "Fe2SiO4": -1479.9, "Zn2SiO4": -1636.7, "NaFeO2": -698.2,
    "CO2": -393.51, "O2": 0.0,
}  # fmt: skip
"""CRC Handbook of Chemistry and Physics, 97th ed. (2016), section 5; P2O5 as half of P4O10."""

MEASURED = {
    "CaSiO3": {"CaCO3": 1, "SiO2": 1}, "MgSiO3": {"MgO": 1, "SiO2": 1}, "Mg2SiO4": {"MgO": 2, "SiO2": 1},
    "MgAl2O4": {"MgO": 1, "Al2O3": 1}, "CaTiO3": {"CaCO3": 1, "TiO2": 1}, "MgTiO3": {"MgO": 1, "TiO2": 1},
    "Li2SiO3": {"Li2CO3": 1, "SiO2": 1}, "Li3PO4": {"Li2CO3": 1.5, "P2O5": 0.5}, "LiAlO2": {"Li2CO3": 0.5, "Al2O3": 0.5},
    "NaAlO2": {"Na2CO3": 0.5, "Al2O3": 0.5}, "Na2SiO3": {"Na2CO3": 1, "SiO2": 1}, "Na3PO4": {"Na2CO3": 1.5, "P2O5": 0.5},
    "Fe2SiO4": {"FeO": 2, "SiO2": 1}, "Zn2SiO4": {"ZnO": 2, "SiO2": 1}, "NaFeO2": {"Na2CO3": 0.5, "Fe2O3": 0.5},
    "Fe3O4": {"FeO": 1, "Fe2O3": 1}, "Mn3O4": {"MnO": 1, "Mn2O3": 1}, "Fe2O3": {"FeO": 2}, "Mn2O3": {"MnO2": 2},
    "Co3O4": {"CoO": 3},
}  # fmt: skip


@cache
def shipped():
    return load_reference()


@cache
def energy_eV(formula: str) -> float:
    from pymatgen.core import Composition

    composition = Composition(formula)
    entries = shipped().entries({str(e) for e in composition})
    (found,) = (e for e in entries if e.formula == formula)
    return found.energy_eV_per_atom * composition.num_atoms


def test_sigma_is_the_error_against_measured_reactions():
    from pymatgen.core import Composition

    pairs = {f: energy_eV(f) for pair in DECARBONATION_kJ_mol for f in pair}
    gas_eV = {"CO2": fit_carbon_dioxide(pairs).energy_eV, "O2": energy_eV("O2")}
    errors = []
    for product, precursors in MEASURED.items():
        atoms = Composition(product)
        carbon = sum(n * Composition(f)["C"] for f, n in precursors.items())
        uptake = (atoms["O"] + 2 * carbon - sum(n * Composition(f)["O"] for f, n in precursors.items())) / 2
        gases = {"CO2": carbon, "O2": -uptake}
        computed = energy_eV(product) - sum(n * energy_eV(f) for f, n in precursors.items())
        computed += sum(n * gas_eV[g] for g, n in gases.items())
        measured = FORMATION_kJ_mol[product] - sum(n * FORMATION_kJ_mol[f] for f, n in precursors.items())
        measured += sum(n * FORMATION_kJ_mol[g] for g, n in gases.items())
        errors.append((computed - measured * EV_PER_KJ_MOL) / atoms.num_atoms)
    rms = float(np.sqrt(np.mean(np.square(errors))))
    assert rms == pytest.approx(SYNTHESIS_SIGMA_eV_PER_ATOM, rel=0.1)


def made(name: str) -> Subject:
    """A published electrode, with the energy that the reference has for its formula."""
    found = from_library(name)
    n_atoms = found.crystal.n_atoms
    per_unit = sum(found.crystal.composition.values()) / sum(_units(found.formula).values())
    state = Relaxation(
        crystal=found.crystal, energy_eV=energy_eV(found.formula) * per_unit, converged=True, steps=1, force_calls=1,
        max_force_eV_A=0.0, max_stress_eV_A3=0.0, seconds=0.0,
    )  # fmt: skip
    assert state.crystal.n_atoms == n_atoms
    return Subject(found, discharged=state)


def _units(formula: str) -> dict[str, float]:
    from pymatgen.core import Composition

    return {str(e): n for e, n in Composition(formula).items()}


def around(settings: ScreenSettings | None = None) -> Surroundings:
    reference = shipped()
    return Surroundings(settings or ScreenSettings(), Model("chgnet-0.3.0", "s", 0.03), reference, Hulls(reference))


def routes_of(name: str, temperature_K: float = 1000.0) -> list[Route]:
    state = made(name).discharged
    energies = energies_of(state.crystal, state.energy_eV_per_atom, shipped(), temperature_K)
    return find_routes(state.crystal.formula, default_catalogue(), energies)


@pytest.mark.parametrize(
    ("name", "atmosphere", "precursors"),
    [
        ("O3 LiCoO2", "air", {"Li2CO3", "Co3O4"}),
        ("spinel LiMn2O4", "air", {"Li2CO3", "Mn2O3"}),
        ("olivine LiFePO4", "argon", {"Li2CO3", "FeC2O4·2H2O", "NH4H2PO4"}),
        ("NASICON Na3V2(PO4)3", "argon", {"Na2CO3", "V2O3", "NH4H2PO4"}),
        ("silicate Li2FeSiO4", "argon", {"Li2CO3", "FeC2O4·2H2O", "SiO2"}),
    ],
)
def test_known_electrodes_are_downhill_in_the_atmosphere_they_are_made_in(name, atmosphere, precursors):
    best = routes_of(name)[0]
    assert best.atmosphere == atmosphere
    assert {p.formula for p, _ in best.reaction.terms} == precursors
    assert best.energy.driving_force_eV_per_atom < -0.04
    assert best.energy.inverse_hull_eV_per_atom < 0


def test_heat_drives_the_carbonate_route_to_lithium_cobalt_oxide():
    def force(temperature_K: float) -> float:
        routes = routes_of("O3 LiCoO2", temperature_K)
        return next(r.energy.driving_force_eV_per_atom for r in routes if "Li2CO3 + " in r.reaction.text)

    assert force(300) > 0 > force(1000)


def test_property_keeps_the_contract_and_shows_its_reaction():
    found = check_gate(SynthesisEnergy(), made("olivine LiFePO4"), around())
    assert found.estimate.value == pytest.approx(-0.35, abs=0.03)
    assert found.notes["synthesis_reaction"].startswith("0.5 Li2CO3 + FeC2O4·2H2O + NH4H2PO4 -> LiFePO4")
    assert found.notes["synthesis_reaction"].endswith("(argon, 1000 K)")
    assert "below" in found.notes["synthesis_rivals"]
    assert "eV/atom" in found.notes["synthesis_alternatives"]


def test_energy_does_not_depend_on_the_size_of_the_cell():
    from redoxa.screening.ions.removal import supercell

    small = made("O3 LiCoO2")
    double = supercell(small.candidate.crystal, 2)
    state = small.discharged.model_copy(update={"crystal": double, "energy_eV": 2 * small.discharged.energy_eV})
    values = [
        SynthesisEnergy().evaluate(subject, around()).estimate.value
        for subject in (small, Subject(candidate(double), discharged=state))
    ]
    assert values[0] == pytest.approx(values[1], abs=1e-6)


def test_what_cannot_be_said_is_a_reason_not_a_number():
    bare = Surroundings(ScreenSettings(), Model("m", "s", 0.03), reference_of({"Li": -1.9}), Hulls(reference_of({})))
    found = SynthesisEnergy().evaluate(made("O3 LiCoO2"), bare)
    assert (found.estimate, found.verdict) == (None, Verdict.PASS)
    assert "Co" in found.reasons[0].text
    limited = ScreenSettings().model_copy(update={"limits": {"synthesis_energy": Range(max=0.0)}})
    assert (
        SynthesisEnergy().evaluate(made("O3 LiCoO2"), replace(bare, settings=limited)).verdict is Verdict.UNDETERMINED
    )
    elements = reference_of({"Li": -1.9, "Co": -7.0, "O2": -4.9, "Li2O": -4.8})
    lonely = Surroundings(ScreenSettings(), Model("m", "s", 0.03), elements, Hulls(elements))
    assert "lacks energies of" in SynthesisEnergy().evaluate(made("O3 LiCoO2"), lonely).reasons[0].text
    with pytest.raises(LookupError):
        SynthesisEnergy().evaluate(Subject(from_library("O3 LiCoO2")), lonely)
