"""Five recipes by hand. Standard atomic weights: Li 6.94, C 12.011, N 14.007, O 15.999, H 1.008, Na 22.98977,
P 30.97376, V 50.9415, Mn 54.93804, Fe 55.845, Co 58.93319."""

import pytest

from data.errors import NoPrecursorError, RecipeError
from data.lab import Recipe
from data.records import WorkingIon
from data.synthesis.catalogue import default_catalogue
from robotics.recipe import plan_recipe, theoretical_capacity_mAh_g
from robotics.synthesis import plan_synthesis
from tests.unit.robotics.samples import VOLTAGE_V, estimate


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
]  # fmt: skip


@pytest.mark.parametrize(("formula", "ion", "masses_g", "atmosphere", "firing_C", "reaction"), BY_HAND)
def test_five_recipes_by_hand(
    formula: str, ion: WorkingIon, masses_g: dict[str, float], atmosphere: str, firing_C: float, reaction: str
) -> None:
    synthesis = plan(formula, ion).synthesis
    assert {p.formula: round(p.mass_g, 4) for p in synthesis.precursors} == masses_g
    assert synthesis.atmosphere == atmosphere
    assert max(step.temperature_C for step in synthesis.furnace) == firing_C
    assert synthesis.reaction == reaction
    assert synthesis.temperature_sigma_C == 100


def test_masses_scale_with_the_target() -> None:
    small, large = plan("LiFePO4", mass_g=1.0).synthesis, plan("LiFePO4", mass_g=5.0).synthesis
    for a, b in zip(small.precursors, large.precursors, strict=True):
        assert b.mass_g == pytest.approx(5 * a.mass_g, abs=1e-4)


def test_only_the_volatile_ion_gets_an_excess() -> None:
    precursors = plan("LiCoO2").synthesis.precursors
    assert {p.formula: p.excess_fraction for p in precursors} == {"Li2CO3": 0.05, "Co3O4": 0.0}


def test_vanadium_five_is_reduced_in_hydrogen() -> None:
    catalogue = default_catalogue().without(frozenset({"V2O3", "VO2"}))
    synthesis = plan_synthesis("Na3V2(PO4)3", 2.0, catalogue)
    assert synthesis.atmosphere == "argon/hydrogen 95/5"
    assert synthesis.byproducts["H2"] == -2
    assert "O2" not in synthesis.byproducts


def test_a_cell_content_and_a_formula_give_the_same_recipe() -> None:
    predictions = {"average_voltage": estimate(3.4)}
    cell = plan_recipe({"Li": 4, "Fe": 4, "P": 4, "O": 16}, "Li", predictions, 2.0)
    assert cell == plan_recipe("LiFePO4", "Li", predictions, 2.0)


def test_theoretical_capacity() -> None:
    # 26801.48 mAh/mol / 157.7548 g/mol; magnesium counts twice
    from data.synthesis.formula import parse_formula

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
    texts = " ".join(plan("LiFePO4").synthesis.warnings)
    assert "carbon monoxide" in texts
    assert "ammonia" in texts
    assert "100 °C" in texts
    assert "glovebox" in " ".join(plan("NaMnO2", "Na").synthesis.warnings)
    assert "balance" in " ".join(plan("LiZnO2").synthesis.warnings)


def test_moisture_sensitive_powders_go_to_the_glovebox() -> None:
    assert plan("LiTiS2").synthesis.handling == "glovebox"
    assert plan("LiCoO2").synthesis.handling == "bench"
