from __future__ import annotations

from itertools import pairwise

import pytest
from sqlalchemy import Engine, update

from redoxa.data.errors import InputError, SafetyError, StoreError, TransitionError
from redoxa.data.lab.measurement import Measurement, Outcome
from redoxa.data.lab.request import RequestState
from redoxa.data.storage.schema_lab import requests
from redoxa.robotics.errors import ConflictError, LeaseError
from redoxa.robotics.queue.queue import ApprovalPolicy, LabQueue
from redoxa.robotics.queue.transitions import FINAL, TRANSITIONS
from redoxa.robotics.safety.check import rules_version
from tests.unit.robotics.conftest import Clock
from tests.unit.robotics.samples import estimate, make_request, swap, with_furnace


def approved(queue: LabQueue, tag: str = "a", **fields: object) -> str:
    key = queue.propose(make_request("LiCoO2", tag=tag, **fields))
    queue.approve(key, by="Ada", why="looks good")
    return key


def running(queue: LabQueue, worker: str = "w", tag: str = "a") -> str:
    key = approved(queue, tag)
    item = queue.claim(worker, 60)
    assert item is not None
    assert item.request_id == key
    queue.start(key, item.lease_token, 60)
    return key


def token(queue: LabQueue, key: str) -> str:
    """Of the lease that holds a request."""
    found = queue.get(key).lease_token
    assert found is not None
    return found


def result(key: str, tag: str = "a", voltage_V: float = 3.9) -> Measurement:
    return Measurement(
        request_id=key,
        candidate_id=f"candidate-{tag}",
        outcome=Outcome.SUCCESS,
        values={"average_voltage": estimate(voltage_V)},
        simulated=True,
    )


def test_a_proposal_rests_with_its_safety_findings(queue: LabQueue) -> None:
    request = make_request("LiCoO2", priority=3)
    key = queue.propose(request, by="campaign x")
    item = queue.get(key)
    assert key == request.content_hash
    assert (item.state, item.request, item.priority) == (RequestState.PROPOSED, request, 3)
    assert item.is_safe
    assert item.safety_rules == rules_version()
    (event,) = queue.events(key)
    assert (event.actor, event.action, event.from_state, event.to_state) == (
        "campaign x", "propose", None, RequestState.PROPOSED,
    )  # fmt: skip


def test_proposing_twice_makes_one_row(queue: LabQueue) -> None:
    assert queue.propose(make_request("LiCoO2")) == queue.propose(make_request("LiCoO2"))
    assert len(queue.list()) == 1
    assert len(queue.events()) == 1


def test_a_taken_key_is_a_conflict(queue: LabQueue) -> None:
    queue.propose(make_request("LiCoO2"), key="round-0-best")
    assert queue.propose(make_request("LiCoO2"), key="round-0-best") == "round-0-best"
    with pytest.raises(ConflictError, match="round-0-best"):
        queue.propose(make_request("LiFePO4"), key="round-0-best")
    assert [item.request.formula for item in queue.list()] == ["LiCoO2"]


@pytest.mark.parametrize("key", ["../up", "a/b", "", ".hidden", "x" * 65, "a b", "a\n"])
def test_keys_are_fit_for_file_names(queue: LabQueue, key: str) -> None:
    if key == "":
        assert queue.propose(make_request("LiCoO2"), key=key)  # no key: the content hash
        return
    with pytest.raises(InputError, match="request key"):
        queue.propose(make_request("LiCoO2"), key=key)


def test_an_unsafe_proposal_is_recorded_and_refused_each_time(queue: LabQueue) -> None:
    unsafe = make_request("LiCoO2", mass_g=30.0)
    for _ in range(2):
        with pytest.raises(SafetyError, match="S007"):
            queue.propose(unsafe)
    item = queue.get(unsafe.content_hash)
    assert item.state is RequestState.CANCELLED
    assert not item.is_safe
    last = queue.events(item.request_id)[-1]
    assert (last.actor, last.action) == ("safety rules", "refuse")
    assert "S007" in last.why
    with pytest.raises(TransitionError):
        queue.approve(item.request_id, by="Ada", why="I want it")


