"""Practicalities: prices and abundances with their sources, supply risk, hazards, moisture, density."""

from __future__ import annotations

import pytest

from redoxa.data.records import Crystal, Verdict
from redoxa.data.tables.prototypes import prototype
from redoxa.screening.base import Model, Subject, Surroundings
from redoxa.screening.contract import check_gate
from redoxa.screening.gates.hazard_cost import Hazard, MinAbundance, RawMaterialCost, element_facts, mass_fractions
from redoxa.screening.gates.moisture import RULES, MoistureSensitivity, sensitivities
from redoxa.screening.physics.hulls import Hulls
from redoxa.screening.properties.density import Density
from redoxa.screening.properties.supply import HhiProduction, HhiReserve, supply_index
from redoxa.screening.settings import ScreenSettings
from tests.unit.screening.conftest import METALS, candidate, cubic, from_library, reference_of, relaxed

REFERENCE = reference_of(METALS)
AROUND = Surroundings(ScreenSettings(), Model("m", "s", 0.03), REFERENCE, Hulls(REFERENCE))
KINDS = (Hazard, MoistureSensitivity, RawMaterialCost, MinAbundance, HhiProduction, HhiReserve, Density)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.name)
def test_contract(kind):
    check_gate(kind(), relaxed("O3 LiCoO2"), AROUND)


def test_every_price_has_its_year_and_source():
    for symbol, facts in element_facts().items():
        assert (facts.price_USD_per_kg is None) == (facts.price_source == ""), symbol
        if facts.price_source:
            assert 2000 < int(facts.price_source.split()[-1]) <= 2020, symbol


def test_cost_says_whose_it_is_and_where_it_comes_from():
    found = RawMaterialCost().evaluate(relaxed("O3 LiCoO2"), AROUND)
    assert found.notes["cost_shares"] == "Co 77 %, Li 23 %, O 0 %"
    assert "Co BGR 2019" in found.estimate.method
    assert found.estimate.sigma == pytest.approx(0.5 * found.estimate.value)


def test_practical_numbers_do_not_depend_on_the_size_of_the_cell():
    from redoxa.screening.ions.removal import supercell

    small = from_library("olivine LiFePO4")
    large = candidate(supercell(small.crystal, 2))
    for kind in (RawMaterialCost, MinAbundance, HhiProduction, HhiReserve):
        values = [kind().evaluate(Subject(c), AROUND).estimate.value for c in (small, large)]
        assert values[0] == pytest.approx(values[1])
    assert sum(mass_fractions(large.crystal.composition).values()) == pytest.approx(1)


def test_supply_index_of_elements_is_the_published_one_and_of_compounds_goes_by_mass():
    # Gaultois et al. 2013: production and reserve of Li 2900, 4200; Fe 2400, 1400; P 2000, 5100; O 500, 500
    assert supply_index({"Li": 3}, "production").value == pytest.approx(2900)
    assert supply_index({"Li": 3}, "reserve").value == pytest.approx(4200)
    masses = {"Li": 6.94, "Fe": 55.845, "P": 30.974, "O": 4 * 15.999}
    by_hand = sum(masses[e] * x for e, x in {"Li": 2900, "Fe": 2400, "P": 2000, "O": 500}.items()) / sum(
        masses.values()
    )
    found = HhiProduction().evaluate(relaxed("olivine LiFePO4"), AROUND)
    assert found.estimate.value == pytest.approx(by_hand, rel=1e-4)
    assert found.notes["supply_production"] == "moderate concentration, most of it from Fe"
    cobalt = HhiProduction().evaluate(relaxed("O3 LiCoO2"), AROUND).estimate.value
    sodium_iron = HhiProduction().evaluate(relaxed("O3 NaFeO2"), AROUND).estimate.value
    assert cobalt > sodium_iron


@pytest.mark.parametrize(("elements", "level"), [({"O": 1}, "low"), ({"Mn": 1}, "moderate"), ({"Mg": 1}, "high")])
def test_levels_of_concentration(elements, level):
    assert supply_index(elements, "production").level == level


def test_without_an_index_there_is_no_number():
    assert supply_index({"Li": 1, "H": 1}, "production") is None
    hydride = candidate(cubic([3, 1], [[0, 0, 0], [0.5, 0.5, 0.5]], 4.0))
    assert HhiReserve().evaluate(Subject(hydride), AROUND).estimate is None


