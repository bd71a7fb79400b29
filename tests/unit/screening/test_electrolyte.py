"""Electrochemical windows and interfaces against pymatgen's own; margins of liquids by hand."""

from __future__ import annotations

import pytest

from redoxa.data.errors import InputError
from redoxa.data.records import Estimate
from redoxa.data.tables.reference import load_reference
from redoxa.screening.contract import check_gate
from redoxa.screening.physics.hull_energy import Competitors, formula_atoms
from redoxa.screening.properties.electrolyte import (
    LIQUIDS,
    ElectrolyteMargin,
    InterfaceReactionEnergy,
    interface,
    interface_with,
    window,
)
from redoxa.screening.settings import ScreenSettings
from tests.unit.screening.conftest import TERNARY, around_of, state, subject_of

REFERENCE = load_reference()
LAYERED = subject_of(state([3, 26, 8, 8], -6.1), state([26, 8, 8], -6.3))


def held(formula: str) -> float:
    entries = REFERENCE.entries(formula_atoms(formula))
    return next(e.energy_eV_per_atom for e in entries if e.formula == formula)


@pytest.mark.parametrize("formula", ["Li3PO4", "Li2S", "Li3PS4", "LiFePO4"])
def test_windows_are_those_of_pymatgen(formula):
    from pymatgen.analysis.phase_diagram import PhaseDiagram
    from pymatgen.core import Composition, Element

    metal_eV = REFERENCE.ion_metal_energy("Li")
    phases = REFERENCE.entries(formula_atoms(formula))
    found = window(Competitors(phases), formula, "Li", metal_eV)
    diagram = PhaseDiagram(REFERENCE.pd_entries(formula_atoms(formula)))
    profile = diagram.get_element_profile(Element("Li"), Composition(formula))
    volts = [metal_eV - step["chempot"] for step in profile]  # from lithium-rich to lithium-poor
    uptakes = [step["evolution"] for step in profile]
    own = next(i for i, uptake in enumerate(uptakes) if abs(uptake) < 1e-6)
    assert found.reduction_V == pytest.approx(max(0.0, volts[own]), abs=1e-3)
    assert found.oxidation_V == pytest.approx(volts[own + 1], abs=1e-3)


def test_a_window_tells_its_reactions():
    found = window(Competitors(REFERENCE.entries({"Li", "P", "O"})), "Li3PO4", "Li", REFERENCE.ion_metal_energy("Li"))
    assert found.reduction == "Li3PO4 + 8 Li -> 4 Li2O + Li3P"
    assert found.text.startswith(f"{found.reduction_V:.2f} to {found.oxidation_V:.2f} V (Li3PO4 + 8 Li")


def test_a_host_without_ions_has_no_upper_end():
    found = window(Competitors(REFERENCE.entries({"Li", "Fe", "O"})), "Fe2O3", "Li", REFERENCE.ion_metal_energy("Li"))
    assert found.oxidation_V is None
    assert " V upwards" in found.text


def test_only_working_ions_have_windows():
    with pytest.raises(InputError, match="not a working ion"):
        window(Competitors([]), "Li3PO4", "Fe", -8.0)


@pytest.mark.parametrize(("electrode", "electrolyte"), [("CoO2", "Li3PS4"), ("LiCoO2", "Li3PS4"), ("FePO4", "Li3PO4")])
def test_interfaces_are_those_of_pymatgen(electrode, electrolyte):
    from pymatgen.analysis.interface_reactions import InterfacialReactivity
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    elements = {*formula_atoms(electrode), *formula_atoms(electrolyte)}
    held_phases = [(Composition(e.formula), e.energy_eV_per_atom) for e in REFERENCE.entries(elements)]
    diagram = PhaseDiagram([PDEntry(c, energy * c.num_atoms) for c, energy in held_phases])
    theirs = InterfacialReactivity(Composition(electrode), Composition(electrolyte), diagram, norm=True)
    phases = Competitors(REFERENCE.entries(elements))
    found = interface(phases, (electrode, held(electrode)), (electrolyte, held(electrolyte)))
    assert found.energy_eV_per_atom == pytest.approx(theirs.minimum[1], abs=2e-3)


def test_phases_that_are_content_do_not_react():
    phases = Competitors(REFERENCE.entries({"Li", "P", "O"}))
    found = interface(phases, ("Li3PO4", held("Li3PO4")), ("Li2O", held("Li2O")))
    assert (found.energy_eV_per_atom, found.reaction) == (0.0, "")


def test_the_margin_is_to_the_limit_that_matters_for_the_role():
    around = around_of(TERNARY)
    LAYERED.estimates["average_voltage"] = Estimate(value=4.0, sigma=0.15, unit="V", method="m", model="m")
    cathode = check_gate(ElectrolyteMargin(), LAYERED, around)
    assert cathode.estimate.value == pytest.approx(LIQUIDS["Li"].oxidation_V - 4.0)
    assert cathode.estimate.sigma == pytest.approx(0.25)  # sqrt(0.15^2 + 0.2^2)
    assert {"stability_window_discharge", "stability_window_charge"} <= set(cathode.notes)
    anode = ElectrolyteMargin().evaluate(LAYERED, around_of(TERNARY, ScreenSettings.permissive(role="anode")))
    assert anode.estimate.value == pytest.approx(4.0 - LIQUIDS["Li"].reduction_V)


def test_the_best_solid_electrolyte_is_named_and_all_are_told():
    cobalt = subject_of(state([3, 27, 8, 8], held("LiCoO2")), state([27, 8, 8], held("CoO2")))
    around = around_of({e.formula: e.energy_eV_per_atom for e in REFERENCE})
    found = check_gate(InterfaceReactionEnergy(), cobalt, around)
    told = found.notes["solid_electrolytes"]
    assert all(name in told for name in ("Li3PS4", "Li6PS5Cl", "Li3PO4"))
    worst = interface_with(cobalt.both[1], "Li3PS4", around.reference)
    assert worst.energy_eV_per_atom < found.estimate.value <= 0.0  # sulfides are oxidised by charged oxides


def test_without_elements_there_is_no_interface():
    assert InterfaceReactionEnergy().evaluate(LAYERED, around_of(TERNARY)).estimate is None
