"""Hull distances against hand calculation and pymatgen's own numbers; scales are never mixed."""

from __future__ import annotations

import pytest

from data.errors import PotentialError
from data.records import Verdict
from data.reference import energy_scale
from screening.base import Model, Subject, Surroundings
from screening.funnel import Context
from screening.relax import Relaxation
from screening.settings import ScreenSettings
from screening.stability import Hulls, StabilityCharge, StabilityDischarge
from tests.unit.screening.conftest import cubic, reference_of

BINARY = {"Li": -2.0, "O2": -5.0, "Li2O": -5.0}
"""eV/atom: forming Li2O from the elements gains 2.0 eV/atom."""

TERNARY = {
    "Li": -1.9, "Fe": -8.4, "O2": -4.9, "Li2O": -4.8, "FeO": -6.4, "Fe2O3": -6.7, "Fe3O4": -6.75, "LiFeO2": -6.1,
    "Li5FeO4": -5.2, "Li2O2": -4.6, "LiFe5O8": -6.6,
}  # fmt: skip


def around_of(energies: dict[str, float], settings: ScreenSettings | None = None) -> Surroundings:
    reference = reference_of(energies)
    return Surroundings(settings or ScreenSettings(), Model("chgnet-0.3.0", "s", 0.03), reference, Hulls(reference))


def state(numbers: list[int], energy_eV_per_atom: float) -> Relaxation:
    crystal = cubic(numbers, [[i / len(numbers), 0, 0] for i in range(len(numbers))], 4.0)
    return Relaxation(
        crystal=crystal, energy_eV=energy_eV_per_atom * len(numbers), converged=True, steps=1, force_calls=1,
        max_force_eV_A=0.0, max_stress_eV_A3=0.0, seconds=0.0,
    )  # fmt: skip


def subject_of(discharged: Relaxation, charged: Relaxation | None = None) -> Subject:
    from tests.unit.screening.conftest import candidate

    return Subject(candidate(discharged.crystal), discharged=discharged, charged=charged)


def test_by_hand():
    hulls = Hulls(reference_of(BINARY))
    # Li2O2 sits between Li2O and O2: per 4 atoms 3 x -5.0 (Li2O) + 1 x -5.0 (O)
    found = hulls.distance({"Li": 2, "O": 2}, -4.9)
    assert found.value_eV_per_atom == pytest.approx(0.1)
    assert found.products == pytest.approx({"Li2O": 0.75, "O2": 0.25})
    assert found.products_text == "0.75 Li2O + 0.25 O2"
    assert found.coverage.n_phases == 3


def test_below_the_known_hull_is_negative_and_the_own_formula_competes():
    hulls = Hulls(reference_of(BINARY))
    assert hulls.distance({"Li": 2, "O": 2}, -5.05).value_eV_per_atom == pytest.approx(-0.05)
    assert hulls.distance({"Li": 4, "O": 2}, -4.98).value_eV_per_atom == pytest.approx(0.02)
    assert hulls.distance({"Li": 4, "O": 2}, -4.98).products == pytest.approx({"Li2O": 1.0})


@pytest.mark.parametrize(
    ("composition", "energy"),
    [({"Li": 1, "Fe": 1, "O": 2}, -6.0), ({"Li": 2, "Fe": 3, "O": 5}, -6.0), ({"Fe": 2, "O": 4}, -5.5)],
)
def test_equals_pymatgen(composition, energy):
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    reference = reference_of(TERNARY)
    diagram = PhaseDiagram(reference.pd_entries({"Li", "Fe", "O"}))
    target = Composition(composition)
    expected = diagram.get_e_above_hull(PDEntry(target, energy * target.num_atoms), allow_negative=True)
    assert Hulls(reference).distance(composition, energy).value_eV_per_atom == pytest.approx(expected, abs=1e-9)


def test_the_diagram_of_a_system_is_built_once(monkeypatch):
    reference = reference_of(TERNARY)
    asked = []
    entries = reference.entries
    monkeypatch.setattr(reference, "entries", lambda e: asked.append(frozenset(e)) or entries(e))
    hulls = Hulls(reference)
    before = len(asked)
    for energy in (-6.0, -5.9):
        hulls.distance({"Li": 1, "Fe": 1, "O": 2}, energy)
    built = [a for a in asked[before:] if a == {"Li", "Fe", "O"}]
    assert len(built) == 3  # one for the diagram, one for the coverage of each


def test_both_states_with_their_coverage():
    discharged, charged = state([3, 26, 8, 8], -6.0), state([26, 8, 8], -6.0)
    around = around_of(TERNARY)
    low = StabilityDischarge().evaluate(subject_of(discharged, charged), around)
    assert low.estimate.value == pytest.approx(0.1)
    assert low.estimate.unit == "eV/atom"
    assert "11 reference phases" in low.notes["hull_coverage_discharge"]
    high = StabilityCharge().evaluate(subject_of(discharged, charged), around)
    # FeO2 against 5/6 Fe2O3 + 1/6 O2: -6.7 * 5/6 - 4.9 / 6 = -6.4
    assert high.estimate.value == pytest.approx(0.4)
    assert high.notes["decomposes_to_charge"] == "0.83 Fe2O3 + 0.17 O2"


def test_without_a_reference_for_an_element_there_is_no_hull():
    subject = subject_of(state([3, 26, 8, 8], -6.0))
    limited = StabilityDischarge().evaluate(subject, around_of(BINARY))
    assert (limited.estimate, limited.verdict) == (None, Verdict.UNDETERMINED)
    assert "Fe" in limited.reasons[0].text
    free = StabilityDischarge().evaluate(subject, around_of(BINARY, ScreenSettings.permissive()))
    assert (free.estimate, free.verdict) == (None, Verdict.PASS)


@pytest.mark.parametrize("scale", ["r2SCAN by chgnet-r2scan", "MP2020-corrected PBE/PBE+U by mace-mp-0"])
def test_scales_are_never_mixed(scale):
    with pytest.raises(PotentialError, match="never mixed"):
        Context(reference_of(BINARY, scale)).surroundings(ScreenSettings())
    with pytest.raises(PotentialError, match="never mixed"):
        own = energy_scale("MP2020-corrected PBE/PBE+U", "chgnet-0.3.0")
        Context(reference_of(BINARY, own)).surroundings(ScreenSettings(potential="chgnet-r2scan"))
