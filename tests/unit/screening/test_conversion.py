"""Conversion: voltages by hand, and those of pymatgen's own conversion electrode."""

from __future__ import annotations

import pytest

from redoxa.data.errors import InputError
from redoxa.data.tables.reference import load_reference
from redoxa.data.units import ION_VALENCE
from redoxa.screening.contract import check_gate
from redoxa.screening.physics.hull_energy import Competitors, formula_atoms
from redoxa.screening.properties.conversion import ConversionVoltage, convert, converted, host_formula, without_host
from tests.unit.screening.conftest import IRON_OXIDES, TERNARY, around_of, reference_of, state, subject_of

PHASES = reference_of(TERNARY).entries({"Li", "Fe", "O"})


def test_the_average_by_hand():
    found = convert(
        Competitors(reference_of(IRON_OXIDES).entries({"Li", "Fe", "O"})),
        "FeO",
        IRON_OXIDES["FeO"],
        "Li",
        IRON_OXIDES["Li"],
        2.0,
    )
    by_hand_eV = 2 * IRON_OXIDES["FeO"] + 2 * IRON_OXIDES["Li"] - IRON_OXIDES["Fe"] - 3 * IRON_OXIDES["Li2O"]
    assert found.average_V == pytest.approx(by_hand_eV / 2)
    assert found.products == pytest.approx({"Fe": 1.0, "Li2O": 1.0})
    widths = [step.n_after - step.n_before for step in found.steps]
    assert sum(w * s.voltage_V for w, s in zip(widths, found.steps, strict=True)) == pytest.approx(by_hand_eV)
    assert [s.voltage_V for s in found.steps] == sorted((s.voltage_V for s in found.steps), reverse=True)


@pytest.mark.parametrize(
    ("host", "ion"), [("FeF3", "Li"), ("CoO", "Li"), ("CuO", "Na"), ("MnO2", "Mg"), ("TiS2", "Li")]
)
def test_steps_are_those_of_pymatgen(host, ion):
    from pymatgen.analysis.phase_diagram import PhaseDiagram
    from pymatgen.core import Composition, Element

    reference, elements = load_reference(), {*formula_atoms(host), ion}
    metal_eV = reference.ion_metal_energy(ion)
    profile = PhaseDiagram(reference.pd_entries(elements)).get_element_profile(Element(ion), Composition(host))
    theirs = [(metal_eV - step["chempot"]) / ION_VALENCE[ion] for step in reversed(profile)]
    found = convert(Competitors(reference.entries(elements)), host, 0.0, ion, metal_eV, 1.0)
    assert [s.voltage_V for s in found.steps] == pytest.approx([v for v in theirs if v > 1e-3], abs=1e-3)
    contents = [step["evolution"] for step in reversed(profile)]
    assert [s.n_after for s in found.steps] == pytest.approx(contents[1:], abs=1e-3)


def test_what_keeps_the_host_is_insertion_and_left_out():
    left = {entry.formula for entry in without_host(PHASES, "FeO2", "Li")}
    assert set(TERNARY) - left == {"LiFeO2"}
    assert host_formula("Li5FeO4", "Li") == "FeO4"
    assert host_formula("Li", "Li") == ""


@pytest.mark.parametrize(("ion", "ions"), [("Fe", 1.0), ("Li", 0.0)])
def test_without_ions_there_is_no_conversion(ion, ions):
    with pytest.raises(InputError, match="conversion needs a working ion"):
        convert(Competitors(PHASES), "FeO", -6.4, ion, -1.9, ions)


def test_the_property_breaks_up_the_charged_host():
    subject = subject_of(state([3, 26, 8, 8], -6.1), state([26, 8, 8], -6.5))
    around = around_of(TERNARY)
    found = check_gate(ConversionVoltage(), subject, around)
    # FeO2 + Li -> LiFeO2 is the insertion; without it the lowest is 2/3 Li2O2 or Li2O with iron oxides
    assert "LiFeO2" not in found.notes["conversion_reaction"].split("->")[1].split()
    assert found.notes["conversion_reaction"].startswith("5 FeO2 + 5 Li -> ")
    atoms = 4.0  # FeO2 + Li
    assert found.estimate.sigma == pytest.approx(0.05 * atoms)


