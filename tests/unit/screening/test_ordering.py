"""Which candidates are told to be one arrangement of a known solid solution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from redoxa.data.records import Crystal, Verdict
from redoxa.data.structures import from_structure, to_structure
from redoxa.data.tables.known_materials import KnownMaterials
from redoxa.data.tables.prototypes import prototype
from redoxa.screening.base import Findings, Subject
from redoxa.screening.contract import check_gate
from redoxa.screening.gates.ordering import OrderedChild
from redoxa.screening.settings import ScreenSettings
from tests.unit.screening.conftest import METALS, around_of, candidate


def known(*names: str) -> KnownMaterials:
    table = KnownMaterials()
    for name in names:
        table.add(prototype(name).crystal, name, "test")
    return table


def half(name: str, old: int, new: int) -> Crystal:
    """Every second atom of an element exchanged, in a cell of two where it has one."""
    structure = to_structure(prototype(name).crystal)
    if sum(z == old for z in structure.atomic_numbers) < 2:
        structure.make_supercell([2, 1, 1])
    places = np.flatnonzero(np.array(structure.atomic_numbers) == old)[::2]
    for place in places.tolist():
        structure.replace(place, new)
    return from_structure(structure)


def found(crystal: Crystal, table: KnownMaterials, **settings: object) -> Findings:
    around = replace(around_of(METALS, ScreenSettings.model_validate(settings)), known=table)
    return check_gate(OrderedChild(), Subject(candidate(crystal)), around)


def test_two_metals_in_order_on_the_places_of_a_known_olivine_are_told() -> None:
    told = found(half("olivine LiFePO4", 26, 25), known("olivine LiFePO4"))
    (reason,) = told.reasons
    assert (reason.code, reason.verdict) == ("ordered_child", Verdict.PASS)
    assert "Mn, Fe are in order on places that are equivalent in the known LiFePO4" in reason.text
    assert told.notes == {"disordered_parent": "Mn, Fe in LiFePO4"}


def test_the_gain_of_mixing_is_that_of_ideal_mixing() -> None:
    """Of 28 atoms four are mixed, half and half: k 1000 K ln 2 / 7."""
    (reason,) = found(half("olivine LiFePO4", 26, 25), known("olivine LiFePO4")).reasons
    assert f"gains {1000 * 8.617333e-5 * 1000 * np.log(2) / 7:.0f} meV/atom at 1000 K" in reason.text


def test_it_rejects_where_it_is_to() -> None:
    (reason,) = found(half("olivine LiFePO4", 26, 25), known("olivine LiFePO4"), ordered_child="reject").reasons
    assert reason.verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("crystal", "table"),
    [
        (prototype("olivine LiFePO4").crystal, known("olivine LiFePO4")),  # one metal
        (half("olivine LiFePO4", 26, 25), known("O3 LiCoO2")),  # no end is known
        (half("olivine LiFePO4", 26, 12), known("olivine LiFePO4")),  # magnesium and iron: another group
    ],
)
def test_nothing_is_told_of_others(crystal: Crystal, table: KnownMaterials) -> None:
    assert found(crystal, table) == Findings()


def test_metals_on_different_places_of_the_parent_are_in_no_disorder() -> None:
    """A spinel whose metals fill one kind of place each: of Fe3O4, the other metal takes the tetrahedra alone."""
    spinel = to_structure(prototype("spinel LiMn2O4").crystal)
    for i, z in enumerate(spinel.atomic_numbers):
        if z == 3:
            spinel.replace(i, 25)
    parent = from_structure(spinel)
    for i, z in enumerate(to_structure(prototype("spinel LiMn2O4").crystal).atomic_numbers):
        if z == 3:
            spinel.replace(i, 27)
    table = KnownMaterials()
    table.add(parent, "Mn3O4", "test")
    assert found(from_structure(spinel), table) == Findings()


def test_the_usual_setting_changes_no_hash() -> None:
    assert ScreenSettings().settings_hash == ScreenSettings(ordered_child="warn").settings_hash
    assert ScreenSettings().settings_hash != ScreenSettings(ordered_child="reject").settings_hash
