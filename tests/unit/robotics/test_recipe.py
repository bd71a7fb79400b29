"""Eight recipes by hand. Standard atomic weights: Li 6.94, C 12.011, N 14.007, O 15.999, H 1.008, Na 22.98977,
P 30.97376, V 50.9415, Mn 54.93804, Fe 55.845, Co 58.93319."""

import pytest
from pydantic import ValidationError

from redoxa.data.errors import NoPrecursorError, RecipeError
from redoxa.data.lab.laboratory import Furnace, Laboratory, Powder
from redoxa.data.lab.recipe import Recipe, Synthesis
from redoxa.data.records import WorkingIon
from redoxa.data.synthesis.catalogue import default_catalogue
from redoxa.robotics.planning.recipe import plan_recipe, theoretical_capacity_mAh_g
from redoxa.robotics.planning.synthesis import plan_synthesis
from redoxa.robotics.planning.wording import choice_texts, reaction_text, warnings
from tests.unit.robotics.samples import VOLTAGE_V, crystal_of, estimate


def plan(formula: str, ion: WorkingIon = "Li", voltage_V: float | None = None, mass_g: float = 2.0) -> Recipe:
    value = VOLTAGE_V.get(formula, 3.0) if voltage_V is None else voltage_V
    return plan_recipe(formula, ion, {"average_voltage": estimate(value)}, mass_g)


