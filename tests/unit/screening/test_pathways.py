"""The properties over room and bond valence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from redoxa.data.records import Verdict
from redoxa.screening.base import Model, Subject, Surroundings
from redoxa.screening.contract import check_gate
from redoxa.screening.physics.hulls import Hulls
from redoxa.screening.properties.pathways import BottleneckRadius, MobilityDimension, PercolationBarrierBv
from redoxa.screening.settings import Range, ScreenSettings
from tests.unit.screening.conftest import METALS, from_library, reference_of, relaxed

REFERENCE = reference_of(METALS)
AROUND = Surroundings(ScreenSettings(), Model("m", "s", 0.03), REFERENCE, Hulls(REFERENCE))
KINDS = (BottleneckRadius, PercolationBarrierBv, MobilityDimension)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.name)
@pytest.mark.parametrize("name", ["spinel LiMn2O4", "graphite LiC6"])
def test_contract(kind, name):
    check_gate(kind(), relaxed(name), AROUND)


def test_notes_say_which_way_and_how_much_more_the_others_cost():
    olivine = PercolationBarrierBv().evaluate(relaxed("olivine LiFePO4"), AROUND)
    assert olivine.notes["bond_valence_barriers"].startswith("1D 0.42 along [0 1 0], 2D 3.5")
    layered = PercolationBarrierBv().evaluate(relaxed("layered LiTiS2"), AROUND)
    assert layered.notes["bond_valence_barriers"].startswith("2D 0.95 in (0 0 1), 3D ")
    assert olivine.estimate.value == pytest.approx(0.43, abs=0.02)
    assert olivine.estimate.sigma == pytest.approx(0.6 * olivine.estimate.value)


def test_a_landscape_that_puts_the_ion_elsewhere_is_told():
    found = PercolationBarrierBv().evaluate(relaxed("thiospinel MgTi2S4"), AROUND)
    assert found.notes["bond_valence_site"] == "the best place lies 2.2 A from the ion's own"


def test_radius_is_told_beside_that_of_the_ion():
    found = BottleneckRadius().evaluate(relaxed("olivine LiFePO4"), AROUND)
    assert found.notes["bottlenecks"].endswith("Li itself has 0.76 A, the largest void 0.71 A")
    assert found.estimate.value == pytest.approx(0.43, abs=0.01)


@pytest.mark.parametrize("kind", [PercolationBarrierBv, MobilityDimension], ids=lambda k: k.name)
def test_without_charges_there_is_a_reason_which_counts_only_where_a_limit_is_set(kind):
    graphite = relaxed("graphite LiC6")
    found = kind().evaluate(graphite, AROUND)
    assert found.estimate is None
    assert [(r.code, r.verdict) for r in found.reasons] == [("no_bond_valence", Verdict.PASS)]
    limited = replace(AROUND, settings=ScreenSettings.model_construct(limits={kind.name: Range(max=1.0)}))
    assert kind().evaluate(graphite, limited).verdict is Verdict.UNDETERMINED


def test_a_relaxed_state_is_needed():
    for kind in KINDS:
        with pytest.raises(LookupError, match="relaxed discharged state"):
            kind().evaluate(Subject(from_library("spinel LiMn2O4")), AROUND)
