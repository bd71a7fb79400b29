"""Reversible capacities: the shipped table is sane, the share is learned, and the sigma holds for families left out."""

from __future__ import annotations

import numpy as np
import pytest

from redoxa.data.records import Verdict
from redoxa.screening.base import Model, Subject, Surroundings
from redoxa.screening.gates.redox import Redox
from redoxa.screening.physics.hulls import Hulls
from redoxa.screening.physics.usable_share import (
    Removal,
    UsableShare,
    known_capacities,
    leave_families_out,
    shipped_share,
)
from redoxa.screening.properties.capacity import CapacityGrav, UsableCapacity, relative_sigma
from redoxa.screening.settings import ScreenSettings
from tests.unit.screening.conftest import METALS, from_library, reference_of

KNOWN = known_capacities()
MEASURED = np.array([k.reversible_mAh_g for k in KNOWN])
THEORY = np.array([k.removal.theory_mAh_g for k in KNOWN])
AROUND = Surroundings(ScreenSettings(), Model("m", "s", 0.03), reference_of(METALS), Hulls(reference_of(METALS)))


def screened(name: str) -> Subject:
    subject = Subject(from_library(name))
    assert Redox().evaluate(subject, AROUND).verdict is Verdict.PASS
    return subject


def test_the_shipped_table_is_broad():
    assert len(KNOWN) >= 40
    assert {k.ion for k in KNOWN} >= {"Li", "Na", "K", "Mg", "Zn"}
    assert len({k.family for k in KNOWN}) >= 20
    assert len({(k.formula, k.family) for k in KNOWN}) == len(KNOWN)


@pytest.mark.parametrize("known", KNOWN, ids=lambda k: f"{k.formula} {k.family}")
def test_a_published_capacity_is_possible(known):
    removal = known.removal
    full_mAh_g = removal.theory_mAh_g * removal.composition[known.ion] / removal.moved
    assert known.reversible_mAh_g <= 1.05 * full_mAh_g
    assert 0.3 <= known.share <= 1.05
    assert known.reversible_mAh_g <= known.capacity_mAh_g * 1.0001  # `per` lacks ions, nothing else
    assert known.source[-1] == ")" or "doi:10." in known.source


def test_one_sigma_covers_two_thirds_of_families_that_were_left_out():
    found = np.array(leave_families_out(KNOWN))
    errors = np.abs(found[:, 0] * THEORY - MEASURED)
    assert 0.60 <= np.mean(errors <= found[:, 1] * THEORY) <= 0.75
    assert errors.mean() <= 30
    assert errors.mean() <= 0.5 * np.abs(THEORY - MEASURED).mean()
    short = THEORY - MEASURED
    assert 0.60 <= np.mean(short <= (1 - found[:, 0] + found[:, 1] / 2) * THEORY) <= 0.75


@pytest.mark.parametrize(
    ("name", "published"), [("NASICON Na3V2(PO4)3", 117.6), ("olivine LiFePO4", 160.0), ("spinel LiMn2O4", 120.0)]
)
def test_well_known_electrodes_are_met_within_one_sigma(name, published):
    subject = screened(name)
    found = UsableCapacity().evaluate(subject, AROUND)
    assert found.estimate.value == pytest.approx(published, abs=found.estimate.sigma)
    assert f"from {len(KNOWN)} published capacities" in found.estimate.method
    assert found.estimate.value < CapacityGrav().evaluate(subject, AROUND).estimate.value


def test_theory_stays_and_its_sigma_reaches_what_is_usable():
    subject = screened("NASICON Na3V2(PO4)3")
    theory, usable = (kind.evaluate(subject, AROUND).estimate for kind in (CapacityGrav(), UsableCapacity()))
    assert theory.value == pytest.approx(176.4, rel=0.005)
    assert theory.value - theory.sigma == pytest.approx(usable.value - usable.sigma / 2)


def test_few_electrodes_move_the_share_little_and_an_unknown_element_is_less_sure():
    olivine, chromate = (next(k.removal for k in KNOWN if k.formula == f) for f in ("LiFePO4", "NaCrO2"))
    one = UsableShare([k for k in KNOWN if k.formula == "NaFeO2"], 0.14)
    assert one(olivine)[0] == pytest.approx(0.7, abs=0.25)
    without = UsableShare([k for k in KNOWN if "Cr" not in k.formula], shipped_share().noise)
    assert without(chromate)[1] > shipped_share()(chromate)[1]
    assert 0 < relative_sigma(olivine) < relative_sigma(chromate) < 1


def test_hosts_of_no_known_kind_get_a_share_too():
    for content, ion in (({"Li": 1, "Sn": 1}, "Li"), ({"Li": 3, "P": 1}, "Li"), ({"Mg": 1, "Mo": 6, "S": 8}, "Mg")):
        share, sigma = shipped_share()(Removal(content, ion, 1))
        assert 0 < share <= 1
        assert sigma >= shipped_share().noise


def test_the_nearest_published_capacity_has_its_source():
    from redoxa.screening.physics.usable_share import Removal

    found = shipped_share().nearest(Removal({"Li": 1, "Fe": 1, "P": 1, "O": 4}, "Li", 1))
    assert found.formula == "LiFePO4"
    assert found.source
    assert shipped_share().nearest(Removal({"K": 1, "W": 1, "O": 3}, "K", 1)) is None
