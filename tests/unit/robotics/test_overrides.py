"""People: who may approve, and two who may let a request through a limit of the laboratory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, update

from redoxa.data.errors import InputError, SafetyError, TransitionError
from redoxa.data.lab.laboratory import Laboratory, Person
from redoxa.data.lab.request import QueueItem, RequestState, SafetyFinding
from redoxa.data.storage.schema_lab import requests
from redoxa.robotics.drivers.simulated import SimulatedLab
from redoxa.robotics.people import plain_name
from redoxa.robotics.queue.queue import ApprovalPolicy, LabQueue
from redoxa.robotics.queue.service import ServiceOptions, run_queue
from redoxa.robotics.safety.check import RULES, check, is_allowed, rule_texts
from redoxa.robotics.safety.overrides import carried
from tests.unit.robotics.conftest import Clock
from tests.unit.robotics.labs import CountingLab
from tests.unit.robotics.samples import make_request, swap, with_furnace
from tests.unit.robotics.test_safety import with_cycling, with_synthesis

MAY = {"S006", "S007", "S009"}
HEAVY = make_request("LiCoO2", mass_g=30.0)
"""Refused by S007 alone."""

WHY = "the large crucible was tested last week"
AT_ONCE = ServiceOptions(deadline_s=0, sleep=lambda _: None)


def refused(queue: LabQueue, request: Any = HEAVY, by: str = "campaign") -> str:
    with pytest.raises(SafetyError):
        queue.propose(request, by=by)
    return str(request.content_hash)


def overridden(queue: LabQueue, key: str | None = None) -> str:
    key = key or refused(queue)
    queue.override(key, ["S007"], by="Ada", second="Grace", why=WHY)
    return key


def peopled(queue: LabQueue, **fields: Any) -> LabQueue:
    people = (
        Person(name="Ada Lovelace", may_override=True),
        Person(name="Grace Hopper", may_override=True),
        Person(name="Marie Curie"),
        Person(name="Otto", may_approve=False),
    )
    return LabQueue(queue.engine, Laboratory(people=people, **fields), queue._transactions.clock)


def test_only_limits_of_the_laboratory_may_be_overridden() -> None:
    assert {rule for rule, text in rule_texts().items() if text.override} == MAY
    assert set(rule_texts()) == set(RULES)


def test_an_override_takes_a_refused_request_up_again(queue: LabQueue) -> None:
    key = overridden(queue)
    item = queue.get(key)
    assert item.state is RequestState.PROPOSED
    assert item.is_safe
    assert item.overridden == ("S007",)
    (finding,) = (f for f in item.safety if f.rule == "S007")
    assert (finding.ok, finding.overridden_by) == (False, ("Ada", "Grace"))
    event = queue.events(key)[-1]
    assert (event.actor, event.action) == ("Ada", "override")
    assert (event.from_state, event.to_state) == (RequestState.CANCELLED, RequestState.PROPOSED)
    assert event.why == f"S007 overridden by Ada and Grace: {WHY}"
    assert queue.claim("w", 60) is None  # it still has to be approved


def test_it_is_approved_claimed_and_sent_with_its_override(queue: LabQueue) -> None:
    key, lab = overridden(queue), CountingLab()
    queue.approve(key, by="Marie", why="fine")
    assert queue.get(key).overridden == ("S007",)
    run_queue(queue, lab, options=AT_ONCE)
    assert lab.arrivals == {key: 1}
    assert queue.get(key).state is RequestState.RUNNING
    assert queue.get(key).overridden == ("S007",)


def test_proposing_it_again_finds_it(queue: LabQueue) -> None:
    key = overridden(queue)
    assert queue.propose(HEAVY) == key
    assert queue.get(key).overridden == ("S007",)


@pytest.mark.parametrize("second", ["Ada", " ada ", "person:ADA", "Person: Ada", "\u212bda", "a\u0301da"])
def test_one_person_twice_is_no_second(queue: LabQueue, second: str) -> None:
    by = {"\u212bda": "\u00c5da", "a\u0301da": "\u00e1da"}.get(second, "Ada")
    key = refused(queue)
    with pytest.raises(InputError, match="takes two persons"):
        queue.override(key, ["S007"], by=by, second=second, why=WHY)
    assert queue.get(key).state is RequestState.CANCELLED


@pytest.mark.parametrize(("by", "second"), [("Ada", "Grace"), ("Grace", "person:ada")])
def test_neither_may_have_proposed_it(queue: LabQueue, by: str, second: str) -> None:
    key = refused(queue, by="person:Ada")
    with pytest.raises(SafetyError, match="somebody else has to override"):
        queue.override(key, ["S007"], by=by, second=second, why=WHY)
    assert queue.get(key).state is RequestState.CANCELLED


@pytest.mark.parametrize(
    ("by", "second", "why", "message"),
    [
        ("policy:auto", "Grace", WHY, "is no person"),
        ("Ada", " Policy:me", WHY, "is no person"),
        ("Ada", "person: ", WHY, "is no person"),
        ("", "Grace", WHY, "is no person"),
        ("Ada", "Grace", "  ", "needs a reason"),
        ("Ada", "G" * 121, WHY, "at most 120"),
    ],
)
def test_two_named_persons_and_a_reason(queue: LabQueue, by: str, second: str, why: str, message: str) -> None:
    key = refused(queue)
    with pytest.raises(InputError, match=message):
        queue.override(key, ["S007"], by=by, second=second, why=why)
    assert [e.action for e in queue.events(key)] == ["propose", "refuse"]


@pytest.mark.parametrize("rule", sorted(set(RULES) - MAY))
def test_what_can_hurt_is_overridden_by_nobody(queue: LabQueue, rule: str) -> None:
    key = refused(queue)
    with pytest.raises(SafetyError, match=f"{rule} .* cannot be overridden by anybody; only S006, S007, S009"):
        queue.override(key, ["S007", rule], by="Ada", second="Grace", why=WHY)
    assert queue.get(key).state is RequestState.CANCELLED


def test_rules_that_do_not_refuse_or_are_none(queue: LabQueue) -> None:
    key = refused(queue)
    for rules, message in (
        (["S006"], "S006 does not refuse .* refused is it by S007"),
        (["S07"], "'S07' is not a safety rule"),
        ([], "name the rule"),
    ):
        with pytest.raises(InputError, match=message):
            queue.override(key, rules, by="Ada", second="Grace", why=WHY)
    good = queue.propose(make_request("LiFePO4"))
    with pytest.raises(InputError, match="no rule refuses it"):
        queue.override(good, ["S007"], by="Ada", second="Grace", why=WHY)


def test_every_rule_that_refuses_has_to_be_named(queue: LabQueue) -> None:
    strict = LabQueue(queue.engine, with_furnace(max_temperature_C=700), queue._transactions.clock)
    key = refused(strict)
    with pytest.raises(SafetyError, match="stays refused by other rules: S006"):
        strict.override(key, ["S007"], by="Ada", second="Grace", why=WHY)
    strict.override(key, ["S006", "S007", "S006"], by="Ada", second="Grace", why=WHY)
    assert strict.get(key).overridden == ("S006", "S007")


def test_a_danger_beside_a_limit_keeps_it_refused(queue: LabQueue) -> None:
    key = refused(queue, with_synthesis(HEAVY, atmosphere="nitrogen", byproducts={"HCN": 1.0}))
    with pytest.raises(SafetyError, match=r"stays refused by other rules: .*S011"):
        queue.override(key, ["S007"], by="Ada", second="Grace", why=WHY)


def test_only_what_the_rules_refused(queue: LabQueue) -> None:
    key = overridden(queue)
    queue.cancel(key, by="Marie", why="no longer wanted")
    queue.note(key, "Marie", "really")
    with pytest.raises(InputError, match=r"was cancelled by Marie \(no longer wanted\)"):
        overridden(queue, key)
    other = queue.propose(make_request("LiFePO4"))
    queue.approve(other, by="Ada", why="fine")
    with pytest.raises(TransitionError, match="'override' needs one that is cancelled, proposed"):
        queue.override(other, ["S007"], by="Ada", second="Grace", why=WHY)


def test_a_proposed_request_that_is_refused_by_now(engine: Engine, clock: Clock) -> None:
    key = LabQueue(engine, clock=clock).propose(make_request("LiCoO2"))
    strict = LabQueue(engine, with_furnace(max_dwell_h=1), clock)
    strict.override(key, ["S006"], by="Ada", second="Grace", why=WHY)
    strict.approve(key, by="Marie", why="fine")
    assert strict.get(key).state is RequestState.APPROVED


def test_no_policy_approves_it(queue: LabQueue) -> None:
    key, plain = overridden(queue), queue.propose(make_request("LiFePO4"))
    assert queue.apply_policy(ApprovalPolicy.AUTO) == [plain]
    with pytest.raises(SafetyError, match="a person has to approve"):
        queue._approve(key, by="policy:auto", why="every safety rule allows it")
    assert queue.get(key).state is RequestState.PROPOSED


def test_changed_rules_let_it_lapse(queue: LabQueue, clock: Clock) -> None:
    key = overridden(queue)
    queue.approve(key, by="Marie", why="fine")
    changed = LabQueue(queue.engine, Laboratory(max_target_g=19), clock)
    assert changed.claim("w", 60) is None
    assert changed.get(key).state is RequestState.PROPOSED
    with pytest.raises(SafetyError, match="S007"):
        changed.approve(key, by="Marie", why="still fine")
    assert changed.get(key).overridden == ()
    assert not changed.get(key).is_safe
    overridden(changed, key)
    changed.approve(key, by="Marie", why="fine again")
    assert changed.get(key).state is RequestState.APPROVED


def test_a_changed_request_is_not_overridden(queue: LabQueue) -> None:
    key = refused(queue)
    swap(queue, key)
    with pytest.raises(SafetyError, match="is not what was proposed"):
        overridden(queue, key)


def test_an_override_in_the_store_opens_no_rule_that_can_hurt(queue: LabQueue) -> None:
    """Names that somebody writes beside a rule which nobody may override count for nothing."""
    key = refused(queue, with_synthesis(make_request("LiCoO2"), byproducts={"HCN": 1.0}))
    written = [f.model_dump(mode="json") | {"overridden_by": ["Ada", "Grace"]} for f in queue.get(key).safety]
    with queue.engine.begin() as connection:
        row = update(requests).where(requests.c.id == key)
        connection.execute(row.values(safety=written, state=RequestState.PROPOSED.value))
    assert not queue.get(key).is_safe
    with pytest.raises(SafetyError, match="S011"):
        queue.approve(key, by="Marie", why="fine")


def test_what_counts_as_overridden() -> None:
    findings = check(HEAVY)

    def named(*names: str) -> tuple[SafetyFinding, ...]:
        return tuple(f.model_copy(update={"overridden_by": () if f.ok else names}) for f in findings)

    assert is_allowed(named("Ada", "Grace"))
    for names in ((), ("Ada",), ("Ada", "ada "), ("Ada", "Grace", "Marie")):
        assert not is_allowed(named(*names))
    assert carried(findings, named("Ada", "Grace"), same_rules=True) == named("Ada", "Grace")
    assert carried(findings, named("Ada", "Grace"), same_rules=False) == findings
    other = tuple(f if f.ok else f.model_copy(update={"text": "31 g"}) for f in named("Ada", "Grace"))
    assert carried(findings, other, same_rules=True) == findings


def test_where_people_are_listed_only_they_approve(queue: LabQueue) -> None:
    here = peopled(queue)
    key = here.propose(make_request("LiCoO2"))
    for by in ("Otto", "Ada", "person:root"):
        with pytest.raises(InputError, match=r"may not approve .* Who may: Ada Lovelace, Grace Hopper, Marie Curie"):
            here.approve(key, by=by, why="fine")
    here.approve(key, by="person:marie  CURIE", why="fine")
    assert here.get(key).state is RequestState.APPROVED
    nobody = LabQueue(
        queue.engine, Laboratory(people=(Person(name="Otto", may_approve=False),)), queue._transactions.clock
    )
    other = nobody.propose(make_request("LiFePO4"))
    with pytest.raises(InputError, match="Nobody may"):
        nobody.approve(other, by="Otto", why="fine")


def test_where_people_are_listed_only_they_override(queue: LabQueue) -> None:
    here = peopled(queue)
    key = refused(here)
    for by, second in (("Ada Lovelace", "Marie Curie"), ("Marie Curie", "Ada Lovelace"), ("Ada Lovelace", "Eve")):
        with pytest.raises(InputError, match=r"may not override .* Who may: Ada Lovelace, Grace Hopper;"):
            here.override(key, ["S007"], by=by, second=second, why=WHY)
    here.override(key, ["S007"], by="ada lovelace", second="Grace Hopper", why=WHY)
    assert here.get(key).state is RequestState.PROPOSED


def test_people_who_come_and_go_change_no_rules(queue: LabQueue) -> None:
    key = overridden(queue)
    here = peopled(queue)
    here.approve(key, by="Marie Curie", why="fine")
    item: QueueItem | None = here.claim("w", 60)
    assert item is not None
    assert item.overridden == ("S007",)


def test_an_override_heats_no_furnace(queue: LabQueue, tmp_path: Path) -> None:
    """What the laboratory has not got, its driver still says."""
    cold = LabQueue(queue.engine, with_furnace(max_temperature_C=700), queue._transactions.clock)
    key = refused(cold, make_request("LiCoO2"))
    cold.override(key, ["S006"], by="Ada", second="Grace", why=WHY)
    cold.approve(key, by="Marie", why="fine")
    run_queue(cold, SimulatedLab(SimulatedLab.Config(), tmp_path, laboratory=cold.laboratory), options=AT_ONCE)
    assert cold.get(key).state is RequestState.FAILED
    assert cold.events(key)[-1].why == "the laboratory cannot: furnace reaches 700 C, 750 C are wanted"


def test_a_step_beyond_the_electrolyte_stays_refused_where_s009_is_overridden(queue: LabQueue) -> None:
    """S009 compares steps with the stated window; the window of the electrolyte is nobody's to override."""
    request = make_request("LiCoO2")
    first = request.recipe.cycling.steps[0].model_copy(update={"until_voltage_V": 9.0})
    key = refused(queue, with_cycling(request, steps=(first,)))
    with pytest.raises(SafetyError, match="stays refused by other rules: S008 charged to 9 V"):
        queue.override(key, ["S009"], by="Ada", second="Grace", why=WHY)


@pytest.mark.parametrize(
    ("actor", "name"),
    [("person:Ada ", "ada"), ("Ada", "ada"), (" ADA\tL ", "ada l"), ("person:", ""), ("ＡＤＡ", "ada")],
)
def test_names_are_compared_plainly(actor: str, name: str) -> None:
    assert plain_name(actor) == name
