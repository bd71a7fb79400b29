"""Windows, capacities and currents of eight electrodes by hand.

F = 26801.48 mAh/mol. Margin 0.3 V, sigma 0.1 V in all of them: the ends are 0.4 V beyond the plateaus. A disc of 14 mm
with 3 mg/cm2 carries 4.61814 mg, so that 1 C of 100 mAh/g is 0.461814 mA. Molar masses (g/mol): LiFePO4 157.755,
LiCoO2 97.871, LiMn2O4 180.812, Na3V2(PO4)3 455.762, NaMnO2 109.926, Na2FePO4F 215.794, LiNi0.5Mn1.5O4 182.694,
Li4Ti5O12 459.089.
"""

from __future__ import annotations

import pytest

from redoxa.data.errors import RecipeError
from redoxa.data.lab.laboratory import Cycler, Laboratory
from redoxa.data.lab.recipe import Recipe
from redoxa.data.records import Estimate, VoltageStep, WorkingIon
from redoxa.data.synthesis.formula import parse_formula
from redoxa.robotics.cycling.window import plan_window
from redoxa.robotics.planning.recipe import plan_recipe
from tests.unit.robotics.samples import estimate

EC_DEC, FLUORINATED = "1 M LiPF6 in EC:DEC 1:1 (v/v)", "1 M LiPF6 in FEC:FEMC:HFE 2:6:2 (w/w)"
SODIUM = "1 M NaPF6 in EC:DEC 1:1 (v/v)"


def steps(*rows: tuple[float, float, float]) -> tuple[VoltageStep, ...]:
    """From the charged end: ions by formula unit of the host, and volts."""
    return tuple(VoltageStep(x_charge=a, x_discharge=b, voltage_V=v) for a, b, v in rows)


def capacities(usable: float = 0, theory: float = 0) -> dict[str, Estimate]:
    named = {"usable_capacity": usable, "capacity_grav": theory}
    return {name: estimate(value, 10, "mAh/g") for name, value in named.items() if value}


CASES = [
    # One plateau: 3.45 - 0.4 = 3.05 to 3.85 V. 26801.48 / 157.755 = 169.89 mAh/g; 0.46181 * 1.6989 = 0.7846 mA,
    # C/5 is 157 uA, beyond the range of 0.1 mA
    ("LiFePO4", "Li", 3.45, (), {}, EC_DEC, (3.05, 3.85), 169.89, 0.7846),
    # Plateaus of 0.5 Li each at 3.9 and 4.3 V: 3.5 V to 4.7 V, which EC:DEC does not stand (4.3 + 0.1 + 0.3 > 4.5), the
    # fluorinated one does. 26801.48 / 97.871 = 273.85, all of it within; 155 of 273.85 mAh/g are usable: 0.7158 mA
    (
        "LiCoO2", "Li", 4.1, steps((0, 0.5, 4.3), (0.5, 1, 3.9)), capacities(155, 273.85), FLUORINATED, (3.5, 4.7),
        155.0, 0.7158,
    ),
    # Its host is MnO2, of which the formula holds two: x runs from 0 to 0.5. 4.15 + 0.4 = 4.55, so the electrolyte has to
    # stand 4.55 V; 3.95 - 0.4 = 3.55 V. 26801.48 / 180.812 = 148.23, and 120 of it usable: 0.5542 mA
    (
        "LiMn2O4", "Li", 4.05, steps((0, 0.25, 4.15), (0.25, 0.5, 3.95)), capacities(120, 148.23), FLUORINATED,
        (3.55, 4.55), 120.0, 0.5542,
    ),
    # Two of three sodium at 3.4 V: 2 * 26801.48 / 455.762 = 117.61; the third at 4.6 V lies beyond 4.2 V: cut, and not
    # counted. 3.4 - 0.4 = 3.0 V. 110 of 176.42 usable is 62.35 %: 73.33 mAh/g, 0.3387 mA
    (
        "Na3V2(PO4)3", "Na", 3.8, steps((0, 1, 4.6), (1, 3, 3.4)), capacities(110, 176.42), SODIUM, (3.0, 4.2),
        73.33, 0.3387,
    ),
    # Six plateaus between 2.2 and 3.4 V: 1.8 to 3.8 V. 26801.48 / 109.926 = 243.81 mAh/g, nothing said of its use:
    # 0.46181 * 2.4381 = 1.126 mA, C/5 is 0.225 mA
    (
        "NaMnO2", "Na", 2.75,
        steps((0, 0.2, 3.4), (0.2, 0.4, 3.1), (0.4, 0.5, 2.9), (0.5, 0.7, 2.6), (0.7, 0.9, 2.4), (0.9, 1, 2.2)),
        {}, SODIUM, (1.8, 3.8), 243.81, 1.126,
    ),
    # The host FePO4F: the first sodium at 3.0 V, 26801.48 / 215.794 = 124.20; the second, at 4.9 V, stays. 2.6 to 4.2 V;
    # 115 of 248.40 usable, 46.30 %: 57.50 mAh/g, 0.2655 mA, on 0.1 mA
    (
        "Na2FePO4F", "Na", 3.95, steps((0, 1, 4.9), (1, 2, 3.0)), capacities(115, 248.40), SODIUM, (2.6, 4.2),
        57.50, 0.2655,
    ),
    # 4.7 V + 0.1 + 0.3 V = 5.1 V: the fluorinated electrolyte ends it at 5.0 V. Host Ni0.5Mn1.5O4, that is Mn3NiO8 halved.
    # 26801.48 / 182.694 = 146.70; 0.6775 mA
    ("LiNi0.5Mn1.5O4", "Li", 4.7, (), {}, FLUORINATED, (4.3, 5.0), 146.70, 0.6775),
    # Made with four of the seven lithium that it takes up: a charge first moves nothing (titanium has no electron to give),
    # and theory "all working ions" would count the four. What is predicted for Li7Ti5O12 counts: 3 * 26801.48 / 459.089 =
    # 175.14; 0.8088 mA. 1.55 + 0.1 V is above the 1.5 V of anodes: 1.15 to 1.95 V, on aluminium, as in practice
    ("Li4Ti5O12", "Li", 1.55, (), capacities(theory=175.14), EC_DEC, (1.15, 1.95), 175.14, 0.8088),
]  # fmt: skip


