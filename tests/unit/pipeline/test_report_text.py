"""Numbers and words of the report."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from redoxa.data.records import Estimate, ScreeningResult, Verdict
from redoxa.pipeline.pages.kit.text import (
    MINUS,
    THIN,
    count,
    display_scale,
    duration,
    formula_html,
    formula_text,
    hull_text,
    linked,
    number,
    prose,
    shown,
    timestamp,
)


def estimate(value: float, sigma: float, unit: str = "V") -> Estimate:
    return Estimate(value=value, sigma=sigma, unit=unit, method="how; and why so", model="m")


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (169.8765, None, "169.9"),
        (5.0, None, "5"),
        (0.1, None, "0.1"),
        (-3.2, 1, f"{MINUS}3.2"),
        (-0.0004, 2, "0.00"),
        (12345.0, 0, f"12{THIN}345"),
        (1200.0, None, f"1{THIN}200"),
        (0.0, None, "0"),
    ],
)
def test_number(value: float, decimals: int | None, text: str) -> None:
    assert number(value, decimals) == text


@pytest.mark.parametrize(
    ("value", "sigma", "text"),
    [
        (3.4321, 0.25, "3.43 ± 0.25 V"),
        (3.4321, 0.5, "3.43 ± 0.50 V"),
        (169.88, 17.0, "170 ± 17 V"),
        (0.03412, 0.063, "0.034 ± 0.063 V"),
        (1102.6, 151.2, f"1{THIN}103 ± 151 V"),
        (2.0, 0.0, "2 V"),
        (2.0, 1e-9, "2.0000 ± <0.0001 V"),
    ],
)
def test_value_is_rounded_to_two_digits_of_its_sigma(value: float, sigma: float, text: str) -> None:
    assert shown("average_voltage", estimate(value, sigma)).text == text


def test_fractions_are_shown_in_percent_and_cubes_with_a_superscript() -> None:
    assert shown("max_delta_volume", estimate(0.066, 0.03, "1")).text == "6.6 ± 3.0 %"
    assert display_scale("max_lattice_strain", "1") == (100.0, "%")
    assert shown("phase_purity", estimate(0.952, 0.02, "1")).text == "95.2 ± 2.0 %"
    assert shown("phase_purity", estimate(95.2, 2.0, "%")).text == "95.2 ± 2.0 %"
    assert display_scale("capacity_vol", "mAh/cm3") == (1.0, "mAh/cm³")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.00 s"),
        (0.001, "<0.01 s"),
        (0.05, "0.05 s"),
        (2.14, "2.1 s"),
        (48.4, "48 s"),
        (59.7, "1 min 00 s"),
        (192, "3 min 12 s"),
        (7500, "2 h 05 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_time_is_given_in_utc() -> None:
    there = datetime(2026, 11, 21, 10, 5, 33, tzinfo=timezone(timedelta(hours=1)))
    assert timestamp(there) == "2026-11-21 09:05:33 UTC"
    assert timestamp(datetime(2026, 11, 21, 9, 5, 33)) == timestamp(datetime(2026, 11, 21, 9, 5, 33, tzinfo=UTC))


def test_formulas() -> None:
    assert formula_html("Na3V2(PO4)3") == "Na<sub>3</sub>V<sub>2</sub>(PO<sub>4</sub>)<sub>3</sub>"
    assert formula_html("0.5 Li2CO3 + O2") == "0.5 Li<sub>2</sub>CO<sub>3</sub> + O<sub>2</sub>"
    assert formula_html("<b>LiO2") == "&lt;b&gt;LiO<sub>2</sub>"
    assert formula_text("LiNi0.5Mn1.5O4") == "LiNi₀.₅Mn₁.₅O₄"


def test_prose_names_properties_in_words() -> None:
    assert prose("stability_charge 0.45 eV/atom is above 0.3") == "hull distance (charged) 0.45 eV/atom is above 0.3"
    assert prose("capacity_grav x average_voltage") == "theoretical capacity x average voltage"
    assert prose("my_capacity_gravity") == "my_capacity_gravity"
    assert prose("a density of 3 g/cm3") == "a density of 3 g/cm3"  # a word of its own, not the property


def test_prose_prints_units_and_signs() -> None:
    assert prose("Fe moved 1.2 A, 3 A^3, 0.1 muB") == "Fe moved 1.2 Å, 3 Å³, 0.1 µB"
    assert prose("2 Li2S -> Li (air) -0.205 eV/atom") == f"2 Li2S → Li (air) {MINUS}0.205 eV/atom"
    assert prose("mp-25234, doi:10.1021/cm-4, 85-100 %") == "mp-25234, doi:10.1021/cm-4, 85-100 %"


def test_count() -> None:
    assert [count(n, "candidate") for n in (0, 1, 12)] == ["no candidates", "1 candidate", "12 candidates"]


def result(value: float, notes: dict[str, str]) -> ScreeningResult:
    return ScreeningResult(
        candidate_id="0" * 16,
        formula="LiFePO4",
        working_ion="Li",
        verdict=Verdict.PASS,
        settings_hash="0" * 16,
        estimates={"stability_discharge": estimate(value, 0.03, "eV/atom")},
        notes=notes,
    )


def test_distance_to_the_hull_comes_with_its_coverage() -> None:
    notes = {"competing_phases_discharge": "17", "hull_coverage_discharge": "against 17 reference phases"}
    found = hull_text(result(0.03, notes), "discharge")
    assert found is not None
    assert found.sentence == "0.030 ± 0.030 eV/atom above a hull of 17 known phases"
    assert found.coverage == "against 17 reference phases"
    below = hull_text(result(-0.02, {"competing_phases_discharge": "1"}), "discharge")
    assert below is not None
    assert below.sentence == "0.020 ± 0.030 eV/atom below a hull of 1 known phase"
    on_it = hull_text(result(-1e-6, {"decomposes_to_discharge": "1.00 LiFePO4"}), "discharge")
    assert on_it is not None
    assert on_it.sentence == "0.000 ± 0.030 eV/atom above the hull of the known phases"
    assert on_it.products == "LiFePO4"
    assert "not recorded" in below.coverage
    assert hull_text(result(0.03, notes), "charge") is None


def test_what_is_known_elsewhere_is_linked() -> None:
    text = linked("LiCoO2 <1> (mp-552024; A. B., X 12, 3 (1992), doi:10.1016/0167-2738(81)90076-X). Li(CoO2)2")
    assert 'href="https://next-gen.materialsproject.org/materials/mp-552024"' in text
    assert (
        '<a href="https://doi.org/10.1016/0167-2738(81)90076-X" rel="noreferrer">doi:10.1016/0167-2738(81)90076-X</a>).'
        in text
    )
    assert text.startswith("LiCoO2 &lt;1&gt; (<a")
    assert text.endswith(" LiCo2O4")