def test_rules_that_have_changed_are_asked_again_at_approval(engine: Engine, clock: Clock) -> None:
    key = LabQueue(engine, clock=clock).propose(make_request("LiCoO2"))
    strict = LabQueue(engine, with_furnace(max_temperature_C=700), clock)
    with pytest.raises(SafetyError, match="S006"):
        strict.approve(key, by="Ada", why="looks good")
    item = strict.get(key)
    assert item.state is RequestState.PROPOSED
    assert not item.is_safe
    assert item.safety_rules == rules_version(with_furnace(max_temperature_C=700))
    assert "approval refused: S006" in strict.events(key)[-1].why


def test_the_automatic_policy_approves_what_is_safe_and_signs(queue: LabQueue) -> None:
    keys = {queue.propose(make_request("LiCoO2", tag=t)) for t in "ab"}
    assert queue.apply_policy(ApprovalPolicy.PERSON) == []
    assert set(queue.apply_policy(ApprovalPolicy.AUTO)) == keys
    assert {e.actor for e in queue.events() if e.action == "approve"} == {"policy:auto"}
    assert queue.apply_policy(ApprovalPolicy.AUTO) == []


def test_the_policy_passes_over_what_the_rules_refuse_by_now(engine: Engine, clock: Clock) -> None:
    keys = [LabQueue(engine, clock=clock).propose(make_request(f)) for f in ("LiCoO2", "LiFePO4")]
    strict = LabQueue(engine, with_furnace(max_temperature_C=700), clock)  # 750 C and 680 C are wanted
    assert strict.apply_policy(ApprovalPolicy.AUTO) == [keys[1]]
    assert [strict.get(key).state for key in keys] == [RequestState.PROPOSED, RequestState.APPROVED]
    assert not strict.get(keys[0]).is_safe


def test_claims_go_by_priority_then_age(queue: LabQueue) -> None:
    old, urgent, young = (approved(queue, t, priority=p) for t, p in (("a", 0), ("b", 5), ("c", 0)))
    claimed = [item.request_id for _ in range(4) if (item := queue.claim("w", 60)) is not None]
    assert claimed == [urgent, old, young]


def test_only_approved_requests_of_the_campaign_are_claimed(queue: LabQueue) -> None:
    queue.propose(make_request("LiCoO2", tag="waits"))
    other = approved(queue, "other", campaign="another")
    assert queue.claim("w", 60, campaign="campaign") is None
    item = queue.claim("w", 60, campaign="another")
    assert item is not None
    assert item.request_id == other


def test_the_way_of_a_request_is_on_the_audit_trail(queue: LabQueue) -> None:
    key = running(queue)
    queue.finish(key, token(queue, key), result(key))
    events = queue.events(key)
    assert [e.action for e in events] == ["propose", "approve", "claim", "start", "finish"]
    assert [e.actor for e in events] == ["campaign", "Ada", "w", "w", "w"]
    assert all(a.to_state == b.from_state for a, b in pairwise(events))
    assert [e.at for e in events] == sorted(e.at for e in events)
    assert "simulated" in events[-1].why


def test_hold_release_cancel(queue: LabQueue) -> None:
    key = approved(queue)
    queue.hold(key, by="Ada", why="out of cobalt")
    assert queue.claim("w", 60) is None
    queue.release(key, by="Ada", why="cobalt came")
    assert queue.get(key).state is RequestState.PROPOSED  # it has to be approved again
    queue.cancel(key, by="Ada", why="no longer wanted")
    assert queue.get(key).state is RequestState.CANCELLED
    with pytest.raises(TransitionError, match="cancelled"):
        queue.release(key, by="Ada", why="after all")


