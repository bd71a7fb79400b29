"""Crystals that were once judged as what they are not; they lie in the shared folder beside the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from redoxa.data.io import read_crystals
from redoxa.data.records import Candidate, Crystal, Origin
from redoxa.data.tables.datasets import shared_dir
from redoxa.data.tables.reference import load_reference
from redoxa.screening.base import Model, Subject, Surroundings
from redoxa.screening.gates.redox import Redox
from redoxa.screening.physics.hulls import Hulls
from redoxa.screening.properties.conversion import ConversionVoltage
from redoxa.screening.settings import ScreenSettings

CONVERTS_V = {
    "Li2O": 3.04,
    "Li3N": 0.59,
    "LiF": 6.31,
    "LiAlO2": 3.86,
    "Si_diamond": 0.36,
    "LiSi": 0.36,
    "Li15Si4": 0.36,
}
INSERTS = {
    # ions that leave by cell, whether the anions pay, and what is said besides
    "LiCoO2": (1, False, {}),
    "Li05CoO2": (1, False, {"room": "up to 1 more Li by Li(CoO2)2"}),
    "Li2MnO3": (4, True, {}),
    "LiNaCo2O4": (1, False, {"other_ions": "Na would leave as well; the numbers are for Li alone, the rest stays"}),
}


def read(name: str) -> Crystal:
    shared = shared_dir()
    path = Path() if shared is None else shared / "cases" / "structures" / f"phys_{name}.cif"
    if shared is None or not path.exists():
        pytest.skip("the shared cases are not beside the checkout")
    return read_crystals(path)[0].crystal


def judged(name: str) -> tuple[Subject, dict[str, str], Surroundings]:
    reference = load_reference()
    around = Surroundings(ScreenSettings.permissive(), Model("chgnet-0.3.0", "s", 0.03), reference, Hulls(reference))
    origin = Origin(generator="file", seed=0)
    subject = Subject(Candidate(crystal=read(name), working_ion="Li", origin=origin))
    return subject, Redox().evaluate(subject, around).notes, around


@pytest.mark.shared
@pytest.mark.parametrize("name", CONVERTS_V)
def test_no_insertion_voltage_is_given_where_no_host_would_stay(name: str) -> None:
    subject, _, around = judged(name)
    assert subject.converts
    found = ConversionVoltage().evaluate(subject, around)
    assert found.estimate.value == pytest.approx(CONVERTS_V[name], abs=0.02)
    assert found.notes["conversion_curve"]


@pytest.mark.shared
@pytest.mark.parametrize("name", INSERTS)
def test_what_holds_the_ion_is_charged_first(name: str) -> None:
    subject, notes, _ = judged(name)
    removed, anions, said = INSERTS[name]
    assert not subject.inserts
    assert not subject.converts
    assert (subject.n_removed, subject.anion_redox) == (removed, anions)
    assert {key: notes[key] for key in ("room", "other_ions") if key in notes} == said