def recipe_of(
    formula: str,
    ion: WorkingIon,
    average_V: float,
    profile: tuple[VoltageStep, ...] = (),
    more: dict[str, Estimate] | None = None,
    laboratory: Laboratory | None = None,
) -> Recipe:
    predictions = {"average_voltage": estimate(average_V, 0.1), **(more or {})}
    return plan_recipe(formula, ion, predictions, 2.0, profile=profile, laboratory=laboratory)


@pytest.mark.parametrize(
    ("formula", "ion", "average_V", "profile", "more", "electrolyte", "window_V", "capacity", "one_C_mA"),
    CASES,
    ids=[case[0] for case in CASES],
)
def test_window_and_currents_by_hand(
    formula: str,
    ion: WorkingIon,
    average_V: float,
    profile: tuple[VoltageStep, ...],
    more: dict[str, Estimate],
    electrolyte: str,
    window_V: tuple[float, float],
    capacity: float,
    one_C_mA: float,
) -> None:
    recipe = recipe_of(formula, ion, average_V, profile, more)
    cycling = recipe.cycling
    assert recipe.cell.electrolyte == electrolyte
    assert (cycling.min_voltage_V, cycling.max_voltage_V) == pytest.approx(window_V)
    assert cycling.nominal_capacity_mAh_g == pytest.approx(capacity, abs=0.02)
    assert cycling.one_C_mA == pytest.approx(one_C_mA, abs=2e-4)
    assert recipe.electrode.collector == "Al"
    assert cycling.range_mA == (0.1 if 0.2 * one_C_mA < 0.1 else 1.0)


def test_the_recipe_says_what_its_window_follows_from() -> None:
    for formula, text in (
        ("LiFePO4", "average voltage only, 3.45 V: no partly charged states were computed"),
        ("NaMnO2", "computed profile of 6 plateaus, 2.20 to 3.40 V"),
        ("Na2FePO4F", "computed profile of 2 plateaus, 3.00 to 4.90 V, of which the cell reaches 1"),
    ):
        case = next(case for case in CASES if case[0] == formula)
        assert recipe_of(*case[:5]).cycling.window_from == text
    # Partly charged states were computed, and all lie on the line between the ends
    single = {"max_voltage_step": estimate(0.0, 0.2)}
    found = recipe_of("LiFePO4", "Li", 3.45, steps((0, 1, 3.45)), single).cycling
    assert found.window_from == "computed profile of 1 plateau, 3.45 V"


def test_what_the_capacity_is_is_said() -> None:
    two = steps((0, 1, 4.6), (1, 3, 3.4))
    assert (
        recipe_of("Na3V2(PO4)3", "Na", 3.8, two, capacities(110, 176.42)).cycling.capacity_definition
        == "62 % of the 118 mAh/g of 1 plateau within the window"
    )
    assert (
        recipe_of("Na3V2(PO4)3", "Na", 3.8, two).cycling.capacity_definition
        == "theoretical, of 1 plateau within the window"
    )


def test_the_cycler_ends_the_window_and_what_it_cuts_off_does_not_count() -> None:
    laboratory = Laboratory(cyclers=(Cycler(name="to 4.2 V", max_V=4.2),))
    profile = steps((0, 0.5, 4.3), (0.5, 1, 3.9))
    cycling = recipe_of("LiCoO2", "Li", 4.1, profile, laboratory=laboratory).cycling
    assert (cycling.min_voltage_V, cycling.max_voltage_V, cycling.cycler) == (3.5, 4.2, "to 4.2 V")
    assert cycling.nominal_capacity_mAh_g == pytest.approx(273.85 / 2, abs=0.01)
    assert cycling.reached_fraction == 0.5
    both = Laboratory(cyclers=(*laboratory.cyclers, Cycler(name="to 5 V")))
    assert recipe_of("LiCoO2", "Li", 4.1, profile, laboratory=both).cycling.cycler == "to 5 V"


def test_what_no_cell_reaches_is_refused() -> None:
    high = steps((0, 0.5, 5.6), (0.5, 1, 5.2))
    with pytest.raises(RecipeError, match=r"LiCoO2: predicted lowest plateau of 5.20 V .* cannot be charged"):
        recipe_of("LiCoO2", "Li", 5.4, high)
    low = steps((0, 0.5, 5.6), (0.5, 1, -0.2))
    with pytest.raises(RecipeError, match="no predicted plateau lies within"):
        recipe_of("LiCoO2", "Li", 2.7, low)
    with pytest.raises(RecipeError, match="outside"):
        recipe_of("LiCoO2", "Li", 4.1, laboratory=Laboratory(cyclers=(Cycler(max_V=4.0),)))


def test_a_measured_capacity_above_theory_is_capped_by_the_plateaus() -> None:
    predictions = {"average_voltage": estimate(4.1, 0.1), **capacities(usable=300, theory=273.85)}
    profile = steps((0, 0.5, 4.3), (0.5, 1, 3.9))
    _, window, _ = plan_window(parse_formula("LiCoO2"), "Li", predictions, profile)
    assert window.capacity_mAh_g == pytest.approx(273.85, abs=0.01)