def test_a_running_request_cannot_be_cancelled_or_held(queue: LabQueue) -> None:
    key = running(queue)
    for act in (queue.cancel, queue.hold):
        with pytest.raises(TransitionError, match="running"):
            act(key, by="Ada", why="stop")


def test_an_expired_claim_returns_and_fences_its_worker(queue: LabQueue, clock: Clock) -> None:
    key = approved(queue)
    slow = queue.claim("slow", 60)
    assert slow is not None
    assert queue.expire() == []
    clock.advance(61)
    assert queue.expire() == [key]
    assert queue.get(key).state is RequestState.APPROVED
    with pytest.raises(LeaseError, match="approved and held by nobody: this lease of it has ended"):
        queue.start(key, slow.lease_token, 60)
    item = queue.claim("quick", 60)
    assert item is not None
    with pytest.raises(LeaseError, match="held by quick"):
        queue.give_back(key, slow.lease_token, "mine")


def test_a_heartbeat_keeps_the_lease(queue: LabQueue, clock: Clock) -> None:
    approved(queue)
    item = queue.claim("w", 60)
    assert item is not None
    for _ in range(3):
        clock.advance(50)
        queue.heartbeat(item.request_id, item.lease_token, 60)
        assert queue.expire() == []
    for other in ("other", None):
        with pytest.raises(LeaseError):
            queue.heartbeat(item.request_id, other, 60)


def test_an_interrupted_running_request_is_adopted_never_requeued(queue: LabQueue, clock: Clock) -> None:
    key = running(queue, "first")
    first = token(queue, key)
    assert queue.adopt("second", 60) == []  # its lease still holds
    clock.advance(61)
    assert queue.expire() == []
    (item,) = queue.adopt("second", 60)
    assert (item.request_id, item.worker, item.state) == (key, "second", RequestState.RUNNING)
    with pytest.raises(LeaseError):
        queue.finish(key, first, result(key))
    queue.finish(key, item.lease_token, result(key))
    assert queue.events(key)[-2].action == "adopt"


def test_a_worker_known_to_be_gone_need_not_run_out(queue: LabQueue) -> None:
    key = running(queue, "dead")
    other = approved(queue, "b")
    assert queue.claim("dead", 60) is not None
    assert queue.expire(lambda worker: worker == "dead") == [other]
    assert [i.request_id for i in queue.adopt("alive", 60, is_gone=lambda worker: worker == "dead")] == [key]


def test_parked_requests_are_adopted_at_once_and_quietly(queue: LabQueue) -> None:
    key = running(queue, "w")
    queue.park(key, token(queue, key))
    before = len(queue.events(key))
    assert [i.request_id for i in queue.adopt("v", 60)] == [key]
    assert len(queue.events(key)) == before


def test_one_measurement_a_request(queue: LabQueue) -> None:
    key = running(queue)
    mine = token(queue, key)
    with pytest.raises(ConflictError, match="not of"):
        queue.finish(key, mine, result("another"))
    with pytest.raises(ConflictError, match="not of"):
        queue.finish(key, mine, result(key, tag="another"))
    queue.finish(key, mine, result(key))
    queue.finish(key, mine, result(key))  # a repeated report changes nothing
    with pytest.raises(ConflictError, match="another measurement"):
        queue.finish(key, mine, result(key, voltage_V=1.0))
    assert queue.measured() == [(queue.get(key).request, result(key))]
    assert queue.get(key).measurement == result(key)
    assert len([e for e in queue.events(key) if e.action == "finish"]) == 1


def test_a_failure_keeps_its_reason(queue: LabQueue) -> None:
    key = running(queue)
    queue.fail(key, token(queue, key), "the crucible broke")
    assert queue.get(key).state is RequestState.FAILED
    assert queue.events(key)[-1].why == "the crucible broke"
    assert queue.measured() == []


