"""Conversion: voltages by hand, and those of pymatgen's own conversion electrode."""

from __future__ import annotations

import pytest

from data.errors import InputError
from data.reference import load_reference
from data.units import ION_VALENCE
from screening.contract import check_gate
from screening.conversion import ConversionVoltage, convert, host_formula, without_host
from screening.reference_hull import Competitors, formula_atoms
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
