"""A stateful property test: whatever stations and people do, in whatever order, places, turns and samples are kept."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine

from redoxa.data.errors import TransitionError
from redoxa.data.lab.laboratory import Cycler, Furnace, Laboratory
from redoxa.data.lab.request import ExperimentRequest
from redoxa.data.lab.steps import Fire, StepItem
from redoxa.data.lab.steps import StepState as State
from redoxa.robotics.planning.equipment import able
from redoxa.robotics.queue.audit import verify_audit
from redoxa.robotics.queue.queue import LabQueue
from redoxa.robotics.queue.step_queue import StepQueue
from redoxa.robotics.queue.step_transitions import AT_STATION, STEP_TRANSITIONS
from tests.unit.robotics.conftest import Clock, clear
from tests.unit.robotics.samples import make_request

LEASE_S = 60.0
LABORATORY = Laboratory(furnaces=(Furnace(places=2),), cyclers=(Cycler(channels=2),))
STATIONS = {station.name: station for station in LABORATORY.stations}
REQUESTS: list[ExperimentRequest] = []


def sample(index: int) -> ExperimentRequest:
    # Planned once: planning is not what is tested here.
    if not REQUESTS:
        formulas = ("LiCoO2", "LiFePO4", "LiCoO2", "LiMn2O4")
        REQUESTS.extend(make_request(f, tag=str(i), priority=i % 2) for i, f in enumerate(formulas))
    return REQUESTS[index]


class StepMachine(RuleBasedStateMachine):
    """The queue of steps, held against what must never be."""

    engine: Engine

    @initialize()
    def begin(self) -> None:
        clear(self.engine)
        self.clock = Clock()
        self.requests = LabQueue(self.engine, LABORATORY, self.clock)
        self.steps = StepQueue(self.engine, LABORATORY, self.clock)
        self.tokens: dict[str, str | None] = {}
        """The last one that was given for a step: it may be an old one."""

    @rule(index=st.integers(0, 3))
    def admit(self, index: int) -> None:
        key = self.requests.propose(sample(index))
        with suppress(TransitionError):
            self.requests.approve(key, "Ada", "good")
        self.steps.admit(key)

    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        """Mostly where there is something to take."""
        ready = {name for item in self.steps.items(State.READY) for name in STATIONS if self._can(name, item)}
        self._claim(data.draw(st.sampled_from(sorted(ready or STATIONS))))

    def _can(self, station: str, item: StepItem) -> bool:
        return STATIONS[station] in able(item.step, LABORATORY)

    @rule(data=st.data(), way=st.sampled_from(["begins", "falls silent"]))
    def begin_and_more(self, data: st.DataObject, way: str) -> None:
        """A station begins what it takes; then it goes on, or is not heard of any more. Then it asks for more."""
        ready = {name for item in self.steps.items(State.READY) for name in STATIONS if self._can(name, item)}
        if not ready:
            return
        station = data.draw(st.sampled_from(sorted(ready)))
        for item in self._claim(station):
            self.steps.start(item.step.step_id, item.lease_token, LEASE_S)
        if way == "falls silent":
            self.clock.advance(LEASE_S + 1)
            self.expire()
        self._claim(station)

    def _claim(self, station: str) -> list[StepItem]:
        before = self.steps.items(State.READY)
        there = [item for item in self.steps.items() if item.station == station and item.state in AT_STATION]
        free = STATIONS[station].places - len(there)
        closed = any(item.state is State.UNKNOWN for item in there) or ("fire" in STATIONS[station].does and there)
        wanted = [item for item in before if self._can(station, item)]
        if wanted and isinstance(first := wanted[0].step.task, Fire):
            wanted = [x for x in wanted if isinstance(x.step.task, Fire) and x.step.task.programme == first.programme]
        taken = self.steps.claim(station, "robot", LEASE_S)
        expected = [] if closed else wanted[: max(0, free)]
        assert [item.step.step_id for item in taken] == [item.step.step_id for item in expected]
        self.tokens.update({item.step.step_id: item.lease_token for item in taken})
        return taken

    @precondition(lambda self: self.tokens)
    @rule(
        data=st.data(), action=st.sampled_from(["start", "start", "finish", "finish", "fail", "heartbeat", "give_back"])
    )
    def work(self, data: st.DataObject, action: str) -> None:
        step_id = data.draw(st.sampled_from(sorted(self.tokens)))
        before, token = self.steps.get(step_id), data.draw(st.sampled_from([self.tokens[step_id], "another"]))
        acts = {
            "start": lambda: self.steps.start(step_id, token, LEASE_S),
            "finish": lambda: self.steps.finish(step_id, token),
            "fail": lambda: self.steps.fail(step_id, token, "broke"),
            "heartbeat": lambda: self.steps.heartbeat(step_id, token, LEASE_S),
            "give_back": lambda: self.steps.give_back(step_id, token, "cannot"),
        }
        holds = before.lease_token is not None and before.lease_token == token
        try:
            acts[action]()
        except TransitionError:
            sources = {*STEP_TRANSITIONS[action][0], State.UNKNOWN} if action != "heartbeat" else {*State}
            assert not holds or before.state not in sources or action in ("start", "give_back")
            assert self.steps.get(step_id) == before
        else:
            assert holds

    @precondition(lambda self: self.steps.items())
    @rule(data=st.data(), action=st.sampled_from(["settle", "conclude", "retry", "hold", "release", "reorder"]))
    def person(self, data: st.DataObject, action: str) -> None:
        step_id = data.draw(st.sampled_from(sorted(item.step.step_id for item in self.steps.items())))
        before = self.steps.get(step_id)
        acts = {
            "settle": lambda: self.steps.settle(step_id, "Ada", "shelf"),
            "conclude": lambda: self.steps.settle(step_id, "Ada", "shelf", is_done=True),
            "retry": lambda: self.steps.retry(step_id, "Ada", "again"),
            "hold": lambda: self.steps.hold(step_id, "Ada", "wait"),
            "release": lambda: self.steps.release(step_id, "Ada", "go on"),
            "reorder": lambda: self.steps.reorder(step_id, 2, "Ada", "sooner"),
        }
        if action == "reorder" or before.state in STEP_TRANSITIONS[action][0]:
            acts[action]()
        else:
            with suppress(TransitionError):
                acts[action]()
                raise AssertionError(f"{action} from {before.state}")

    @rule(index=st.integers(0, 3))
    def cancel(self, index: int) -> None:
        if self.clock.now.minute % 5 == 0:  # seldom, else nothing gets far
            self.steps.cancel(sample(index).content_hash, "Ada", "no more")

    @rule(seconds=st.sampled_from([10.0, 45.0, 70.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def expire(self) -> None:
        lost = set(self.steps.expire())
        now = self.clock.now
        for item in self.steps.items(State.CLAIMED, State.RUNNING):
            assert item.lease_until is not None
            assert item.lease_until > now
        assert lost <= {item.step.step_id for item in self.steps.items(State.UNKNOWN)}

    @rule(stations=st.permutations(["balance", "furnace", "diffractometer", "coater", "cell press", "cycler"]))
    def proceed(self, stations: list[str]) -> None:
        """An undisturbed hour; without it, hardly any request would get far."""
        for station in stations:
            for item in self.steps.claim(station, "robot", LEASE_S):
                self.tokens[item.step.step_id] = item.lease_token
                self.steps.start(item.step.step_id, item.lease_token, LEASE_S)
                self.steps.finish(item.step.step_id, item.lease_token)

    @invariant()
    def nothing_is_where_it_must_not_be(self) -> None:
        if not hasattr(self, "steps"):
            return
        items = {item.step.step_id: item for item in self.steps.items()}
        there: dict[str, list[StepItem]] = {}
        for item in items.values():
            begun = item.state not in (State.WAITING, State.HELD, State.CANCELLED)
            assert not begun or all(items[before].state is State.DONE for before in item.step.after)
            if item.state in AT_STATION:
                assert item.lease_token is not None
                assert item.station is not None
                assert self._can(item.station, item)
                there.setdefault(item.station, []).append(item)
        for station, held in there.items():
            assert len(held) <= STATIONS[station].places
            tasks = [item.step.task for item in held]
            assert len({task.programme for task in tasks if isinstance(task, Fire)}) <= 1
        for item in items.values():
            if item.state is State.READY:
                assert any(self._can(name, item) for name in STATIONS)

    def teardown(self) -> None:
        if not hasattr(self, "steps"):
            return
        for item in self.steps.items():
            events = self.steps.events(item.step.step_id)
            assert events[0].action == "admit"
            assert events[-1].to_state is item.state
            for before, event in pairwise(events):
                assert event.from_state is before.to_state
                if event.action != "note":
                    assert event.from_state in STEP_TRANSITIONS[event.action][0]
                    assert event.to_state is STEP_TRANSITIONS[event.action][1]
            counts = Counter(event.action for event in events)
            # Begun twice only by a person's word, or where it harms nothing.
            assert counts["start"] <= 1 + counts["retry"] + counts["again"]
            assert counts["again"] == 0 or item.step.is_repeatable
        assert verify_audit(self.engine) == []


def test_any_order_of_actions_keeps_the_laboratory_in_order(engine: Engine) -> None:
    machine = type("Machine", (StepMachine,), {"engine": engine})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=12, stateful_step_count=40, deadline=None, derandomize=True)
    )