def test_an_unknown_element_gives_no_number():
    subject = subject_of(state([3, 27, 8, 8], -6.1), state([27, 8, 8], -6.5))
    assert ConversionVoltage().evaluate(subject, around_of(TERNARY)).estimate is None


def of_nothing_but_phases(formula: str, ion: str):
    reference = load_reference()
    metal_eV = reference.ion_metal_energy(ion)
    return converted(Competitors(reference.entries({*formula_atoms(formula), ion})), formula, ion, metal_eV)


@pytest.mark.parametrize(("formula", "volts"), [("Li2O", 3.0), ("Li3N", 0.6), ("LiF", 6.3), ("LiAlO2", 3.9)])
def test_compounds_without_a_host(formula, volts):
    """2.91, 0.44 and 6.1 V by free energies of formation (NIST-JANAF) at 298 K; enthalpies give 3.10, 0.57 and 6.4 V."""
    found = of_nothing_but_phases(formula, "Li")
    assert found.average_V == pytest.approx(volts, abs=0.06)
    widths = [s.n_after - s.n_before for s in found.steps]
    average = sum(w * s.voltage_V for w, s in zip(widths, found.steps, strict=True)) / sum(widths)
    assert average == pytest.approx(found.average_V, abs=1e-4)


MEASURED = {
    ("Si", "Li"): (
        0.24,
        "Wen, Huggins, J. Solid State Chem. 37, 271 (1981): 332, 288, 158, 44 mV at 415 C, to Li15Si4",
    ),
    ("Sn", "Li"): (
        0.48,
        "Wang, Raistrick, Huggins, J. Electrochem. Soc. 133, 457 (1986): 0.66 to 0.38 V at 25 C, to Li7Sn2",
    ),
    ("Al", "Li"): (0.38, "Wen, Boukamp, Huggins, Weppner, J. Electrochem. Soc. 126, 2258 (1979): LiAl"),
    ("Sn", "Na"): (0.20, "Ellis, Hatchard, Obrovac, J. Electrochem. Soc. 159, A1801 (2012): to Na15Sn4"),
}
"""Average voltages of alloying in V."""


@pytest.mark.parametrize("pair", MEASURED, ids=lambda pair: "-".join(reversed(pair)))
def test_alloys_lie_near_the_measured_curves(pair):
    host, ion = pair
    found = of_nothing_but_phases(host, ion)
    reached = found if pair != ("Al", "Li") else found.steps[0]
    value = reached.average_V if pair != ("Al", "Li") else reached.voltage_V
    assert value == pytest.approx(MEASURED[pair][0], abs=0.15)


def test_a_compound_without_a_host_has_its_curve_told():
    from redoxa.screening.base import Subject
    from tests.unit.screening.conftest import candidate

    subject = Subject(candidate(state([3, 3, 8], -4.8).crystal), converts=True)
    found = check_gate(ConversionVoltage(), subject, around_of(TERNARY))
    assert found.notes["conversion_reaction"] == "O2 + 4 Li -> 2 Li2O"
    assert found.notes["conversion_curve"].endswith("in LixO")
    assert found.estimate.sigma == pytest.approx(0.05 * 3 / 2)


def test_what_the_reference_does_not_cover_is_said():
    from redoxa.screening.base import Subject
    from tests.unit.screening.conftest import candidate

    subject = Subject(candidate(state([26], -8.4).crystal), converts=True)
    found = ConversionVoltage().evaluate(subject, around_of({"Li": -1.9, "Fe": -8.4}))
    assert found.verdict == "undetermined"
    assert "is not covered" in found.reasons[0].text


def test_insertion_below_conversion_is_flagged():
    from redoxa.data.records import Estimate

    subject = subject_of(state([3, 26, 8, 8], -6.1), state([26, 8, 8], -6.5))
    volts = {"unit": "V", "method": "m", "model": "m", "sigma": 0.1}
    for value, flagged in ((0.5, True), (9.0, False)):
        subject.estimates["average_voltage_raw"] = Estimate(value=value, **volts)
        found = ConversionVoltage().evaluate(subject, around_of(TERNARY))
        assert [r.code for r in found.reasons] == (["converts_first"] if flagged else [])