BY_HAND = [
    # n = 2 / 157.75476 = 0.01267791 mol at 680 C, 2 % excess; 0.5 n 1.02 * 73.888; n * 179.893; n * 115.02476
    (
        "LiFePO4", "Li", {"Li2CO3": 0.4777, "FeC2O4·2H2O": 2.2807, "NH4H2PO4": 1.4583}, "argon", 680,
        "0.5 Li2CO3 + FeC2O4·2H2O + NH4H2PO4 -> LiFePO4 + CO + 1.5 CO2 + 3.5 H2O + NH3",
    ),
    # n = 2 / 97.87119 = 0.02043502 mol at 750 C, 5 %; 0.5 n 1.05 * 73.888; n / 3 * 240.79558
    (
        "LiCoO2", "Li", {"Li2CO3": 0.7927, "Co3O4": 1.6402}, "air", 750,
        "0.5 Li2CO3 + 0.3333 Co3O4 + 0.0833 O2 -> LiCoO2 + 0.5 CO2",
    ),
    # n = 2 / 180.81209 = 0.01106121 mol at 760 C, 5 %; 0.5 n 1.05 * 73.888; n * 157.87309
    (
        "LiMn2O4", "Li", {"Li2CO3": 0.4291, "Mn2O3": 1.7463}, "air", 760,
        "0.5 Li2CO3 + Mn2O3 + 0.25 O2 -> LiMn2O4 + 0.5 CO2",
    ),
    # n = 2 / 455.76159 = 0.004388259 mol at 780 C, 5 %; 1.5 n 1.05 * 105.98754; n * 149.88; 3 n * 115.02476
    (
        "Na3V2(PO4)3", "Na", {"Na2CO3": 0.7325, "V2O3": 0.6577, "NH4H2PO4": 1.5143}, "argon", 780,
        "1.5 Na2CO3 + V2O3 + 3 NH4H2PO4 -> Na3V2(PO4)3 + 1.5 CO2 + 4.5 H2O + 3 NH3",
    ),
    # n = 2 / 109.92581 = 0.01819409 mol at 770 C, 5 %; 0.5 n 1.05 * 105.98754; 0.5 n * 157.87309
    (
        "NaMnO2", "Na", {"Na2CO3": 1.0124, "Mn2O3": 1.4362}, "air", 770,
        "0.5 Na2CO3 + 0.5 Mn2O3 -> NaMnO2 + 0.5 CO2",
    ),
    # n = 2 / 215.79270 = 0.009268154 mol, no excess: n / 2 of 265.8996, 71.844 and 93.8418; no acid salt by the fluoride
    (
        "Na2FePO4F", "Na", {"Na4P2O7": 1.2322, "FeO": 0.3329, "FeF2": 0.4349}, "argon", 700,
        "0.5 Na4P2O7 + 0.5 FeO + 0.5 FeF2 -> Na2FePO4F",
    ),
    # n = 2 / 182.68976 = 0.01094752 mol at 800 C, 5 %; 0.5 n 1.05 * 73.888; 0.5 n * 74.6924; 1.5 n * 86.93604
    (
        "LiNi0.5Mn1.5O4", "Li", {"Li2CO3": 0.4247, "NiO": 0.4088, "MnO2": 1.4276}, "air", 800,
        "0.5 Li2CO3 + 0.5 NiO + 1.5 MnO2 -> LiNi0.5Mn1.5O4 + 0.5 CO2",
    ),
    # n = 2 / 459.083 = 0.004356511 mol at 830 C, 5 %; 2 n 1.05 * 73.888; 5 n * 79.865
    (
        "Li4Ti5O12", "Li", {"Li2CO3": 0.676, "TiO2": 1.7397}, "air", 830,
        "2 Li2CO3 + 5 TiO2 -> Li4Ti5O12 + 2 CO2",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("formula", "ion", "masses_g", "atmosphere", "firing_C", "reaction"), BY_HAND)
def test_eight_recipes_by_hand(
    formula: str, ion: WorkingIon, masses_g: dict[str, float], atmosphere: str, firing_C: float, reaction: str
) -> None:
    synthesis = plan(formula, ion).synthesis
    powders = {p.formula: round(p.mass_g, 4) for p in synthesis.precursors if p.role == "reactant"}
    assert powders == masses_g
    assert synthesis.atmosphere == atmosphere
    assert synthesis.hottest_C == firing_C
    assert reaction_text(synthesis) == reaction
    assert synthesis.temperature_sigma_C == 100


def test_masses_scale_with_the_target() -> None:
    small, large = plan("LiFePO4", mass_g=1.0).synthesis, plan("LiFePO4", mass_g=5.0).synthesis
    for a, b in zip(small.precursors, large.precursors, strict=True):
        assert b.mass_g == pytest.approx(5 * a.mass_g, abs=1e-4)


def test_only_the_volatile_ion_gets_an_excess() -> None:
    precursors = plan("LiCoO2").synthesis.precursors
    assert {p.formula: p.excess_fraction for p in precursors} == {"Li2CO3": 0.05, "Co3O4": 0.0}


def test_vanadium_five_is_reduced_in_hydrogen() -> None:
    kept = [p.formula for p in default_catalogue().precursors if p.formula not in ("V2O3", "VO2")]
    laboratory = Laboratory(stock=tuple(Powder(formula=formula, amount_g=100) for formula in kept))
    synthesis = plan_synthesis("Na3V2(PO4)3", 2.0, laboratory)
    assert synthesis.atmosphere == "argon/hydrogen 95/5"
    assert synthesis.byproducts["H2"] == -2
    assert "O2" not in synthesis.byproducts


def test_a_cell_content_and_a_formula_give_the_same_recipe() -> None:
    predictions = {"average_voltage": estimate(3.4)}
    cell = plan_recipe(crystal_of("Li4Fe4P4O16"), "Li", predictions, 2.0)
    assert cell == plan_recipe("LiFePO4", "Li", predictions, 2.0)


def test_theoretical_capacity() -> None:
    # 26801.48 mAh/mol / 157.7548 g/mol; magnesium counts twice
    from redoxa.data.synthesis.formula import parse_formula

    assert theoretical_capacity_mAh_g(parse_formula("LiFePO4"), "Li") == pytest.approx(169.89, abs=0.01)
    assert theoretical_capacity_mAh_g(parse_formula("MgMn2O4"), "Mg") == pytest.approx(2 * 26801.48 / 198.177, abs=0.05)


def test_currents_follow_the_predicted_capacity_where_there_is_one() -> None:
    predictions = {
        "average_voltage": estimate(3.4), "capacity_grav": estimate(170, 0, "mAh/g"),
        "usable_capacity": estimate(150, 0, "mAh/g"),
    }  # fmt: skip
    with_capacity = plan_recipe("LiFePO4", "Li", predictions, 2.0).cycling
    assert (with_capacity.nominal_capacity_mAh_g, with_capacity.capacity_definition) == (
        150, "predicted reversible capacity",
    )  # fmt: skip
    without = plan("LiFePO4").cycling
    assert (without.nominal_capacity_mAh_g, without.capacity_definition) == (169.89, "theoretical, all working ions")


@pytest.mark.parametrize(
    ("formula", "ion", "voltage_V", "message"),
    [
        ("FePO4", "Li", 3.4, "holds no Li"),
        ("LiNiPO4", "Li", 5.1, "cannot be charged"),
        ("LiFePO4", "Li", -0.5, "not above zero"),
        ("NaOH", "Na", 2.0, "holds hydrogen"),
        ("ZnMn2O4", "Zn", 2.4, "cannot be charged"),
    ],
)
def test_what_cannot_be_made_or_measured_says_why(
    formula: str, ion: WorkingIon, voltage_V: float, message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        plan(formula, ion, voltage_V)


def test_a_missing_prediction_and_a_missing_element_say_so() -> None:
    with pytest.raises(RecipeError, match="average_voltage"):
        plan_recipe("LiFePO4", "Li", {}, 2.0)
    with pytest.raises(NoPrecursorError, match="Ag") as caught:
        plan("LiAgO2")
    assert caught.value.elements == ("Ag",)


def test_warnings_name_the_dangers() -> None:
    texts = " ".join(warnings(plan("LiFePO4").synthesis))
    assert "carbon monoxide" in texts
    assert "ammonia" in texts
    assert "100 °C" in texts
    assert "glovebox" in " ".join(warnings(plan("NaMnO2", "Na").synthesis))
    assert "balance" in " ".join(warnings(plan("Li3Fe2O3").synthesis))


def test_moisture_sensitive_powders_go_to_the_glovebox() -> None:
    assert plan("LiTiS2").synthesis.handling == "glovebox"
    assert plan("LiCoO2").synthesis.handling == "bench"


def test_a_phosphate_fired_in_argon_gets_a_carbon_source_and_an_oxide_none() -> None:
    # 3 % of 2 g are 0.06 g of carbon: 0.06 / (12 * 12.011) mol of sucrose, 342.297 g/mol
    sugar = {p.formula: p.mass_g for p in plan("LiFePO4").synthesis.precursors if p.role == "carbon source"}
    assert sugar == {"C12H22O11": pytest.approx(0.1425, abs=1e-4)}
    for formula in ("LiCoO2", "LiVO2", "LiMnPO4F", "Na2FePO4F"):
        assert all(p.role == "reactant" for p in plan(formula, "Na" if "Na" in formula else "Li").synthesis.precursors)


def test_stock_decides_what_is_weighed() -> None:
    stock = [Powder(formula=f, amount_g=50, purity=0.98) for f in ("LiOH·H2O", "Co3O4")]
    powders = {p.formula: p for p in plan_synthesis("LiCoO2", 2.0, Laboratory(stock=tuple(stock))).precursors}
    assert set(powders) == {"LiOH·H2O", "Co3O4"}
    # n = 2 / 97.87119; n / 3 * 240.79558 / 0.98
    assert powders["Co3O4"].mass_g == pytest.approx(1.6737, abs=1e-4)


def test_the_second_furnace_is_named_where_the_first_will_not_do() -> None:
    cold, hot = Furnace(name="box", atmospheres=frozenset({"air"})), Furnace(name="tube")
    assert plan_synthesis("LiCoO2", 2.0, Laboratory(furnaces=(cold, hot))).furnace_name == ""
    assert plan_synthesis("LiVO2", 2.0, Laboratory(furnaces=(cold, hot))).furnace_name == "tube"
    with pytest.raises(RecipeError, match="S012 argon is not available"):
        plan_synthesis("LiVO2", 2.0, Laboratory(furnaces=(cold,)))


def test_a_scrubber_opens_what_sets_acid_free() -> None:
    with pytest.raises(RecipeError, match="S011 HF"):
        plan_synthesis("KVPO4F", 2.0)
    scrubbed = Laboratory(furnaces=(Furnace(scrubber=True),))
    assert plan_synthesis("KVPO4F", 1.0, scrubbed).precursors


def test_the_choice_says_what_else_there_was() -> None:
    taken, *others = choice_texts(plan("LiFePO4").synthesis)
    assert taken.startswith("Taken: Li2CO3 + FeC2O4·2H2O + NH4H2PO4 in argon")
    assert any("LiPO3" in text for text in others)


@pytest.mark.parametrize(
    "words", [{"reaction": "add 5 g KClO4"}, {"warnings": ["harmless"]}, {"atmosphere_reason": "why not"}]
)
def test_a_request_brings_no_words_of_its_own(words: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Synthesis.model_validate({**plan("LiCoO2").synthesis.model_dump(), **words})