def test_carcinogenic_elements_are_named_but_not_rejected():
    found = Hazard().evaluate(relaxed("O3 LiCoO2"), AROUND)
    assert found.verdict is Verdict.PASS
    assert found.reasons == []
    assert found.notes["carcinogenic"].startswith("Co:")
    assert Hazard().evaluate(relaxed("olivine LiFePO4"), AROUND).notes == {}


@pytest.mark.parametrize(
    ("composition", "codes"),
    [
        ({"Li": 1, "Ti": 1, "S": 2}, ["h2s"]),
        ({"Na": 1, "Cr": 1, "S": 2}, ["h2s"]),
        ({"Fe": 1, "S": 2}, []),
        ({"Li": 3, "N": 1}, ["hydrolysis"]),
        ({"K": 2, "Mn": 1, "Fe": 1, "C": 6, "N": 6}, []),
        ({"Li": 1, "Al": 1, "Cl": 4}, ["halide"]),
        ({"Li": 1, "C": 6}, ["metallic"]),
        ({"Li": 1, "Al": 1}, ["metallic"]),
        ({"Li": 1, "Ni": 1, "O": 2}, ["nickel_rich"]),
        ({"Li": 10, "Ni": 8, "Co": 1, "Mn": 1, "O": 20}, ["nickel_rich"]),
        ({"Li": 3, "Ni": 1, "Co": 1, "Mn": 1, "O": 6}, []),
        ({"Na": 2, "Mn": 3, "O": 6}, ["layered_sodium"]),
        ({"Na": 1, "Co": 1, "O": 2}, ["layered_sodium"]),
        ({"Na": 1, "V": 2, "O": 5}, []),
        ({"Li": 5, "Fe": 1, "O": 4}, ["alkali_rich"]),
        ({"Li": 2, "O": 1}, ["alkali_rich"]),
        ({"Li": 2, "C": 1, "O": 3}, []),
        ({"Li": 1, "Co": 1, "O": 2}, []),
        ({"Li": 1, "Fe": 1, "P": 1, "O": 4}, []),
        ({"Li": 1, "Mn": 2, "O": 4}, []),
        ({"Li": 2, "S": 1, "O": 4}, []),
    ],
)
def test_known_sensitivities(composition, codes):
    assert [rule.code for rule in sensitivities(composition)] == codes
    doubled = {e: 2 * n for e, n in composition.items()}
    assert [rule.code for rule in sensitivities(doubled)] == codes


def test_a_warning_says_why_with_a_source_and_lets_pass():
    found = MoistureSensitivity().evaluate(relaxed("layered LiTiS2"), AROUND)
    assert [(r.code, r.verdict) for r in found.reasons] == [("moisture_h2s", Verdict.PASS)]
    assert "H2S" in found.reasons[0].text
    assert all(rule.source and len(rule.text) > 30 for rule in RULES)
    assert len({rule.code for rule in RULES}) == len(RULES)


@pytest.mark.parametrize(
    ("name", "density_g_cm3"),
    [("O3 LiCoO2", 5.06), ("olivine LiFePO4", 3.60), ("spinel LiMn2O4", 4.28)],
)
def test_x_ray_densities_of_published_cells(name, density_g_cm3):
    found = Density().evaluate(relaxed(name), AROUND).estimate
    assert found.value == pytest.approx(density_g_cm3, abs=0.04)
    assert found.unit == "g/cm3"


def test_density_takes_the_relaxed_cell():
    subject = relaxed("O3 LiCoO2")
    crystal = subject.candidate.crystal
    swollen = Crystal(
        numbers=crystal.numbers, frac_coords=crystal.frac_coords,
        lattice_A=[[1.1 * x for x in row] for row in crystal.lattice_A],
    )  # fmt: skip
    subject.discharged = subject.discharged.model_copy(update={"crystal": swollen})
    assert Density().evaluate(subject, AROUND).estimate.value == pytest.approx(5.06 / 1.1**3, abs=0.03)
    with pytest.raises(LookupError):
        Density().evaluate(Subject(from_library("O3 LiCoO2")), AROUND)
    assert prototype("O3 LiCoO2").crystal == crystal