def test_what_is_not_there_is_said(queue: LabQueue) -> None:
    for act in (lambda: queue.get("none"), lambda: queue.cancel("none", by="Ada", why="x")):
        with pytest.raises(StoreError, match="no request 'none'"):
            act()


def test_lists_and_trails_of_one_campaign(queue: LabQueue) -> None:
    mine = queue.propose(make_request("LiCoO2", campaign="mine"))
    queue.propose(make_request("LiCoO2", campaign="yours"))
    assert [i.request_id for i in queue.list("mine")] == [mine]
    assert {e.request_id for e in queue.events(campaign="mine")} == {mine}
    assert queue.list("mine", RequestState.DONE) == []
    assert len(queue.list()) == 2


def test_the_table_has_no_way_out_of_a_final_state_nor_back_from_running() -> None:
    for action, transition in TRANSITIONS.items():
        assert transition.sources & FINAL == ({RequestState.CANCELLED} if action == "override" else set())
        if action in ("shelve", "withdraw"):  # nothing leaves it without a new approval, nor without the sample
            assert transition.target is RequestState.HELD
        elif RequestState.RUNNING in transition.sources:
            assert transition.target in {RequestState.RUNNING, RequestState.DONE, RequestState.FAILED}
    reachable = {RequestState.PROPOSED} | {t.target for t in TRANSITIONS.values()}
    assert reachable == set(RequestState)


def test_a_request_that_was_changed_in_the_store_is_not_approved(queue: LabQueue) -> None:
    key = queue.propose(make_request("LiCoO2"))
    assert queue.get(key).is_intact
    swap(queue, key)
    assert not queue.get(key).is_intact
    with pytest.raises(SafetyError, match="is not what was proposed"):
        queue.approve(key, by="Ada", why="looks good")
    assert queue.get(key).state is RequestState.PROPOSED


def test_approvals_lapse_when_the_safety_rules_change(queue: LabQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = approved(queue, "a"), approved(queue, "b")
    monkeypatch.setattr("redoxa.robotics.queue.queue.rules_version", lambda _laboratory: "3-changed")
    assert queue.claim("w", 60) is None
    for key in (first, second):
        assert queue.get(key).state is RequestState.PROPOSED
        assert "and now they are 3-changed" in queue.events(key)[-1].why
    queue.approve(first, by="Ada", why="still good")
    item = queue.claim("w", 60)
    assert item is not None
    assert item.request_id == first


@pytest.mark.parametrize("by", ["", "  ", "person:", "policy:auto", " Policy:me"])
def test_nobody_and_no_policy_approves_by_hand(queue: LabQueue, by: str) -> None:
    key = queue.propose(make_request("LiCoO2"))
    with pytest.raises(InputError, match="is no person"):
        queue.approve(key, by=by, why="looks good")
    assert queue.get(key).state is RequestState.PROPOSED


def test_who_proposed_does_not_approve(queue: LabQueue) -> None:
    key = queue.propose(make_request("LiCoO2"), by="person:Ada")
    for by in ("person:Ada", "Ada", " ada "):
        with pytest.raises(SafetyError, match="somebody else has to approve"):
            queue.approve(key, by=by, why="looks good")
    queue.approve(key, by="Grace", why="looks good")
    assert queue.get(key).state is RequestState.APPROVED


def test_a_request_of_another_version_is_told_in_words(queue: LabQueue) -> None:
    key = queue.propose(make_request())
    old = make_request().model_dump(mode="json")
    old["recipe"]["synthesis"]["reaction"] = "Li2CO3 -> LiFePO4"
    with queue.engine.begin() as connection:
        connection.execute(update(requests).where(requests.c.id == key).values(request=old))
    with pytest.raises(StoreError, match=r"another version of Redoxa.*recipe\.synthesis\.reaction"):
        queue.get(key)
    with pytest.raises(StoreError, match="another version"):
        queue.list()
