"""The queue of steps: turns, places, furnaces that are filled, silence, and what people say."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from redoxa.data.errors import InputError, StoreError, TransitionError
from redoxa.data.lab.laboratory import Bench, Cycler, Furnace, Laboratory
from redoxa.data.lab.steps import StepItem, StepState
from redoxa.robotics.errors import LeaseError
from redoxa.robotics.queue.audit import verify_audit
from redoxa.robotics.queue.queue import LabQueue
from redoxa.robotics.queue.step_queue import MAX_TRIES, StepQueue
from tests.unit.robotics.conftest import Clock
from tests.unit.robotics.samples import make_request

LEASE_S = 60.0
LABORATORY = Laboratory(furnaces=(Furnace(places=3),), cyclers=(Cycler(channels=2),))


@pytest.fixture
def steps(engine: Engine, clock: Clock) -> StepQueue:
    return StepQueue(engine, LABORATORY, clock)


def admitted(steps: StepQueue, clock: Clock, formula: str = "LiCoO2", tag: str = "a", priority: int = 0) -> str:
    queue = LabQueue(steps.engine, LABORATORY, clock)
    key = queue.propose(make_request(formula, tag=tag, priority=priority))
    queue.approve(key, "Ada", "good")
    steps.admit(key)
    return key


def done(steps: StepQueue, station: str) -> list[StepItem]:
    """What a station takes, done."""
    taken = steps.claim(station, "robot", LEASE_S)
    for item in taken:
        steps.start(item.step.step_id, item.lease_token, LEASE_S)
    for item in taken:
        steps.finish(item.step.step_id, item.lease_token)
    return taken


def states(steps: StepQueue, key: str) -> dict[str, str]:
    return {item.step.step_id.removeprefix(f"{key}."): item.state.value for item in steps.of_request(key)}


def test_a_request_from_weighing_to_cells(steps: StepQueue, clock: Clock) -> None:
    key = admitted(steps, clock)
    assert set(states(steps, key).values()) == {"ready", "waiting"}
    assert states(steps, key)["weigh"] == "ready"
    stations = ["balance", "furnace", "furnace", "diffractometer", "coater", "cell press"]
    for station, name in zip(stations, ["weigh", "fire-1", "fire-2", "xray", "coat", "assemble"], strict=True):
        (item,) = done(steps, station)
        assert item.step.step_id == f"{key}.{name}"
    assert [place for _, place in steps.samples(key)] == ["cell press"] * 4 + ["coater"]  # cells, sheet; powder
    pair, one = done(steps, "cycler"), done(steps, "cycler")
    assert (len(pair), len(one)) == (2, 1)  # two channels
    assert set(states(steps, key).values()) == {"done"}
    assert steps.claim("cycler", "robot", LEASE_S) == []
    assert verify_audit(steps.engine) == []
    actions = [event.action for event in steps.events(f"{key}.coat")]
    assert actions == ["admit", "ready", "claim", "start", "finish"]


def test_only_what_is_approved_has_steps_and_only_once(steps: StepQueue, clock: Clock) -> None:
    queue = LabQueue(steps.engine, LABORATORY, clock)
    key = queue.propose(make_request())
    with pytest.raises(TransitionError, match="only one that is approved has steps"):
        steps.admit(key)
    with pytest.raises(StoreError, match="there is no request 'nothing'"):
        steps.admit("nothing")
    queue.approve(key, "Ada", "good")
    assert steps.admit(key) == steps.admit(key)
    queue.hold(key, "Ada", "wait")
    assert steps.claim("balance", "robot", LEASE_S) == []
    with pytest.raises(InputError, match="there is no station 'oven' here, but balance"):
        steps.claim("oven", "robot", LEASE_S)


def test_a_furnace_is_filled_with_one_programme_and_then_closed(steps: StepQueue, clock: Clock) -> None:
    """Four of cobalt and one of iron, which comes second in turn and waits for its own programme."""
    keys = [admitted(steps, clock, f, tag=str(i)) for i, f in enumerate(["LiCoO2", "LiFePO4", *["LiCoO2"] * 3])]
    for _ in keys:
        done(steps, "balance")
    first = steps.claim("furnace", "robot", LEASE_S)
    assert [item.step.request_id for item in first] == [keys[0], keys[2], keys[3]]
    assert len({item.lease_token for item in first}) == 1
    assert steps.claim("furnace", "another", LEASE_S) == []
    for item in first:
        steps.start(item.step.step_id, item.lease_token, LEASE_S)
        steps.finish(item.step.step_id, item.lease_token)
    (iron,) = steps.claim("furnace", "robot", LEASE_S)
    assert iron.step.request_id == keys[1]


def test_priority_and_a_day_of_waiting(steps: StepQueue, clock: Clock) -> None:
    old = admitted(steps, clock, tag="old")
    clock.advance(23 * 3600)
    urgent = admitted(steps, clock, tag="urgent", priority=1)
    clock.advance(2 * 3600)
    late = admitted(steps, clock, tag="late", priority=1)
    assert [item.step.request_id for item in steps.items(StepState.READY)] == [urgent, old, late]
    steps.reorder(f"{old}.weigh", 3, "Ada", "a visitor")
    assert [item.step.request_id for item in steps.items(StepState.READY)] == [old, urgent, late]
    assert steps.events(f"{old}.weigh")[-1].why == "priority 3 instead of 0: a visitor"
    (taken,) = steps.claim("balance", "robot", LEASE_S)
    assert taken.step.request_id == old


def test_silence_before_it_began(steps: StepQueue, clock: Clock) -> None:
    key = admitted(steps, clock)
    for turn in range(MAX_TRIES):
        (item,) = steps.claim("balance", "robot", LEASE_S)
        clock.advance(LEASE_S + 1)
        assert steps.expire() == []
        assert states(steps, key)["weigh"] == ("ready" if turn < MAX_TRIES - 1 else "held")
        with pytest.raises(LeaseError, match="this lease of it has ended"):
            steps.start(item.step.step_id, item.lease_token, LEASE_S)
    steps.release(f"{key}.weigh", "Ada", "the robot is repaired")
    assert states(steps, key)["weigh"] == "ready"


def test_silence_after_it_began_waits_for_a_person(steps: StepQueue, clock: Clock) -> None:
    key, other = admitted(steps, clock), admitted(steps, clock, tag="b")
    (item,) = steps.claim("balance", "robot", LEASE_S)
    step = item.step.step_id
    steps.start(step, item.lease_token, LEASE_S)
    clock.advance(LEASE_S + 1)
    assert steps.expire() == [step]
    assert steps.get(step).state is StepState.UNKNOWN
    assert steps.claim("balance", "another", LEASE_S) == []  # the station waits as well
    with pytest.raises(InputError, match="say where the sample is"):
        steps.settle(step, "Ada", " ")
    with pytest.raises(InputError, match="no person"):
        steps.settle(step, "policy:auto", "shelf")
    steps.settle(step, "Ada", "half of it on the balance, thrown away")
    assert steps.get(step).why == "the sample: half of it on the balance, thrown away"
    with pytest.raises(LeaseError):
        steps.finish(step, item.lease_token)
    (next_,) = steps.claim("balance", "another", LEASE_S)
    assert next_.step.request_id == other
    steps.give_back(next_.step.step_id, next_.lease_token, "not today")
    steps.retry(step, "Ada", "weigh anew")
    assert [x.step.request_id for x in steps.items(StepState.READY)] == [other, key]  # at the end of its turn


def test_what_was_done_before_the_silence(steps: StepQueue, clock: Clock) -> None:
    key = admitted(steps, clock)
    (item,) = steps.claim("balance", "robot", LEASE_S)
    steps.start(item.step.step_id, item.lease_token, LEASE_S)
    assert steps.expire(lambda worker: worker == "robot") == [item.step.step_id]  # it is known to be gone
    steps.settle(item.step.step_id, "Ada", "in the crucible, weighed", is_done=True)
    assert (states(steps, key)["weigh"], states(steps, key)["fire-1"]) == ("done", "ready")
    assert "in the crucible, weighed" in [place for _, place in steps.samples(key)]


def test_a_station_that_is_heard_of_again_goes_on(steps: StepQueue, clock: Clock) -> None:
    admitted(steps, clock)
    (item,) = steps.claim("balance", "robot", LEASE_S)
    steps.start(item.step.step_id, item.lease_token, LEASE_S)
    for _ in range(2):
        clock.advance(LEASE_S + 1)
        assert steps.expire() == [item.step.step_id]
        steps.heartbeat(item.step.step_id, item.lease_token, LEASE_S)
        assert steps.get(item.step.step_id).state is StepState.RUNNING
    clock.advance(LEASE_S + 1)
    steps.expire()
    steps.finish(item.step.step_id, item.lease_token)
    steps.finish(item.step.step_id, item.lease_token)  # said twice
    assert steps.get(item.step.step_id).state is StepState.DONE


def test_only_what_harms_nothing_is_repeated(steps: StepQueue, clock: Clock) -> None:
    key = admitted(steps, clock)

    def fails(station: str) -> StepState:
        (item,) = steps.claim(station, "robot", LEASE_S)
        steps.start(item.step.step_id, item.lease_token, LEASE_S)
        steps.fail(item.step.step_id, item.lease_token, "broken")
        return steps.get(item.step.step_id).state

    assert fails("balance") is StepState.FAILED
    with pytest.raises(InputError, match="no person"):
        steps.retry(f"{key}.weigh", "policy:auto", "again")
    steps.retry(f"{key}.weigh", "Ada", "again")
    for station in ("balance", "furnace", "furnace"):
        done(steps, station)
    assert [fails("diffractometer") for _ in range(MAX_TRIES)] == [StepState.READY] * (MAX_TRIES - 1) + [
        StepState.FAILED
    ]
    assert states(steps, key)["coat"] == "waiting"


def test_a_wrong_phase_ends_a_request_before_its_cells(steps: StepQueue, clock: Clock) -> None:
    key = admitted(steps, clock)
    for station in ("balance", "furnace", "furnace"):
        done(steps, station)
    (item,) = steps.claim("diffractometer", "robot", LEASE_S)
    steps.start(item.step.step_id, item.lease_token, LEASE_S)
    steps.finish(item.step.step_id, item.lease_token, "pattern measured", ends_request="another phase")
    assert states(steps, key) == {
        "weigh": "done", "fire-1": "done", "fire-2": "done", "xray": "done", "coat": "cancelled",
        "assemble": "cancelled", "cycle-1": "cancelled", "cycle-2": "cancelled", "cycle-3": "cancelled",
    }  # fmt: skip
    assert steps.get(f"{key}.coat").why == "another phase"


def test_what_is_cancelled_is_not_begun_and_what_began_goes_on(steps: StepQueue, clock: Clock) -> None:
    key, other = admitted(steps, clock), admitted(steps, clock, tag="b")
    done(steps, "balance")
    (firing,) = steps.claim("furnace", "robot", LEASE_S)
    steps.start(firing.step.step_id, firing.lease_token, LEASE_S)
    (weighing,) = steps.claim("balance", "robot", LEASE_S)
    for request in (key, other):
        steps.cancel(request, "Ada", "no lithium left")
    assert states(steps, key)["fire-1"] == "running"
    assert states(steps, key)["fire-2"] == states(steps, other)["weigh"] == "cancelled"
    with pytest.raises(LeaseError):
        steps.start(weighing.step.step_id, weighing.lease_token, LEASE_S)
    steps.finish(firing.step.step_id, firing.lease_token)
    assert states(steps, key)["fire-2"] == "cancelled"
    assert verify_audit(steps.engine) == []


def test_held_steps_wait(steps: StepQueue, clock: Clock) -> None:
    key = admitted(steps, clock)
    (item,) = steps.claim("balance", "robot", LEASE_S)
    steps.hold(item.step.step_id, "Ada", "wait for the balance to be gauged")
    with pytest.raises(LeaseError):
        steps.start(item.step.step_id, item.lease_token, LEASE_S)
    steps.hold(f"{key}.coat", "Ada", "no foil")
    assert steps.claim("balance", "robot", LEASE_S) == []
    steps.release(item.step.step_id, "Ada", "gauged")
    steps.release(f"{key}.coat", "Ada", "foil is here")
    assert (states(steps, key)["weigh"], states(steps, key)["coat"]) == ("ready", "waiting")


def test_one_bench_for_all(engine: Engine, clock: Clock) -> None:
    """What a person does at one table, in turn."""
    table = Bench(name="table", does=frozenset({"weigh", "xray", "coat", "assemble"}), places=2)
    steps = StepQueue(engine, Laboratory(benches=(table,)), clock)
    first, second, third = (admitted(steps, clock, tag=tag) for tag in "abc")
    taken = steps.claim("table", "Grace", LEASE_S)
    assert [item.step.request_id for item in taken] == [first, second]
    assert steps.claim("table", "Grace", LEASE_S) == []
    steps.give_back(taken[0].step.step_id, taken[0].lease_token, "no gloves")
    (item,) = steps.claim("table", "Grace", LEASE_S)
    assert item.step.request_id == first  # it did not lose its turn
    assert steps.items(StepState.READY)[0].step.request_id == third


def test_a_station_that_fell_silent_takes_nothing_more_though_it_has_room(engine: Engine, clock: Clock) -> None:
    table = Bench(name="table", does=frozenset({"weigh", "xray", "coat", "assemble"}), places=3)
    steps = StepQueue(engine, Laboratory(benches=(table,)), clock)
    admitted(steps, clock)
    (item,) = steps.claim("table", "robot", LEASE_S)
    admitted(steps, clock, tag="b")
    steps.start(item.step.step_id, item.lease_token, LEASE_S)
    clock.advance(LEASE_S + 1)
    steps.expire()
    assert steps.claim("table", "robot", LEASE_S) == []
    steps.settle(item.step.step_id, "Ada", "on the table, untouched")
    assert len(steps.claim("table", "robot", LEASE_S)) == 1
