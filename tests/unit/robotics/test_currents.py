"""Currents by hand. A disc of 14 mm has pi/4 * 1.4^2 = 1.5394 cm2; at 3 mg/cm2 it carries 4.6181 mg."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redoxa.data.errors import RecipeError
from redoxa.data.lab.laboratory import Cycler, Laboratory
from redoxa.data.lab.recipe import Cycling, Electrode
from redoxa.robotics.cycling.cells import CELL_SYSTEMS, plan_electrode
from redoxa.robotics.cycling.currents import Currents, current_problems, currents_mA, one_C_mA, plan_currents
from redoxa.robotics.cycling.protocol import RATES, check_steps, plan_cycling
from redoxa.robotics.cycling.window import Window

ELECTRODE = plan_electrode("Li", CELL_SYSTEMS["Li"][0], 4.2)
WINDOW = Window(3.0, 4.2, "", 150, "theoretical")


def plan(capacity_mAh_g: float, *cyclers: Cycler, most: float = 30) -> Currents:
    return plan_currents(ELECTRODE, capacity_mAh_g, RATES, cyclers or (Cycler(),), most)


def cycling_of(electrode: Electrode, *cyclers: Cycler) -> Cycling:
    return plan_cycling(WINDOW, plan_currents(electrode, 150, RATES, cyclers or (Cycler(),), 30))


def test_one_cell_carries_its_disc() -> None:
    assert ELECTRODE.disc_area_cm2 == pytest.approx(1.53938)
    assert ELECTRODE.active_mass_mg == pytest.approx(4.61814)
    assert one_C_mA(ELECTRODE, 150) == pytest.approx(0.692721)  # 4.61814 mg * 0.150 mAh/mg


def test_the_smallest_range_that_holds_the_largest_current() -> None:
    # 0.2 C of 100 mAh/g: 92.4 uA, below 0.1 mA; of 150 mAh/g: 138.5 uA, above it
    assert (plan(100).range_mA, plan(150).range_mA) == (0.1, 1.0)
    assert plan(100).least_mA == pytest.approx(0.001)  # ten times 0.1 % of 0.1 mA
    assert plan(100).note == plan(150).note == ""


def test_a_cut_off_that_the_range_does_not_resolve_is_raised_and_told() -> None:
    # 0.0125 C of 150 mAh/g is 8.66 uA; the range of 1 mA gives 10 uA at least: 10 / 692.72 = 0.014436, up to 0.0145 C
    cycling = cycling_of(ELECTRODE)
    assert cycling.formation[2].until_rate_C == 0.0145
    assert cycling.steps[1].until_rate_C == 0.05  # 34.6 uA
    assert "0.0145 C instead of 0.0125 C: 10 uA is the least" in cycling.note
    assert min(currents_mA(cycling.formation, cycling.one_C_mA)) >= 0.01


def test_where_half_the_charging_current_is_not_resolved_the_electrode_gets_heavier() -> None:
    # One range of 10 mA: 0.1 mA at least, at 0.025 C: 1 C is 4 mA, that is 26.667 mg of 150 mAh/g on 1.53938 cm2:
    # 17.323 mg/cm2, rounded up to 17.4
    found = plan(150, Cycler(ranges_mA=(10,)))
    assert found.active_loading_mg_cm2 == pytest.approx(17.4)
    assert found.one_C_mA == pytest.approx(17.4 * 1.53938 * 0.15)
    assert "raised from 3 to 17.4 mg/cm2" in found.note
    assert "100 uA" in found.note
    with pytest.raises(RecipeError, match=r"34.6 to 139 uA per cell fit no range .*cycler: 10 mA to 0.1 %.* 15 mg/cm2"):
        plan(150, Cycler(ranges_mA=(10,)), most=15)


def test_currents_too_large_or_too_coarse_for_every_range_are_refused() -> None:
    with pytest.raises(RecipeError, match="fit no range"):
        plan(150, Cycler(ranges_mA=(0.1,)))
    with pytest.raises(RecipeError, match="fit no range"):
        plan(150, Cycler(resolution=0.05))  # half the range at least, and a protocol that spans a factor of eight
    assert plan(150, Cycler(name="coarse", resolution=0.05), Cycler(name="fine")).cycler == "fine"


def test_a_planned_protocol_has_no_problems_and_each_change_is_found() -> None:
    cyclers = Laboratory().cyclers
    good = cycling_of(ELECTRODE)
    assert current_problems(ELECTRODE, good, cyclers) == []
    hold = good.formation[2].model_copy(update={"until_rate_C": 0.0125})
    for changes, message in (
        ({"one_C_mA": 0.5}, "1 C is stated as 0.5 mA"),
        ({"cycler": "other"}, "no cycler 'other'"),
        ({"range_mA": 3.0}, "no cycler 'cycler' with a range of 3 mA"),
        ({"range_mA": 0.1}, "0.1385 mA on a range of 0.1 mA"),
        ({"range_mA": 10.0}, "0.1 mA is the least"),
        ({"formation": (hold,)}, "0.008659 mA where 0.01 mA"),
        ({"max_voltage_V": 5.5}, "more than the cycler reaches"),
    ):
        (problem,) = current_problems(ELECTRODE, good.model_copy(update=changes), cyclers)
        assert message in problem
    assert current_problems(ELECTRODE, good.model_copy(update={"cycler": ""}), cyclers) == []


@given(
    capacity=st.floats(5, 1500),
    diameter_mm=st.floats(6, 20),
    ranges=st.lists(
        st.sampled_from((0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 100.0)), min_size=1, max_size=3, unique=True
    ),
    resolution=st.sampled_from((1e-5, 1e-4, 1e-3, 5e-3, 0.02)),
)
def test_whatever_is_planned_the_cycler_can_do(
    capacity: float, diameter_mm: float, ranges: list[float], resolution: float
) -> None:
    electrode = ELECTRODE.model_copy(update={"diameter_mm": diameter_mm})
    cycler = Cycler(ranges_mA=tuple(ranges), resolution=resolution)
    try:
        currents = plan_currents(electrode, capacity, RATES, (cycler,), 30)
    except RecipeError:
        return
    made = electrode.model_copy(update={"active_loading_mg_cm2": currents.active_loading_mg_cm2})
    cycling = plan_cycling(Window(3.0, 4.2, "", capacity, "theoretical"), currents)
    assert current_problems(made, cycling, (cycler,)) == []
    assert check_steps(cycling, max_rate_C=2) == []
    assert 3 <= currents.active_loading_mg_cm2 <= 30
