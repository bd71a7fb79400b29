"""Hull distances against hand calculation and pymatgen's own numbers; scales are never mixed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scipy import stats

from redoxa.data.errors import PotentialError
from redoxa.data.records import Verdict
from redoxa.data.tables.reference import energy_scale
from redoxa.screening.funnel import Context
from redoxa.screening.physics.hulls import Hulls
from redoxa.screening.properties.stability import (
    DEGREES_OF_FREEDOM,
    HULL_MAE_eV_PER_ATOM,
    MaxInstability,
    ProbabilityNearHull,
    StabilityCharge,
    StabilityDischarge,
    T_SCALE_eV_PER_ATOM,
    probability_near_hull,
)
from redoxa.screening.settings import ScreenSettings
from tests.unit.screening.conftest import TERNARY, around_of, reference_of, state, subject_of

BINARY = {"Li": -2.0, "O2": -5.0, "Li2O": -5.0}
"""eV/atom: forming Li2O from the elements gains 2.0 eV/atom."""


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
    assert len(built) == 2  # one for the phases, one for the coverage


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


def test_the_decomposition_is_told_as_a_reaction():
    found = StabilityCharge().evaluate(
        subject_of(state([3, 26, 8, 8], -6.0), state([26, 8, 8], -6.0)), around_of(TERNARY)
    )
    assert found.notes["decomposition_charge"] == "4 FeO2 -> 2 Fe2O3 + O2"


def test_the_chance_to_lie_near_the_hull_follows_from_the_error_of_the_potential():
    errors = stats.t(DEGREES_OF_FREEDOM, scale=T_SCALE_eV_PER_ATOM)
    assert errors.expect(abs) == pytest.approx(HULL_MAE_eV_PER_ATOM, rel=1e-3)
    for distance in (-0.1, 0.0, 0.1, 0.3):
        assert probability_near_hull(distance) == pytest.approx(errors.cdf(0.1 - distance))
    found = ProbabilityNearHull().evaluate(subject_of(state([3, 26, 8, 8], -6.0)), around_of(TERNARY))
    assert found.estimate.value == pytest.approx(0.5)  # LiFeO2 at 0.1 eV/atom above the hull
    assert "11 reference phases" in found.estimate.method


def test_the_chance_is_that_of_the_state_which_is_made():
    discharged, charged = state([3, 26, 8, 8], -6.0), state([26, 8, 8], -6.0)
    empty = replace(subject_of(discharged, charged), inserts=True)
    found = ProbabilityNearHull().evaluate(empty, around_of(TERNARY))
    assert found.estimate.value == pytest.approx(probability_near_hull(0.4))


def test_states_between_the_ends_may_lie_highest():
    ends = state([3, 3, 26, 26, 8, 8, 8, 8], -6.1), state([26, 26, 8, 8, 8, 8], -6.35)
    halves = state([3, 26, 26, 8, 8, 8, 8], -5.9), state([3, 26, 26, 8, 8, 8, 8], -5.8)
    around = around_of(TERNARY)
    half = around.hulls.distance({"Li": 1, "Fe": 2, "O": 4}, -5.9).value_eV_per_atom
    found = MaxInstability().evaluate(replace(subject_of(*ends), between=halves), around)
    assert found.estimate.value == pytest.approx(half)  # the lower of two orderings
    assert (
        found.notes["stability_of_states"]
        == f"FeO2 +0.050 eV/atom, Li(FeO2)2 {half:+.3f} eV/atom, LiFeO2 +0.000 eV/atom"
    )
    assert MaxInstability().evaluate(subject_of(*ends), around).estimate is None


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
