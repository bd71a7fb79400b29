"""Every good recipe is allowed; every unsafe one is refused, by the right rule."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from ase.data import atomic_numbers

from redoxa.data.errors import SafetyError
from redoxa.data.lab.laboratory import Laboratory
from redoxa.data.lab.recipe import ConstantCurrent, Firing, FurnaceStep, Precursor, Pressing, Synthesis
from redoxa.data.lab.request import ExperimentRequest, SafetyFinding
from redoxa.data.records import Crystal
from redoxa.data.synthesis.catalogue import default_catalogue
from redoxa.data.synthesis.formula import parse_formula
from redoxa.robotics.safety.check import (
    RULES,
    _decided_by,
    check,
    ensure_allowed,
    is_allowed,
    rule_texts,
    rules_version,
)
from redoxa.robotics.safety.energetic import _by_charge
from tests.unit.robotics.samples import VOLTAGE_V, crystal_of, make_request, with_furnace


def powder(formula: str, moles: float, **fields: Any) -> Precursor:
    known = default_catalogue().get(formula)
    molar_mass = 100.0 if known is None else known.molar_mass_g_mol
    name = formula if known is None else known.name
    return Precursor(**{"formula": formula, "name": name, "moles": moles, "mass_g": moles * molar_mass, **fields})


def with_synthesis(request: ExperimentRequest, **fields: Any) -> ExperimentRequest:
    # Validated again, so that a test cannot build what a client could not send.
    synthesis = Synthesis.model_validate({**request.recipe.synthesis.model_dump(), **fields})
    return _with_recipe(request, synthesis=synthesis)


def with_cycling(request: ExperimentRequest, **fields: Any) -> ExperimentRequest:
    return _with_recipe(request, cycling=request.recipe.cycling.model_copy(update=fields))


def with_electrode(request: ExperimentRequest, **fields: Any) -> ExperimentRequest:
    return _with_recipe(request, electrode=request.recipe.electrode.model_copy(update=fields))


def with_cell(request: ExperimentRequest, **fields: Any) -> ExperimentRequest:
    return _with_recipe(request, cell=request.recipe.cell.model_copy(update=fields))


def _with_recipe(request: ExperimentRequest, **fields: Any) -> ExperimentRequest:
    return request.model_copy(update={"recipe": request.recipe.model_copy(update=fields)})


def replace_powder(request: ExperimentRequest, formula: str, *others: Precursor) -> ExperimentRequest:
    kept = tuple(p for p in request.recipe.synthesis.precursors if p.formula != formula)
    return with_synthesis(request, precursors=(*kept, *others))


LFP, LCO, LTS = make_request("LiFePO4"), make_request("LiCoO2"), make_request("LiTiS2")
NICKELATE = make_request("LiNiO2")
FLUORIDE = make_request("Li3FeF6")


def furnace(*steps: tuple[float, float, float]) -> tuple[Firing, ...]:
    return (Firing(steps=tuple(FurnaceStep(temperature_C=t, ramp_C_per_min=r, dwell_h=h) for t, r, h in steps)),)


def rename(request: ExperimentRequest, formula: str) -> ExperimentRequest:
    """The same recipe for another compound, consistent in name, crystal and target."""
    changed = with_synthesis(request, target_formula=formula)
    return changed.model_copy(update={"formula": formula, "crystal": crystal_of(formula)})


def pair(one: str, other: str, distance_A: float) -> Crystal:
    """Two atoms so far apart, across the face of a cell."""
    spots = [(0.98, 0.5, 0.5), (0.98 - 1 + distance_A / 10, 0.5, 0.5)]
    numbers = [atomic_numbers[one], atomic_numbers[other]]
    return Crystal(numbers=numbers, frac_coords=spots, lattice_A=((10, 0, 0), (0, 10, 0), (0, 0, 10)))


def mixture(*formulas: str, moles: float = 0.02) -> ExperimentRequest:
    """As much of each powder, fired as LiCoO2 is."""
    return with_synthesis(LCO, precursors=tuple(powder(formula, moles) for formula in formulas))


COLD = (25.0, 5.0, 0.0)
STEP = ConstantCurrent(rate_C=0.1, until_voltage_V=3.5, time_limit_s=72000)


def scaled(request: ExperimentRequest, times: float) -> ExperimentRequest:
    """So many times as much of everything."""
    synthesis = request.recipe.synthesis
    powders = tuple(
        p.model_copy(update={"mass_g": p.mass_g * times, "moles": p.moles * times}) for p in synthesis.precursors
    )
    return with_synthesis(request, target_mass_g=synthesis.target_mass_g * times, precursors=powders)


BIG = scaled(LFP, 7.5)

UNSAFE: list[tuple[str, str, ExperimentRequest]] = [
    ("S001", "uranium in the target", rename(LCO, "LiUO3")),
    ("S001", "technetium oxide", rename(LCO, "LiTcO2")),
    ("S001", "polonium among the powders", replace_powder(LCO, "Co3O4", powder("PoO2", 0.01))),
    ("S001", "radon set free", with_synthesis(LCO, byproducts={"Rn": 0.1})),
    ("S002", "lead in the target", rename(LCO, "LiPbO2")),
    ("S002", "cadmium among the powders", replace_powder(LCO, "Co3O4", powder("CdO", 0.01))),
    ("S002", "arsine set free", with_synthesis(LCO, byproducts={"AsH3": 0.5})),
    ("S002", "arsenic only in the crystal", LCO.model_copy(update={"crystal": crystal_of("LiAsO2")})),
    ("S003", "nitrate with oxalate", replace_powder(LFP, "Li2CO3", powder("LiNO3", 0.0127))),
    ("S003", "nitrate with carbon", replace_powder(LCO, "Li2CO3", powder("LiNO3", 0.02), powder("C", 0.01))),
    ("S003", "sulfur with titanium powder", replace_powder(LTS, "TiS2", powder("S", 0.03), powder("Ti", 0.015))),
    ("S003", "much metal powder", replace_powder(LTS, "Ti", powder("Ti", 0.1))),
    ("S004", "a litre of gas a gram", scaled(LFP, 9.5)),
    ("S005", "sulfide on the bench", with_synthesis(LTS, handling="bench")),
    ("S005", "sulfide fired in air", with_synthesis(LTS, atmosphere="air")),
    ("S006", "beyond the furnace", with_synthesis(LCO, firings=furnace((1200, 5, 12)))),
    ("S006", "too fast", with_synthesis(LCO, firings=furnace((800, 40, 12)))),
    ("S006", "too long", with_synthesis(LCO, firings=furnace((800, 5, 400)))),
    ("S006", "no programme", with_synthesis(LCO, firings=())),
    ("S006", "left hot", with_synthesis(LCO, firings=furnace((800, 5, 12), (900, 5, 0)))),
    ("S006", "a ramp that never ends", with_synthesis(LCO, firings=furnace((800, 1e-9, 12), COLD))),
    ("S006", "a thousand steps", with_synthesis(LCO, firings=furnace(*[(800.0, 5.0, 0.1)] * 1000, COLD))),
    ("S006", "weeks in all", with_synthesis(LCO, firings=furnace(*[(800.0, 5.0, 72.0)] * 6, COLD))),
    ("S006", "below room temperature", with_synthesis(LCO, firings=furnace((-80, 5, 1)))),
    ("S007", "too much target", make_request("LiCoO2", mass_g=30.0)),
    ("S007", "too many cells", with_cell(LCO, replicates=64)),
    ("S007", "too much electrolyte", with_cell(LCO, electrolyte_uL=5000)),
    ("S008", "charged beyond the electrolyte", with_cycling(LCO, max_voltage_V=5.0)),
    ("S008", "discharged below it", with_cycling(make_request("ZnMn2O4", "Zn"), min_voltage_V=-0.5)),
    ("S008", "electrolyte of another ion", with_cell(LCO, electrolyte="2 M ZnSO4 in water")),
    ("S009", "a step out of the window", with_cycling(LCO, steps=(STEP.model_copy(update={"until_voltage_V": 9.0}),))),
    ("S009", "a step without end", with_cycling(LFP, steps=(STEP.model_copy(update={"time_limit_s": 1e9}),))),
    ("S009", "fast charging", with_cycling(LFP, steps=(STEP.model_copy(update={"rate_C": 20.0}),))),
    ("S009", "years of cycling", with_cycling(LFP, cycles=100_000)),
    ("S010", "a powder nobody knows", replace_powder(LCO, "Co3O4", powder("Co(NO3)2·6H2O", 0.02))),
    ("S009", "currents for more than all ions", with_cycling(LCO, nominal_capacity_mAh_g=1e6)),
    ("S010", "a powder under another's name", replace_powder(LCO, "Co3O4", powder("Co3O4", 0.0068, name="mercury(II) oxide"))),
    ("S010", "made of itself", with_synthesis(FLUORIDE, target_formula="LiF", precursors=(powder("LiF", 0.08),))),
    ("S010", "no powders at all", with_synthesis(LCO, precursors=())),
    ("S010", "a powder under a false formula", replace_powder(LCO, "Co3O4", powder("cobalt", 0.02))),
    ("S011", "hydrogen cyanide", with_synthesis(LCO, byproducts={"HCN": 1.0})),
    ("S011", "phosgene", with_synthesis(LCO, byproducts={"COCl2": 0.1})),
    ("S012", "metal powder in oxygen", with_synthesis(LTS, atmosphere="oxygen")),
    ("S012", "nitrate in hydrogen", with_synthesis(
        replace_powder(NICKELATE, "Li2CO3", powder("LiNO3", 0.0205)), atmosphere="argon/hydrogen 95/5")),
    ("S012", "oxygen taken from argon", with_synthesis(LCO, atmosphere="argon")),
    ("S013", "gas in a sealed ampoule", with_synthesis(LCO, vessel="sealed silica ampoule")),
    ("S013", "a sulfide in an open crucible", with_synthesis(LTS, vessel="alumina crucible")),
    ("S013", "a fluoride melt in alumina", with_synthesis(FLUORIDE, vessel="alumina crucible")),
    ("S013", "nickel in air", with_synthesis(LCO, vessel="nickel crucible")),
    ("S013", "silica at 1500 C", with_synthesis(LTS, firings=furnace((1500, 5, 1), COLD))),
    ("S013", "nickel near its melting point", with_synthesis(
        LCO, vessel="nickel crucible", atmosphere="argon", firings=furnace((1400, 5, 1), COLD))),
    ("S013", "a nitride in alumina", with_synthesis(LCO, precursors=(powder("Li3N", 0.01),))),
    ("S013", "a melt of lithium oxide in alumina", rename(LCO, "Li5FeO4")),
    ("S014", "grams for milligrams", with_synthesis(LCO, precursors=tuple(
        p.model_copy(update={"mass_g": p.mass_g * 10}) for p in LCO.recipe.synthesis.precursors))),
    ("S014", "powders of another compound", replace_powder(LCO, "Co3O4", powder("Mn2O3", 0.01))),
    ("S014", "half the cobalt", replace_powder(LCO, "Co3O4", powder("Co3O4", 0.0034))),
    ("S014", "a monstrous excess", replace_powder(LCO, "Li2CO3", powder("Li2CO3", 0.0153, excess_fraction=0.5))),
    ("S015", "an unknown solvent", with_electrode(LCO, solvent="benzene")),
    ("S015", "an unknown binder", with_electrode(LCO, binder="nitrocellulose")),
    ("S015", "drying beyond the flash point", with_electrode(LCO, drying_C=300.0)),
    ("S015", "fractions beyond one", with_electrode(LCO, carbon_fraction=0.5)),
    ("S015", "another counter electrode", with_cell(LCO, counter="sodium disc, 15 mm")),
    ("S015", "lithium on aluminium at 10 mV", with_cycling(LCO, min_voltage_V=0.01)),
    ("S016", "a recipe for another compound", LCO.model_copy(update={"recipe": LFP.recipe})),
    ("S016", "a candidate by another name", LCO.model_copy(update={"formula": "LiNiO2"})),
    ("S016", "no working ion inside", LCO.model_copy(update={"working_ion": "Na"})),
    *[("S003", f"{' and '.join(formulas)} ground together", mixture(*formulas)) for formulas in (
        ("MnO2", "C"), ("V2O5", "C"), ("V2O5", "Na2C2O4"), ("MnO2", "FeC2O4·2H2O"), ("MnO2", "S"), ("CuO", "C"),
        ("Fe2O3", "Al"), ("Li2CO3", "Mg"), ("CuO", "Al"), ("TiO2", "Ti"), ("LiNO3", "S"), ("KNO3", "C12H22O11"),
        ("NaNO3", "FeS"), ("MnO2", "Li2S"), ("MoO3", "Zn"), ("NaNO3", "Na2C2O4"), ("RuO2", "C"), ("P", "MnO2"))],
    *[("S011", f"{' and '.join(formulas)} give {gas}", mixture(*formulas)) for gas, *formulas in (
        ("HF", "LiF", "FeSO4·7H2O"), ("HF", "LiF", "NH4H2PO4"), ("HF", "NaF", "NaHCO3"), ("HF", "VF3", "LiOH·H2O"),
        ("HF", "LiF", "LiH2PO4"), ("HCl", "FeCl3", "FePO4·2H2O"), ("HCl", "ZnCl2", "H3BO3"), ("BF3", "FeF3", "B2O3"),
        ("HBr", "LiBr", "NH4H2PO4"), ("HI", "LiI", "LiOH·H2O"), ("SiF4", "LiF", "SiO2"), ("POF3", "CaF2", "P2O5"),
        ("H2S", "Li2S", "FeSO4·7H2O"), ("H2S", "FeS", "NaH2PO4"), ("H2S", "P2S5", "LiOH·H2O"), ("SO2", "S", "Fe2O3"),
        ("SO2", "Li2SO4", "C"), ("SO2", "Na2SO4", "Li2S"))],
    ("S011", "a sulfate above its decomposition", mixture("FeSO4", "Li2SO4")),
    ("S011", "ammonia by the mole", mixture("NH4H2PO4", "Li2CO3", moles=0.4)),
    ("S011", "a nitride with water", mixture("Li3N", "LiOH·H2O", moles=0.4)),
    *[("S018", f"{' and '.join(formulas)}", mixture(*formulas)) for formulas in (
        ("NH4H2PO4", "KNO3"), ("(NH4)2HPO4", "LiNO3"), ("NH4VO3", "NaNO3"), ("Ni", "FeC2O4·2H2O"),
        ("NiO", "Na2C2O4"), ("Ni(OH)2", "C"), ("NiF2", "Na2C2O4"), ("ZnCl2", "LiCl"), ("FeCl3", "NaCl"),
        ("P2O5", "Li2CO3"), ("AlCl3", "LiCl"))],
    ("S018", "an oxalate in a nickel crucible", with_synthesis(
        mixture("FeC2O4·2H2O"), vessel="nickel crucible", atmosphere="argon")),
    ("S018", "ruthenium in oxygen", with_synthesis(mixture("RuO2", "Li2CO3"), atmosphere="oxygen")),
    *[("S018", f"{formula} boils in a sealed ampoule", with_synthesis(
        mixture(formula, "Li2S"), vessel="sealed silica ampoule", firings=furnace((900, 5, 12), COLD)))
        for formula in ("FeCl3", "ZnCl2", "S", "P", "FeS2", "P2S5", "CuS", "ZrCl4")],
    ("S018", "sulfur heated without a halt", with_synthesis(
        mixture("S", "Li2S", moles=0.01), vessel="sealed silica ampoule", firings=furnace((450, 1, 1), (700, 1, 24), COLD))),
    ("S006", "a firing that ends hot before the next", with_synthesis(LCO, firings=(
        *furnace((800, 5, 12)), *furnace((800, 5, 12), COLD)))),
    ("S006", "a furnace that is not there", with_synthesis(LCO, furnace_name="blast furnace")),
    ("S006", "a die under ten times its load", with_synthesis(LCO, firings=(
        Firing(pressing=Pressing(die_mm=5, load_kN=200), steps=furnace((800, 5, 12), COLD)[0].steps),))),
    ("S006", "a week in the mortar", with_synthesis(LCO, firings=(
        Firing(grinding_min=10_000, steps=furnace((800, 5, 12), COLD)[0].steps),))),
    ("S013", "a fluoride in silica", with_synthesis(FLUORIDE, vessel="sealed silica ampoule")),
    ("S013", "a sulfide in nickel", with_synthesis(LTS, vessel="nickel crucible")),
    ("S014", "sugar by the spoon", replace_powder(LFP, "C12H22O11", powder("C12H22O11", 0.01, role="carbon source"))),
    ("S014", "a metal as carbon source", replace_powder(LFP, "C12H22O11", powder("Fe", 0.0004, role="carbon source"))),
    ("S017", "a nitrate", rename(LCO, "LiNO3")),
    ("S017", "an azide", rename(LCO, "LiN3")),
    ("S017", "a perchlorate", rename(LCO, "LiClO4")),
    ("S017", "a peroxide", rename(LCO, "Li2O2")),
    *[("S017", f"an oxidiser or peroxide, {x}", rename(LCO, x)) for x in (
        "LiMnO4", "KMnO4", "K2MnO4", "Li2FeO4", "BaFeO4", "Li2CrO4", "K2Cr2O7", "Na3MnO4", "MgO2", "CaO2", "Li2MgO4",
        "BaLi2O4", "LiO2", "NaO3")],
    *[("S017", f"nitrogen that is no nitride, {x}", rename(LCO, x)) for x in ("LiN2", "CaN2", "Mg3N7", "NaN3")],
    ("S010", "a powder of which half is something else", replace_powder(
        LCO, "Co3O4", powder("Co3O4", 0.0068, mass_g=3.28, purity=0.5))),
    ("S017", "an acetylide", rename(LCO, "Li2C2")),
    ("S017", "an oxide of a metal nobody judged", rename(LCO, "LiPaO3")),
    *[("S017", f"{a} bonded to {b}", LCO.model_copy(update={"crystal": pair(a, b, r)})) for a, b, r in (
        ("O", "O", 1.46), ("N", "N", 1.18), ("C", "C", 1.2), ("C", "N", 1.16), ("N", "O", 1.25))],
    ("S017", "a hydride", rename(LCO, "LiAlH4")),
    ("S017", "a cyanide", rename(LCO, "LiCN")),
]  # fmt: skip


@pytest.mark.parametrize("formula", [*VOLTAGE_V, "LiTiS2", "LiNiO2", "Li3FeF6", "NaCrO2", "Na2FePO4F", "LiFeClO"])
def test_good_recipes_are_allowed(formula: str) -> None:
    findings = check(make_request(formula))
    assert is_allowed(findings), [f for f in findings if not f.ok]
    assert [f.rule for f in findings] == sorted(RULES)


@pytest.mark.parametrize(("rule", "request_"), [pytest.param(r, q, id=f"{r} {t}") for r, t, q in UNSAFE])
def test_unsafe_requests_are_refused_by_the_right_rule(rule: str, request_: ExperimentRequest) -> None:
    findings = check(request_)
    assert rule in {f.rule for f in findings if not f.ok}
    assert not is_allowed(findings)
    with pytest.raises(SafetyError, match=rule):
        ensure_allowed(request_, findings)


def test_every_rule_is_shown_to_refuse_something() -> None:
    assert {rule for rule, _, _ in UNSAFE} | {"S019"} == set(RULES)  # S019 in the test of the laboratory
    assert len(UNSAFE) > 130


def only(rule: str, request: ExperimentRequest, laboratory: Laboratory | None = None) -> bool:
    return {f.rule for f in check(request, laboratory) if not f.ok} == {rule}


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("S006", lambda r: with_synthesis(r, firings=furnace((1200, 5, 12), COLD))),
        ("S006", lambda r: with_synthesis(r, firings=furnace((800, 5, 12)))),
        ("S009", lambda r: with_cycling(r, nominal_capacity_mAh_g=300.0)),
        ("S008", lambda r: with_cycling(r, max_voltage_V=4.6)),
        ("S009", lambda r: with_cycling(r, cycles=100_000)),
        ("S014", lambda r: replace_powder(r, "Co3O4", powder("Co3O4", 0.0034))),
        ("S015", lambda r: with_electrode(r, solvent="benzene")),
        ("S016", lambda r: r.model_copy(update={"formula": "LiNiO2"})),
    ],
)
def test_one_fault_is_refused_by_one_rule(rule: str, change: Callable[[ExperimentRequest], ExperimentRequest]) -> None:
    assert only(rule, change(LCO))


def test_what_was_not_asked_is_not_allowed() -> None:
    findings = check(LCO)
    assert not is_allowed(())
    assert not is_allowed(findings[:-1])
    assert not is_allowed((*findings[:-1], findings[0]))
    assert not is_allowed((*findings, SafetyFinding(rule="S999", ok=True, text="invented")))
    with pytest.raises(SafetyError, match="not every"):
        ensure_allowed(LCO, ())


def test_an_unknown_powder_makes_every_rule_about_powders_refuse() -> None:
    refused = {f.rule for f in check(replace_powder(LCO, "Co3O4", powder("mystery", 0.01))) if not f.ok}
    assert refused >= {"S003", "S004", "S005", "S010", "S011", "S012", "S013", "S014"}


def test_the_laboratory_decides() -> None:
    assert only("S005", LTS, Laboratory(glovebox=False))
    assert only("S011", LFP, with_furnace(exhaust=False))
    assert only("S012", LFP, with_furnace(atmospheres=frozenset({"air"})))
    assert only("S006", LCO, with_furnace(max_temperature_C=700))
    assert only("S019", NICKELATE, Laboratory(glovebox=False, fume_hood=False))
    acid = mixture("LiF", "LiH2PO4", moles=0.001)
    assert "S011" in {f.rule for f in check(acid) if not f.ok}
    assert "S011" not in {f.rule for f in check(acid, with_furnace(scrubber=True)) if not f.ok}
    hot = with_synthesis(LCO, firings=furnace((1200, 5, 12), COLD))
    assert is_allowed(check(hot, with_furnace(max_temperature_C=1400)))


def test_the_planner_is_not_trusted() -> None:
    # The record claims that nothing but water is set free; the rules count what the powders hold.
    lying = with_synthesis(BIG, byproducts={"H2O": 1.0})
    text = next(f.text for f in check(lying, with_furnace(max_gas_mol=0.1)) if f.rule == "S004")
    # 15 g / 157.755 g/mol = 0.09508 mol; 7 mol of gas for each, and 1 % CO2 from the excess: 0.6665 mol
    # and 23 mol for each of 0.003122 mol of sucrose: 0.0718 mol
    assert "0.739 mol" in text
    assert "S011" in {f.rule for f in check(lying, with_furnace(max_toxic_gas_mol=0.1)) if not f.ok}


def test_every_rule_has_a_text_a_reason_and_a_source() -> None:
    texts = rule_texts()
    assert list(texts) == list(RULES)
    assert all(t.title and t.reason and t.source for t in texts.values())


def test_the_version_changes_with_the_code_that_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    before = rules_version()
    assert {
        "robotics/safety/energetic.py",
        "data/synthesis/precursors.yaml",
        "data/chemistry.py",
    } <= _decided_by().keys()
    monkeypatch.setattr(
        "redoxa.robotics.safety.check._decided_by", lambda: {**_decided_by(), "data/chemistry.py": "changed"}
    )
    assert rules_version() != before


def test_the_version_changes_with_rules_and_limits_and_with_nothing_else() -> None:
    assert rules_version() == rules_version(Laboratory())
    assert rules_version(Laboratory(max_target_g=5)) != rules_version()
    code = "from redoxa.robotics.safety.check import rules_version; print(rules_version())"
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"}
    )
    assert other.stdout.strip() == rules_version()


@pytest.mark.parametrize(
    "formula",
    ["LiMn2O4", "Li2MnO3", "LiNiO2", "LiVPO5", "LiCrO2", "Li3PO4", "Na2FeP2O7", "LiNi0.5Mn1.5O4", "Li2MoO4", "LiFeClO",
     "LiCuO2", "Li2RuO3", "LiNbO3", "Na2Ti3O7", "LiFeSO4F", "KVPO4F", "MgV2O5", "Li4Ti5O12", "Li3N", "Li7MnN4", "Li3FeN2", "TiN", "Li7VN4"],
)  # fmt: skip
def test_what_holds_its_oxygen_firmly_is_no_oxidiser(formula: str) -> None:
    assert _by_charge(parse_formula(formula)) == []
