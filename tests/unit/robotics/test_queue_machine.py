"""A stateful property test: whatever people and workers do, in whatever order, no request is lost, none takes a way that
the table does not hold, and the audit trail tells the whole story."""

from __future__ import annotations

from itertools import pairwise

import pytest
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
from redoxa.data.lab.measurement import Measurement, Outcome
from redoxa.data.lab.request import ExperimentRequest
from redoxa.data.lab.request import RequestState as State
from redoxa.robotics.queue.audit import verify_audit
from redoxa.robotics.queue.queue import MAX_ATTEMPTS, LabQueue
from redoxa.robotics.queue.transitions import TRANSITIONS
from tests.unit.robotics.conftest import Clock, clear
from tests.unit.robotics.samples import make_request

LEASE_S = 60.0
WORKERS = ("ann", "bob", "eve")
REQUESTS: list[ExperimentRequest] = []


def sample(index: int) -> ExperimentRequest:
    # Planned once: planning is not what is tested here.
    if not REQUESTS:
        REQUESTS.extend(make_request("LiCoO2", tag=str(i), priority=i % 3) for i in range(6))
    return REQUESTS[index]


class QueueMachine(RuleBasedStateMachine):
    """The queue beside a plain model of it."""

    engine: Engine

    @initialize()
    def begin(self) -> None:
        clear(self.engine)
        self.clock = Clock()
        self.queue = LabQueue(self.engine, clock=self.clock)
        self.state: dict[str, State] = {}
        self.age: dict[str, int] = {}
        self.worker: dict[str, str | None] = {}
        self.token: dict[tuple[str, str], str | None] = {}
        """The last one that a worker was given for a request: it may be an old one."""
        self.until: dict[str, float] = {}
        self.withdrawn: set[str] = set()
        self.time_s = 0.0
        self.expired: dict[str, int] = {}

    @rule(index=st.integers(0, 5))
    def propose(self, index: int) -> None:
        key = self.queue.propose(sample(index))
        if key not in self.state:
            self.state[key] = State.PROPOSED
            self.age[key] = len(self.age)
            self.worker[key] = None

    @precondition(lambda self: self.state)
    @rule(data=st.data(), action=st.sampled_from(["approve", "hold", "release", "cancel", "withdraw", "settle"]))
    def person(self, data: st.DataObject, action: str) -> None:
        self._person(data.draw(st.sampled_from(sorted(self.state))), action)

    @precondition(lambda self: self.state)
    @rule(data=st.data(), worker=st.sampled_from(WORKERS))
    def proceed(self, data: st.DataObject, worker: str) -> None:
        """The next step of an undisturbed life; without it, hardly any request would get far."""
        key = data.draw(st.sampled_from(sorted(self.state)))
        state, holder = self.state[key], self.worker[key]
        if state is State.PROPOSED:
            self._person(key, "approve")
        elif state is State.APPROVED:
            self._claim(worker)
        elif state is State.CLAIMED and holder:
            self._work(key, holder, "start")
        elif state is State.RUNNING and holder:
            self._work(key, holder, "finish")

    def _person(self, key: str, action: str) -> None:
        def act(key: str, by: str, why: str) -> None:
            getattr(self.queue, action)(key, by, why)

        lost = key in self.withdrawn and self.state[key] is State.HELD
        if self.state[key] in TRANSITIONS[action].sources and (action == "settle") == lost:
            act(key, by="Ada", why="because")
            if action == "release":
                self.expired[key] = 0
            self.state[key] = TRANSITIONS[action].target
            self.worker[key] = None
            if action == "withdraw":
                self.withdrawn.add(key)
        else:
            with pytest.raises(TransitionError):
                act(key, by="Ada", why="because")

    @rule(worker=st.sampled_from(WORKERS))
    def claim(self, worker: str) -> None:
        self._claim(worker)

    def _claim(self, worker: str) -> None:
        waiting = [k for k, s in self.state.items() if s is State.APPROVED]
        item = self.queue.claim(worker, LEASE_S)
        if not waiting:
            assert item is None
            return
        assert item is not None
        first = min(waiting, key=lambda k: (-self.queue.get(k).priority, self.age[k]))
        assert item.request_id == first
        self.token[first, worker] = item.lease_token
        self._held(first, State.CLAIMED, worker)

    @precondition(lambda self: self.state)
    @rule(
        data=st.data(),
        worker=st.sampled_from(WORKERS),
        action=st.sampled_from(["start", "give_back", "finish", "fail", "shelve", "park", "heartbeat"]),
    )
    def work(self, data: st.DataObject, worker: str, action: str) -> None:
        self._work(data.draw(st.sampled_from(sorted(self.state))), worker, action)

    def _work(self, key: str, worker: str, action: str) -> None:
        measurement = Measurement(
            request_id=key,
            candidate_id=self.queue.get(key).request.candidate_id,
            outcome=Outcome.TARGET_NOT_FORMED,
            simulated=True,
        )
        token = self.token.get((key, worker))
        acts = {
            "start": lambda: self.queue.start(key, token, LEASE_S),
            "give_back": lambda: self.queue.give_back(key, token, "cannot"),
            "finish": lambda: self.queue.finish(key, token, measurement),
            "fail": lambda: self.queue.fail(key, token, "broke"),
            "shelve": lambda: self.queue.shelve(key, token, "the share is away"),
            "park": lambda: self.queue.park(key, token),
            "heartbeat": lambda: self.queue.heartbeat(key, token, LEASE_S),
        }
        if action == "finish" and self.state[key] is State.DONE:
            acts[action]()  # the same measurement again: nothing happens
            return
        holds = self.worker[key] == worker
        legal = action in ("park", "heartbeat") or self.state[key] in TRANSITIONS[action].sources
        if not (holds and legal):
            with pytest.raises(TransitionError):
                acts[action]()
            return
        acts[action]()
        if action == "heartbeat":
            self.until[key] = self.time_s + LEASE_S
        elif action == "park":
            self.worker[key] = None
        elif action == "start":
            self._held(key, State.RUNNING, worker)
        else:
            self.state[key], self.worker[key] = TRANSITIONS[action].target, None

    @rule(seconds=st.sampled_from([10.0, 45.0, 70.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.time_s += seconds

    @rule()
    def expire(self) -> None:
        gone = {k for k, s in self.state.items() if s is State.CLAIMED and self._free(k)}
        for key in gone:
            self.expired[key] = self.expired.get(key, 0) + 1
        back = {key for key in gone if self.expired[key] < MAX_ATTEMPTS}
        assert set(self.queue.expire()) == back
        for key in gone:
            self.state[key], self.worker[key] = State.APPROVED if key in back else State.HELD, None

    @rule(worker=st.sampled_from(WORKERS))
    def adopt(self, worker: str) -> None:
        free = {k for k, s in self.state.items() if s is State.RUNNING and self._free(k)}
        adopted = self.queue.adopt(worker, LEASE_S)
        assert {item.request_id for item in adopted} == free
        for item in adopted:
            self.token[item.request_id, worker] = item.lease_token
            self._held(item.request_id, State.RUNNING, worker)

    def _held(self, key: str, state: State, worker: str) -> None:
        self.state[key], self.worker[key], self.until[key] = state, worker, self.time_s + LEASE_S

    def _free(self, key: str) -> bool:
        return self.worker[key] is None or self.until[key] <= self.time_s

    @invariant()
    def nothing_is_lost_and_everybody_agrees(self) -> None:
        if not hasattr(self, "queue"):
            return
        rows = {item.request_id: item for item in self.queue.list()}
        assert {k: (i.state, i.worker) for k, i in rows.items()} == {
            k: (s, self.worker[k]) for k, s in self.state.items()
        }
        for item in rows.values():
            assert (item.measurement is not None) == (item.state is State.DONE)

    def teardown(self) -> None:
        if not hasattr(self, "queue"):
            return
        for key, state in self.state.items():
            events = self.queue.events(key)
            assert events[0].action == "propose"
            assert events[-1].to_state is state
            for before, event in pairwise(events):
                assert event.from_state is before.to_state
                assert event.from_state in TRANSITIONS[event.action].sources
                assert event.to_state is TRANSITIONS[event.action].target
        assert verify_audit(self.engine) == []


def test_any_order_of_actions_keeps_the_queue_whole(engine: Engine) -> None:
    machine = type("Machine", (QueueMachine,), {"engine": engine})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=20, stateful_step_count=50, deadline=None, derandomize=True)
    )
