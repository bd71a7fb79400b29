"""The safety rules allow what laboratories have made and published."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import Any

import pytest
import yaml

from redoxa.data.lab.laboratory import Laboratory
from redoxa.data.lab.recipe import Firing, FurnaceStep, Precursor, Recipe, Synthesis
from redoxa.data.lab.request import ExperimentRequest
from redoxa.data.records import WorkingIon
from redoxa.data.synthesis.catalogue import default_catalogue
from redoxa.data.synthesis.formula import Amounts, add_scaled, molar_mass_g_mol, parse_formula
from redoxa.robotics.cycling.cells import choose_system, plan_cell, plan_electrode, voltage_window_V
from redoxa.robotics.cycling.currents import plan_currents
from redoxa.robotics.cycling.protocol import RATES, plan_cycling
from redoxa.robotics.cycling.window import Window, theoretical_capacity_mAh_g
from redoxa.robotics.safety.check import check
from tests.unit.robotics.samples import crystal_of, estimate

ROWS: list[dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("published_syntheses.yaml").read_text(encoding="utf-8")
)["syntheses"]
CHECKED = {"doi and recipe", "recipe", "doi", "memory"}
VOLTAGES_V: dict[WorkingIon, tuple[float, float]] = {"Mg": (1.3, 2.9), "Zn": (0.6, 1.5)}
"""Where 2.3 to 3.7 V lies outside the electrolyte."""

TARGET_G = 1.0


def amounts_of(row: dict[str, Any]) -> dict[str, Fraction]:
    return {formula: Fraction(str(n)) for formula, n in row["precursors"].items()}


def gases_of(row: dict[str, Any]) -> dict[str, Fraction]:
    """Moles of each gas set free per mole of target; negative: taken up."""
    gases: Amounts = {}
    oxygen = -parse_formula(row["target"]).get("O", Fraction(0))
    for formula, n in amounts_of(row).items():
        powder = default_catalogue().by_formula[formula]
        add_scaled(gases, powder.gas, n)
        oxygen += n * powder.solid.get("O", Fraction(0))
    if oxygen > 0 and "hydrogen" in row.get("atmosphere", "air"):
        add_scaled(gases, {"H2": Fraction(-1), "H2O": Fraction(1)}, oxygen)
    else:
        add_scaled(gases, {"O2": Fraction(1, 2)}, oxygen)
    return gases


def request_of(row: dict[str, Any]) -> ExperimentRequest:
    target, ion = row["target"], row["ion"]
    amounts = parse_formula(target)
    moles_target = TARGET_G / molar_mass_g_mol(amounts)
    powders = []
    for formula, n in amounts_of(row).items():
        known = default_catalogue().get(formula)
        name = formula if known is None else known.name
        extra = row.get("excess", {}).get(formula, 0.0)
        moles = float(n) * moles_target * (1 + extra)
        mass_g = moles * molar_mass_g_mol(parse_formula(formula))
        powders.append(Precursor(formula=formula, name=name, mass_g=mass_g, moles=moles, excess_fraction=extra))
    vessel = row.get("vessel", "alumina crucible")
    ramp = 1.0 if vessel == "sealed silica ampoule" else 5.0
    programme = [*row["steps"], [25, 0]]
    steps = tuple(FurnaceStep(temperature_C=T, ramp_C_per_min=ramp, dwell_h=h) for T, h in programme)
    synthesis = Synthesis(
        target_formula=target,
        target_mass_g=TARGET_G,
        precursors=tuple(powders),
        byproducts={gas: float(n) for gas, n in gases_of(row).items()} if not row.get("waits") else {},
        atmosphere=row.get("atmosphere", "air"),
        atmosphere_reason="oxygen is taken up",
        firings=(Firing(steps=steps),),
        vessel=vessel,
        handling=row.get("handling", "bench"),
    )
    lowest_V, highest_V = VOLTAGES_V.get(ion, (2.3, 3.7))
    system = choose_system(ion, highest_V)
    low_V, high_V = voltage_window_V(system, lowest_V, highest_V)
    electrode = plan_electrode(ion, system, high_V)
    window = Window(low_V, high_V, "", theoretical_capacity_mAh_g(amounts, ion), "theoretical")
    currents = plan_currents(
        electrode, window.capacity_mAh_g, RATES, Laboratory().cyclers, Laboratory().max_loading_mg_cm2
    )
    common = lcm(*(n.denominator for n in amounts.values()))
    return ExperimentRequest(
        campaign="published",
        round=0,
        candidate_id=f"published-{target}",
        formula=target,
        working_ion=ion,
        crystal=crystal_of("".join(f"{element}{n * common}" for element, n in amounts.items())),
        recipe=Recipe(
            synthesis=synthesis,
            electrode=electrode.model_copy(update={"active_loading_mg_cm2": currents.active_loading_mg_cm2}),
            cell=plan_cell(system),
            cycling=plan_cycling(window, currents),
        ),
        predictions={"average_voltage": estimate((lowest_V + highest_V) / 2)},
        why=row["source"],
    )


def case(row: dict[str, Any]) -> Any:
    marks = [pytest.mark.xfail(strict=True, reason=row["waits"])] if row.get("waits") else []
    return pytest.param(row, id=f"{row['target']}, {row['source'].split(',')[0]}", marks=marks)


@pytest.mark.parametrize("row", [case(row) for row in ROWS])
def test_published_syntheses_are_allowed(row: dict[str, Any]) -> None:
    refused = [f"{f.rule} {f.text}" for f in check(request_of(row)) if not f.ok]
    assert not refused, f"{row['target']} ({row['source']}): {'; '.join(refused)}"


@pytest.mark.parametrize("row", [pytest.param(row, id=f"{row['target']}, {row['source'][:20]}") for row in ROWS])
def test_published_syntheses_balance(row: dict[str, Any]) -> None:
    total: Amounts = {}
    for formula, n in amounts_of(row).items():
        known = default_catalogue().get(formula)
        add_scaled(total, parse_formula(formula) if known is None else known.solid, n)
    add_scaled(total, parse_formula(row["target"]), Fraction(-1))
    assert all(abs(n) < 1e-6 for element, n in total.items() if element != "O"), total
    assert row["ion"] in parse_formula(row["target"])


def test_the_table_is_broad_and_says_what_was_checked() -> None:
    assert len(ROWS) >= 40
    assert len({row["family"] for row in ROWS}) >= 8
    assert {row["ion"] for row in ROWS} >= {"Li", "Na", "K", "Mg", "Ca", "Zn"}
    assert {row["checked"] for row in ROWS} <= CHECKED
    assert all("doi:" in row["source"] for row in ROWS if row["checked"].startswith("doi"))
    assert all(0 <= x <= 0.2 for row in ROWS for x in row.get("excess", {}).values())
    twice = Counter((row["target"], row["source"]) for row in ROWS)
    assert max(twice.values()) == 1


def test_no_published_mixture_makes_hydrogen_halides() -> None:
    for row in ROWS:
        held = [parse_formula(formula).keys() for formula in amounts_of(row)]
        assert not (any(e & {"F", "Cl"} for e in held) and any("H" in e for e in held)), row["target"]
