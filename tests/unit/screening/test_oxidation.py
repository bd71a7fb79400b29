"""Oxidation states by charge balance and by magnetic moments."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest

from redoxa.data.chemistry import oxidation_states
from redoxa.data.records import Verdict
from redoxa.data.tables.prototypes import prototype
from redoxa.screening.base import Subject
from redoxa.screening.compute.relax import Relaxation, relax
from redoxa.screening.ions.removal import ion_sites, without
from redoxa.screening.physics.moments import LEAST_CRYSTALS, shipped_moments, typical_moments
from redoxa.screening.properties.oxidation import CationRedoxShare, element_charges, state_of
from tests.unit.screening.conftest import candidate
from tests.unit.screening.test_gates import AROUND


@pytest.fixture(scope="module")
def both(chgnet):
    """Relaxed discharged and charged state of a prototype: moments follow the bond lengths."""

    @cache
    def states(name: str) -> tuple[Relaxation, Relaxation]:
        crystal = prototype(name).crystal
        empty = without(crystal, ion_sites(crystal, prototype(name).working_ion))
        return relax(crystal, chgnet), relax(empty, chgnet)

    return states


def found_in(name: str, states: Sequence[Relaxation], moments: bool = True):
    entry = prototype(name)
    sites = ion_sites(entry.crystal, entry.working_ion)
    if not moments:
        states = [state.model_copy(update={"magmoms_muB": ()}) for state in states]
    subject = Subject(candidate(entry.crystal, entry.working_ion), discharged=states[0], charged=states[1])
    subject.n_removed = len(sites)
    return CationRedoxShare().evaluate(subject, AROUND)


@pytest.mark.parametrize(
    ("name", "element", "before", "after"),
    [
        ("tavorite LiFeSO4F", "Fe", 2, 3),
        ("O3' LiMnO2", "Mn", 3, 4),
        ("spinel LiMn2O4", "Mn", 3.5, 4),
        ("tavorite LiVPO4F", "V", 3, 4),
        ("tavorite LiVPO5", "V", 4, 5),
        ("alpha' bronze NaV2O5", "V", 4.5, 5),
    ],
)
def test_moments_tell_the_states_that_chemists_write(name, element, before, after, both):
    (change,) = element_charges(*both(name))
    assert change.element == element
    assert change.balance == pytest.approx((before, after))
    assert change.by_moments == pytest.approx((before, after), abs=0.3)
    assert not change.contradicts


def test_an_oxoanion_keeps_its_state():
    assert oxidation_states({"Li": 1, "V": 1, "P": 1, "O": 4, "F": 1}) == {"Li": 1, "V": 3, "P": 5, "O": -2, "F": -1}
    assert oxidation_states({"Fe": 1, "S": 1, "O": 4})["S"] == 6


def test_the_cations_of_a_phosphate_pay_for_all(both):
    found = found_in("tavorite LiVPO5", both("tavorite LiVPO5"))
    assert found.estimate.value == pytest.approx(1.0, abs=0.15)
    assert "magnetic moments (V)" in found.estimate.method
    assert found.reasons == []


def test_anion_redox_is_flagged(both):
    found = found_in("Li-rich Li2MnO3", both("Li-rich Li2MnO3"))  # Mn4+ has nothing to give
    assert found.estimate.value < 0.2
    assert [r.code for r in found.reasons] == ["anion_redox"]
    assert found.verdict is Verdict.PASS


def test_without_moments_charge_balance_speaks_alone(both):
    found = found_in("tavorite LiFeSO4F", both("tavorite LiFeSO4F"), moments=False)
    assert (found.estimate.value, found.estimate.method) == (pytest.approx(1.0), "charge balance")
    assert found.notes["redox"] == "Fe +2 to +3"


def test_states_that_moments_do_not_tell_apart_are_not_told():
    oxide = {"Li": 1, "Co": 1, "O": 2}
    assert state_of("Co", oxide, np.array([0.1])) is None  # Co3+ has low and high spin
    assert state_of("Ti", {"Ti": 1, "S": 2}, np.array([0.1])) is None
    assert state_of("Mn", {"Mn": 1, "N": 1}, np.array([4.0])) is None  # no crystals with this anion were counted
    assert state_of("Fe", {"Fe": 1, "O": 1}, np.array([4.05]), balance=4.0) is None  # Fe4+ lies too near to Fe3+


def test_a_moment_between_two_states_is_a_mixture_of_them():
    known = {m.state: m.median_muB for m in shipped_moments()["Mn", "O"]}
    middle = (known[3] + known[4]) / 2
    assert state_of("Mn", {"Mn": 2, "O": 4}, np.array([middle] * 2), 3.5) == pytest.approx(3.5, abs=0.05)
    apart = state_of("Mn", {"Mn": 2, "O": 4}, np.array([known[3], known[4]]), 3.5)
    assert apart == pytest.approx(3.5, abs=0.15)


def test_counting_moments(chgnet):
    salts = [prototype(n).crystal for n in ("tavorite LiFeSO4F", "borate LiFeBO3", "silicate Li2FeSiO4")]
    others = [prototype("spinel LiMn2O4").crystal, prototype("graphite LiC6").crystal]  # mixed states; no redox metal
    (row,) = typical_moments([*salts, *others], chgnet)
    assert (row.element, row.state, row.anion, row.crystals) == ("Fe", 2, "O", len(salts))
    assert row.median_muB == pytest.approx(3.7, abs=0.3)
    assert typical_moments(salts[: LEAST_CRYSTALS - 1], chgnet) == []
