import pytest

from redoxa.data.errors import RecipeError
from redoxa.data.lab.laboratory import Cycler
from redoxa.data.lab.recipe import ConstantCurrent, ConstantVoltage, Cycling, Rest
from redoxa.data.records import WorkingIon
from redoxa.data.units import ION_VALENCE
from redoxa.robotics.cycling.cells import (
    CELL_SYSTEMS,
    choose_system,
    find_system,
    plan_cell,
    plan_electrode,
    voltage_window_V,
)
from redoxa.robotics.cycling.currents import Currents
from redoxa.robotics.cycling.protocol import check_steps, longest_time_s, plan_cycling
from redoxa.robotics.cycling.window import Window


def test_every_working_ion_has_a_cell_with_a_source() -> None:
    assert set(CELL_SYSTEMS) == set(ION_VALENCE)
    for systems in CELL_SYSTEMS.values():
        assert all(s.min_V < s.max_V and s.source for s in systems)


@pytest.mark.parametrize(
    ("ion", "voltage_V", "electrolyte", "collector"),
    [
        ("Li", 3.4, "1 M LiPF6 in EC:DEC 1:1 (v/v)", "Al"),
        ("Li", 0.8, "1 M LiPF6 in EC:DEC 1:1 (v/v)", "Cu"),  # lithium alloys with aluminium
        ("Li", 4.6, "1 M LiPF6 in FEC:FEMC:HFE 2:6:2 (w/w)", "Al"),
        ("Na", 0.8, "1 M NaPF6 in EC:DEC 1:1 (v/v)", "Al"),  # sodium does not
        ("K", 3.5, "0.8 M KPF6 in EC:DEC 1:1 (v/v)", "Al"),
        ("Mg", 1.1, "0.4 M APC (2 PhMgCl + AlCl3) in THF", "Mo"),
        ("Mg", 2.5, "0.5 M Mg(TFSI)2 in diglyme", "Al"),
        ("Ca", 3.0, "0.25 M Ca[B(hfip)4]2 in DME", "Al"),
        ("Zn", 1.3, "2 M ZnSO4 in water", "Ti"),
        ("Al", 1.8, "AlCl3:EMImCl 1.3:1 (mol)", "Mo"),
    ],
)
def test_electrolyte_and_collector_by_ion(ion: WorkingIon, voltage_V: float, electrolyte: str, collector: str) -> None:
    system = choose_system(ion, voltage_V)
    window = voltage_window_V(system, voltage_V, voltage_V)
    assert plan_cell(system).electrolyte == electrolyte
    assert plan_electrode(ion, system, window[1]).collector == collector


def test_the_window_is_the_prediction_and_a_margin() -> None:
    lithium, fluorinated = CELL_SYSTEMS["Li"]
    assert voltage_window_V(lithium, 3.2, 3.6) == (2.9, 3.9)
    assert voltage_window_V(lithium, 3.9, 4.4) == (3.6, 4.5)  # the electrolyte ends at 4.5 V
    assert voltage_window_V(fluorinated, 4.5, 4.9) == (4.2, 5.0)
    assert voltage_window_V(lithium, 0.6, 1.0) == (0.01, 1.3)  # an anode goes down to 10 mV
    (zinc,) = CELL_SYSTEMS["Zn"]
    assert voltage_window_V(zinc, 1.2, 1.4) == (0.2, 1.7)
    with pytest.raises(RecipeError, match="cannot be cycled"):
        voltage_window_V(lithium, 4.9, 5.3)


def test_the_cycler_and_the_collector_end_the_window_too() -> None:
    lithium, fluorinated = CELL_SYSTEMS["Li"]
    (sodium,) = CELL_SYSTEMS["Na"]
    assert voltage_window_V(fluorinated, 4.5, 4.9, Cycler(max_V=4.8)) == (4.2, 4.8)
    assert voltage_window_V(lithium, 0.6, 1.0, Cycler(min_V=0.05)) == (0.05, 1.3)
    assert voltage_window_V(lithium, 0.4, 3.6) == (0.3, 3.9)  # on aluminium, which lithium alloys with below 0.3 V
    assert voltage_window_V(sodium, 0.4, 3.6) == (0.1, 3.9)  # sodium does not
    assert voltage_window_V(fluorinated, 4.5, 4.9, Cycler(max_V=4.995)) == (4.2, 4.995)  # no rounding beyond it
    with pytest.raises(RecipeError, match="on old one stands"):
        voltage_window_V(lithium, 4.2, 4.4, Cycler(name="old one", max_V=4.0))


