"""The contract of gates and properties notices one that breaks it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import ClassVar

import pytest

from redoxa.data.errors import ContractError
from redoxa.data.records import Crystal, Estimate, Reason, Verdict
from redoxa.screening import GATES, PROPERTIES
from redoxa.screening.base import (
    Findings,
    Gate,
    Model,
    Needs,
    Subject,
    Surroundings,
    gate_class,
    property_class,
)
from redoxa.screening.contract import check_gate
from redoxa.screening.gates.redox import Redox
from redoxa.screening.gates.validity import Validity
from redoxa.screening.labels import Label, Note, label_of, notes_of
from redoxa.screening.physics.hulls import Hulls
from redoxa.screening.properties.capacity import CapacityGrav
from redoxa.screening.settings import ScreenSettings
from tests.unit.screening.conftest import METALS, from_library, reference_of

REFERENCE = reference_of(METALS)
AROUND = Surroundings(ScreenSettings.permissive(), Model("m", "s", 0.03), REFERENCE, Hulls(REFERENCE))
GOOD = Estimate(value=1.0, sigma=0.1, unit="V", method="guess", model="none")


class Stub:
    """A property that keeps the contract; what it does is told apart by each test."""

    name: ClassVar[str] = "stub"
    summary: ClassVar[str] = "does nothing"
    stage: ClassVar[str] = "stub"
    needs: ClassVar[Needs] = Needs.CRYSTAL
    cost: ClassVar[float] = 1.0
    unit: ClassVar[str | None] = "V"

    def __init__(self, act: Callable[[Subject], Findings | None] | None = None, **attributes: object) -> None:
        self._act = act
        for name, value in attributes.items():
            setattr(self, name, value)

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        found = None if self._act is None else self._act(subject)
        return found if found is not None else Findings(estimate=GOOD)


def subject() -> Subject:
    return Subject(from_library("O3 LiCoO2"))


def writes(field: str, value: object) -> Callable[[Subject], None]:
    return lambda subject: setattr(subject, field, value)


def swaps(subject: Subject) -> None:
    """Reach through the frozen records."""
    object.__setattr__(subject.candidate.crystal, "numbers", (11, *subject.candidate.crystal.numbers[1:]))


def replaces(subject: Subject) -> None:
    """Put another crystal in the candidate's place."""
    crystal = subject.candidate.crystal.model_copy(update={"numbers": (11, *subject.candidate.crystal.numbers[1:])})
    subject.candidate = subject.candidate.model_copy(update={"crystal": crystal})


def notes(subject: Subject) -> None:
    """Write into a dictionary that a shallow copy shares."""
    subject.estimates["stub"] = GOOD


def estimate(**changes: object) -> Callable[[Subject], Findings]:
    return lambda _: Findings(estimate=GOOD.model_copy(update=changes))


def reason(verdict: Verdict = Verdict.PASS, **changes: str) -> Findings:
    made = Reason(stage="stub", code="x", text="y", verdict=verdict)
    return Findings(estimate=GOOD, reasons=[made.model_copy(update=changes)])


COUNTER = itertools.count()


@pytest.mark.parametrize(
    ("gate", "clause"),
    [
        (Stub(name=""), "has no name"),
        (Stub(summary=""), "has no summary"),
        (Stub(stage=None), "has no stage"),
        (Stub(needs=1), "must be a Needs"),
        (Stub(cost=0.0), "positive seconds"),
        (Stub(label=Label("", "S")), "must be a Label"),
        (Stub(label=Label("Stub", "")), "must be a Label"),
        (Stub(label=Label("Stub", "S", absent="")), "must be a Label"),
        (Stub(label="Stub"), "must be a Label"),
        (Stub(label=Label("Stub", "S", "Elsewhere")), "is no part of a card"),
        (Stub(notes={"n": Note("")}), "must be a Note"),
        (Stub(notes={"n": "N: {}."}), "must be a Note"),
        (Stub(notes={"n": Note("N: {}.", "Elsewhere")}), "must be a Note"),
        (Stub(notes={"n": Note("N.")}), "needs one gap"),
        (Stub(notes={"n": Note("N: {} and {}.")}), "needs one gap"),
        (Stub(lambda _: Findings(notes={"n": "x"}), notes={"m": Note("M: {}.")}), "wrote the note n"),
        (Stub(lambda _: Findings(notes={"n": "x"})), "wrote the note n"),
        (Stub(lambda _: Findings(notes={"n": str(next(COUNTER))})), "other findings the second time"),
        (Stub(writes("n_removed", 3)), "changed n_removed"),
        (Stub(writes("moving", (1,))), "changed moving"),
        (Stub(swaps), "changed candidate"),
        (Stub(replaces), "changed candidate"),
        (Stub(notes), "changed estimates"),
        (Stub(writes("full_cell", Crystal(numbers=[3], frac_coords=[[0, 0, 0]], lattice_A=[[3, 0, 0], [0, 3, 0], [0, 0, 3]])),
              name="redox"), "changed full_cell"),
        (Stub(lambda _: reason(text="")), "stage, code and text"),
        (Stub(unit=None), "without unit"),
        (Stub(lambda _: reason(Verdict.UNDETERMINED)), "must not carry a number"),
        (Stub(estimate(unit="eV")), "declared in V"),
        (Stub(estimate(value=float("nan"))), "finite value"),
        (Stub(estimate(method="")), "finite value"),
        (Stub(estimate(model="")), "finite value"),
    ],
)  # fmt: skip
def test_the_contract_finds_what_is_broken(gate: Gate, clause: str) -> None:
    with pytest.raises(ContractError, match=clause):
        check_gate(gate, subject(), AROUND)


NAMED = Stub(
    lambda _: Findings(notes={"n": "x", "w": "y"}),
    label=Label("Stub", "S", "Host"),
    notes={"n": Note("N: {}."), "w": Note("Beware", told="warning")},
)


@pytest.mark.parametrize("gate", [Stub(), NAMED, Validity(), Redox()], ids=lambda gate: gate.name)
def test_gates_keep_it(gate: Gate) -> None:
    given = subject()
    check_gate(gate, given, AROUND)
    assert given == subject()


def test_every_kind_declares_its_names_and_none_takes_another_s() -> None:
    kinds = [*map(gate_class, GATES), *map(property_class, PROPERTIES)]
    labels = [vars(property_class(name))["label"] for name in PROPERTIES]
    for names in ([label.long for label in labels], [label.short for label in labels]):
        assert len(set(names)) == len(names)
    told: dict[str, Note] = {}
    for kind in kinds:
        for key, note in notes_of(kind).items():
            assert told.setdefault(key, note) == note  # two may write one note, and then tell it alike


def test_what_declares_nothing_is_called_by_its_name() -> None:
    assert label_of(Stub(name="acme_bulk")) == Label("Acme bulk", "Acme bulk", "Further results")
    assert notes_of(Stub()) == {}


def test_a_property_may_read_what_the_redox_gate_planned() -> None:
    given = subject()
    Redox().evaluate(given, AROUND)
    assert check_gate(CapacityGrav(), given, AROUND).estimate is not None