def test_an_unknown_electrolyte_is_none() -> None:
    assert find_system("Li", "lemon juice") is None
    assert find_system("Na", "1 M LiPF6 in EC:DEC 1:1 (v/v)") is None


def test_the_protocol_charges_first_and_ends_in_time() -> None:
    currents = Currents("cycler", range_mA=1, least_mA=0.001, active_loading_mg_cm2=3, one_C_mA=0.785)
    cycling = plan_cycling(Window(2.9, 3.9, "", 169.9, "theoretical"), currents)
    assert (cycling.one_C_mA, cycling.range_mA, cycling.cycler, cycling.note) == (0.785, 1, "cycler", "")
    rest, charge, hold, discharge = cycling.formation[:4]
    assert rest == Rest(time_s=21600)
    assert charge == ConstantCurrent(rate_C=0.05, until_voltage_V=3.9, time_limit_s=2 * 20 * 3600)
    assert hold == ConstantVoltage(voltage_V=3.9, until_rate_C=0.0125, time_limit_s=20 * 3600)
    assert discharge == ConstantCurrent(rate_C=-0.05, until_voltage_V=2.9, time_limit_s=2 * 20 * 3600)
    assert len(cycling.formation) == 1 + 3 * 3
    # 6 h + 3 * (40 + 20 + 40) h + 20 * (10 + 5 + 10) h = 806 h
    assert longest_time_s(cycling) == pytest.approx(806 * 3600)
    assert check_steps(cycling, max_rate_C=2) == []


def cycling_of(*steps: ConstantCurrent | ConstantVoltage | Rest, low_V: float = 2.9, high_V: float = 3.9) -> Cycling:
    return Cycling(
        nominal_capacity_mAh_g=100, min_voltage_V=low_V, max_voltage_V=high_V, steps=steps, cycles=1, one_C_mA=0.5,
        range_mA=1,
    )  # fmt: skip


def step(rate_C: float, until_V: float, limit_s: float = 7200) -> ConstantCurrent:
    return ConstantCurrent(rate_C=rate_C, until_voltage_V=until_V, time_limit_s=limit_s)


@pytest.mark.parametrize(
    ("cycling", "message"),
    [
        (cycling_of(step(1, 9.0)), "outside 2.9 to 3.9"),
        (cycling_of(step(-1, 0.0)), "outside 2.9 to 3.9"),
        (cycling_of(step(1, 3.9), step(-1, 3.95)), "outside"),
        (cycling_of(step(1, 3.9, limit_s=10800)), "more than twice"),
        (cycling_of(step(5, 3.9, limit_s=1000)), "rate of 5 C"),
        (cycling_of(step(0, 3.9)), "rate of 0 C"),
        (cycling_of(step(1, 3.0), step(-1, 3.9)), "wrong way"),  # "discharge until 3.9 V" from below
        (cycling_of(step(1, 3.9), step(1, 3.0)), "wrong way"),
        (cycling_of(ConstantVoltage(voltage_V=4.6, until_rate_C=0.1, time_limit_s=3600)), "outside"),
        (cycling_of(ConstantVoltage(voltage_V=3.9, until_rate_C=0.1, time_limit_s=1e6)), "more than twice"),
        (cycling_of(), "nothing to cycle"),
        (cycling_of(step(1, 3.5), low_V=3.9, high_V=2.9), "is empty"),
    ],
)
def test_every_kind_of_bad_step_is_found(cycling: Cycling, message: str) -> None:
    assert any(message in problem for problem in check_steps(cycling, max_rate_C=2))
