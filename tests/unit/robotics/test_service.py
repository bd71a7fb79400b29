from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from redoxa.data.errors import DriverError, InputError, SafetyError, TransitionError
from redoxa.data.lab.measurement import Measurement, Outcome
from redoxa.data.lab.request import ExperimentRequest, RequestState, SafetyFinding
from redoxa.data.records import Estimate
from redoxa.robotics.base import JobReport, JobState
from redoxa.robotics.drivers.file_drop import FileDropLab
from redoxa.robotics.drivers.simulated import SimulatedLab
from redoxa.robotics.errors import ConflictError
from redoxa.robotics.queue.queue import LabQueue
from redoxa.robotics.queue.service import MAX_SENDS, ServiceOptions, run_queue
from redoxa.robotics.queue.transitions import LATE
from redoxa.robotics.queue.worker_name import this_worker
from tests.unit.robotics.conftest import Clock
from tests.unit.robotics.labs import CountingLab, Fate, Killed, Mortal
from tests.unit.robotics.samples import estimate, make_request, new_engine, swap, with_furnace

AT_ONCE = ServiceOptions(sleep=lambda _s: None)
GONE = this_worker().replace(f":{os.getpid()}:", f":{2**22 + 1}:")
"""A worker on this host whose process cannot exist (beyond the largest process id)."""


BASE = make_request("LiCoO2")


def fill(queue: LabQueue, n: int = 3, tag: str = "") -> list[str]:
    keys = [queue.propose(BASE.model_copy(update={"candidate_id": f"c-{tag}{i}"})) for i in range(n)]
    for key in keys:
        queue.approve(key, by="Ada", why="good")
    return keys


def states(queue: LabQueue) -> list[RequestState]:
    return [item.state for item in queue.list()]


def test_everything_approved_is_sent_once_and_measured(queue: LabQueue) -> None:
    keys, lab = fill(queue), CountingLab()
    waits = queue.propose(make_request("LiFePO4", tag="waits"))
    seen: list[tuple[str, int, int]] = []
    report = run_queue(queue, lab, options=AT_ONCE, on_progress=lambda *args: seen.append(args))
    assert report.measured == keys
    assert (report.failed, report.waiting, report.troubles) == ([], [], [])
    assert lab.arrivals == dict.fromkeys(keys, 1)
    assert queue.get(waits).state is RequestState.PROPOSED
    assert seen[-1] == ("laboratory", 3, 3)
    assert [m.request_id for _, m in queue.measured()] == keys


def test_running_again_does_nothing(queue: LabQueue) -> None:
    fill(queue)
    lab = CountingLab()
    run_queue(queue, lab, options=AT_ONCE)
    before = queue.events()
    report = run_queue(queue, lab, options=AT_ONCE)
    assert (report.measured, queue.events()) == ([], before)


def total_calls(queue: LabQueue, lab: CountingLab) -> int:
    fate = Fate(10**9, after=False)
    run_queue(Mortal(queue, fate), Mortal(lab, fate), worker=GONE, options=AT_ONCE)
    return 10**9 - fate.left


@pytest.mark.parametrize("after", [False, True], ids=["before-the-call", "after-the-call"])
def test_killed_at_every_single_call_nothing_is_lost_and_nothing_sent_twice(queue: LabQueue, after: bool) -> None:
    """The process dies at call 0, 1, 2 ... of queue and laboratory; each time a plain rerun finishes the work."""
    fill(queue, 2)
    calls = total_calls(queue, CountingLab())
    assert calls > 15
    for k in range(calls):
        keys = fill(queue, 2, f"{k}-{after}-")
        lab, fate = CountingLab(), Fate(k, after)
        with pytest.raises(Killed):
            run_queue(Mortal(queue, fate), Mortal(lab, fate), worker=GONE, options=AT_ONCE)
        run_queue(queue, lab, options=AT_ONCE)
        assert lab.arrivals == dict.fromkeys(keys, 1), f"killed at call {k}"
        assert [queue.get(key).state for key in keys] == [RequestState.DONE] * 2, f"killed at call {k}"
        for key in keys:
            assert [e.action for e in queue.events(key)].count("start") == 1


def test_a_lost_reply_is_answered_by_asking(queue: LabQueue) -> None:
    keys, lab = fill(queue), CountingLab()
    lab.lose_reply = True
    report = run_queue(queue, lab, options=AT_ONCE)
    assert report.measured == keys
    assert lab.arrivals == dict.fromkeys(keys, 1)
    assert len(report.troubles) == 3
    assert any("connection reset" in e.why for e in queue.events(keys[0]) if e.action == "note")


class Waits:
    """A clock that moves only while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.at: dict[float, Callable[[], None]] = {}

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        for due in [due for due in self.at if due <= self.now_s]:
            self.at.pop(due)()

    def options(self, **fields: Any) -> ServiceOptions:
        return ServiceOptions(clock=self, sleep=self.sleep, poll_s=0.125, **fields)


def test_what_never_arrives_is_held_for_a_person_and_can_be_retried(queue: LabQueue) -> None:
    (key,), lab, waits = fill(queue, 1), CountingLab(), Waits()
    lab.drop = True
    tried = []
    sending = lab.submit
    lab.submit = lambda *args: (tried.append(round(waits.now_s)), sending(*args))  # type: ignore[method-assign,assignment]
    report = run_queue(queue, lab, options=waits.options(deadline_s=0))
    assert (report.held, report.failed, report.waiting) == ([key], [], [])
    assert tried == [0, 2, 6, 14, 30]
    assert queue.get(key).state is RequestState.HELD
    assert queue.get(key).worker is None
    assert queue.events(key)[-1].why == f"could not be handed over: connection reset ({MAX_SENDS} tries)"
    assert "held: could not be handed over" in report.troubles[-1]
    lab.drop = False
    queue.release(key, by="Ada", why="the share is back")
    queue.approve(key, by="Ada", why="good")
    assert run_queue(queue, lab, options=waits.options()).measured == [key]
    assert lab.arrivals == {key: 1}


def test_what_arrived_unseen_is_not_sent_again_after_a_retry(queue: LabQueue) -> None:
    (key,), lab, waits = fill(queue, 1), CountingLab(), Waits()
    lab.lose_reply, polling = True, lab.poll
    lab.poll = lambda _key: JobReport(state=JobState.UNKNOWN)  # type: ignore[method-assign,assignment]
    run_queue(queue, lab, options=waits.options())
    assert queue.get(key).state is RequestState.HELD
    before = dict(lab.arrivals)
    lab.poll = polling  # type: ignore[method-assign]
    queue.release(key, by="Ada", why="again")
    queue.approve(key, by="Ada", why="good")
    assert run_queue(queue, lab, options=waits.options()).measured == [key]
    assert dict(lab.arrivals) == before


def test_one_that_cannot_be_handed_over_holds_up_no_other(queue: LabQueue) -> None:
    keys, lab, waits = fill(queue, 3), CountingLab(), Waits()
    sending = lab.submit

    def submit(key: str, request: ExperimentRequest) -> None:
        if key == keys[1]:
            raise OSError(errno.EIO, "Input/output error")
        sending(key, request)

    lab.submit = submit  # type: ignore[method-assign]
    report = run_queue(queue, lab, options=waits.options())
    assert (report.measured, report.held) == ([keys[0], keys[2]], [keys[1]])
    assert "Input/output error" in queue.events(keys[1])[-1].why


@pytest.mark.parametrize("back_after_s", [1, 29, 10**9])
def test_an_outbox_that_is_away_for_a_while_costs_no_request(
    queue: LabQueue, tmp_path: Path, back_after_s: float
) -> None:
    first, second = fill(queue, 2)
    lab, waits = FileDropLab(FileDropLab.Config(), tmp_path / "lab"), Waits()
    run_queue(queue, lab, options=waits.options(slots=1))
    lab.outbox.rename(tmp_path / "away")
    waits.at[waits.now_s + back_after_s] = lambda: (tmp_path / "away").rename(lab.outbox) and None
    report = run_queue(queue, lab, options=waits.options())
    assert report.waiting == ([first, second] if back_after_s < 30 else [first])
    assert report.held == ([] if back_after_s < 30 else [second])
    if back_after_s > 30:
        assert "is away; connect it again" in queue.events(second)[-1].why
        assert not lab.outbox.exists()  # nothing was written into the place where the share belongs


def test_a_stop_ends_the_pauses_between_tries(queue: LabQueue) -> None:
    (key,), lab, waits = fill(queue, 1), CountingLab(), Waits()
    lab.drop = True
    pressed: list[str] = []
    waits.at[5.0] = lambda: pressed.append("stopped: by Ada")
    report = run_queue(queue, lab, options=waits.options(stop_reason=lambda: "".join(pressed)))
    assert (report.stopped, report.waiting) == (True, [key])
    assert waits.now_s < 5.5


def test_obstacles_close_the_request_with_their_reason(queue: LabQueue) -> None:
    (key,), lab = fill(queue, 1), CountingLab()
    lab.obstacles = ["no furnace"]
    run_queue(queue, lab, options=AT_ONCE)
    assert queue.get(key).state is RequestState.FAILED
    assert queue.events(key)[-1].why == "the laboratory cannot: no furnace"
    assert not lab.arrivals


def test_a_laboratory_out_of_reach_leaves_the_queue_as_it_was(queue: LabQueue) -> None:
    fill(queue)
    lab = CountingLab()

    def unreachable(_request: object) -> list[str]:
        raise DriverError("no route to host")

    lab.check = unreachable  # type: ignore[method-assign,assignment]
    report = run_queue(queue, lab, options=AT_ONCE)
    assert states(queue) == [RequestState.APPROVED] * 3
    assert "no route to host" in report.troubles[0]


def test_rules_that_tightened_after_approval_let_it_lapse(queue: LabQueue, clock: Clock) -> None:
    (key,) = fill(queue, 1)
    strict, lab = LabQueue(queue.engine, with_furnace(max_temperature_C=700), clock), CountingLab()
    run_queue(strict, lab, options=AT_ONCE)
    assert queue.get(key).state is RequestState.PROPOSED
    assert queue.events(key)[-1].why.startswith("approved under the safety rules")
    with pytest.raises(SafetyError, match="S006"):
        strict.approve(key, by="Ada", why="again")
    assert not lab.arrivals


def test_what_the_rules_refuse_at_the_last_look_is_held(queue: LabQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    (key,), lab = fill(queue, 1), CountingLab()
    findings = (SafetyFinding(rule="S006", ok=False, text="too hot"),)
    monkeypatch.setattr("redoxa.robotics.queue.service.check", lambda *_: findings)
    run_queue(queue, lab, options=AT_ONCE)
    assert queue.get(key).state is RequestState.HELD
    assert "S006 too hot" in queue.events(key)[-2].why
    assert not lab.arrivals


def test_a_failure_of_the_laboratory_keeps_its_words(queue: LabQueue) -> None:
    (key,), lab = fill(queue, 1), CountingLab()
    lab.answer = lambda _key: JobReport(state=JobState.FAILED, text="the crucible broke")
    run_queue(queue, lab, options=AT_ONCE)
    assert queue.get(key).state is RequestState.FAILED
    assert queue.events(key)[-1].why == "the crucible broke"


@pytest.mark.parametrize("broken", ["nothing", "another"])
def test_a_result_that_cannot_be_taken_fails_with_the_reason(queue: LabQueue, broken: str) -> None:
    keys, lab = fill(queue, 2), CountingLab()

    def answer(key: str) -> JobReport:
        good = lab.measurement(key)
        wrong = None if broken == "nothing" else good.model_copy(update={"candidate_id": "other"})
        return JobReport(state=JobState.DONE, measurement=wrong if key == keys[0] else good)

    lab.answer = answer
    run_queue(queue, lab, options=AT_ONCE)
    assert [queue.get(key).state for key in keys] == [RequestState.FAILED, RequestState.DONE]
    assert "measurement" in queue.events(keys[0])[-1].why


def test_one_bad_answer_does_not_lose_the_others(queue: LabQueue) -> None:
    keys, lab = fill(queue, 2), CountingLab()

    def answer(key: str) -> JobReport:
        if key == keys[0]:
            raise KeyError("state")
        return JobReport(state=JobState.DONE, measurement=lab.measurement(key))

    lab.answer = answer
    report = run_queue(queue, lab, options=replace(AT_ONCE, deadline_s=0))
    assert (report.measured, report.waiting) == ([keys[1]], [keys[0]])
    assert queue.get(keys[0]).state is RequestState.RUNNING
    assert sum("KeyError" in e.why for e in queue.events(keys[0])) == 1


def test_what_takes_longer_is_left_and_taken_back_by_the_next_run(queue: LabQueue) -> None:
    keys, lab = fill(queue), CountingLab()
    lab.polls_until_done = 5
    first = run_queue(queue, lab, options=replace(AT_ONCE, deadline_s=0))
    assert first.waiting == keys
    assert all(item.worker is None and item.state is RequestState.RUNNING for item in queue.list())
    second = run_queue(queue, lab, options=AT_ONCE)
    assert second.measured == keys
    assert lab.arrivals == dict.fromkeys(keys, 1)


def test_slots_limit_what_is_with_the_laboratory_at_once(queue: LabQueue) -> None:
    keys, lab = fill(queue, 4), CountingLab()
    run_queue(queue, lab, options=replace(AT_ONCE, deadline_s=0, slots=3))
    assert sum(lab.arrivals.values()) == 3
    assert run_queue(queue, lab, options=AT_ONCE).measured == keys


def test_a_long_wait_keeps_its_lease(queue: LabQueue, clock: Clock) -> None:
    (key,), lab = fill(queue, 1), CountingLab()
    lab.polls_until_done = 12

    def sleep(_s: float) -> None:
        clock.advance(10)
        assert queue.adopt("somebody else", 60) == []

    options = ServiceOptions(lease_s=30, deadline_s=1000, sleep=sleep, clock=lambda: clock().timestamp())
    assert run_queue(queue, lab, options=options).measured == [key]


def test_a_request_taken_over_meanwhile_is_let_go(queue: LabQueue) -> None:
    (key,), lab = fill(queue, 1), CountingLab()

    def taken_over(_key: str) -> JobReport:
        queue.adopt("somebody else", 60, is_gone=lambda _worker: True)
        return JobReport(state=JobState.DONE, measurement=lab.measurement(key))

    lab.answer = taken_over
    report = run_queue(queue, lab, options=AT_ONCE)
    assert (report.lost, report.measured) == ([key], [])
    assert queue.get(key).worker == "somebody else"


WORKER = """
import sys
from pathlib import Path
from redoxa.data.storage.database import open_engine
from redoxa.robotics.queue.queue import LabQueue
from redoxa.robotics.queue.service import ServiceOptions, run_queue
from redoxa.robotics.drivers.simulated import SimulatedLab
folder = Path(sys.argv[1])
lab = SimulatedLab(SimulatedLab.Config(seed=1, delay_s=0.3), folder / "lab")
print("ready", flush=True)
run_queue(LabQueue(open_engine(folder / "redoxa.db")), lab, options=ServiceOptions(poll_s=0.02, slots=2))
print("end", flush=True)
"""


def test_kill_9_of_the_real_process_and_a_rerun(tmp_path: Path) -> None:
    queue = LabQueue(new_engine(tmp_path))
    keys = fill(queue, 6)
    for _ in range(2):
        before = len(queue.events())
        process = subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        while len(queue.events()) < before + 3:
            assert process.poll() is None, "it ended before it could be killed"
        process.kill()
        process.communicate()
    unfinished = {RequestState.APPROVED, RequestState.CLAIMED, RequestState.RUNNING}
    assert unfinished & set(states(queue))  # it was in the middle of something
    lab = SimulatedLab(SimulatedLab.Config(seed=1, delay_s=0.3), tmp_path / "lab")
    run_queue(queue, lab, options=ServiceOptions(poll_s=0.02))
    assert states(queue) == [RequestState.DONE] * 6
    undisturbed = SimulatedLab(SimulatedLab.Config(seed=1), tmp_path / "other")
    for key in keys:
        actions = [e.action for e in queue.events(key)]
        assert (actions.count("start"), actions.count("finish")) == (1, 1)
        undisturbed.submit(key, queue.get(key).request)
        assert queue.get(key).measurement == undisturbed.poll(key).measurement


@pytest.mark.parametrize("started", [False, True], ids=["approved", "about-to-be-sent"])
def test_a_request_that_was_changed_in_the_store_never_reaches_the_laboratory(queue: LabQueue, started: bool) -> None:
    (key,) = fill(queue, 1)
    if started:  # by a worker that died before it sent anything
        item = queue.claim(GONE, 60)
        assert item is not None
        queue.start(key, item.lease_token, 60)
    swap(queue, key)
    lab = CountingLab()
    run_queue(queue, lab, options=AT_ONCE)
    assert queue.get(key).state is (RequestState.FAILED if started else RequestState.HELD)
    assert "is not what was proposed" in queue.events(key)[-1 if started else -2].why
    assert lab.arrivals == {}


def test_a_request_withdrawn_before_it_is_sent_is_not_sent(queue: LabQueue) -> None:
    first, second = fill(queue, 2)
    lab, polling = CountingLab(), CountingLab.poll

    def poll(key: str) -> JobReport:
        if queue.get(key).state is RequestState.RUNNING and key == second:
            queue.withdraw(second, by="Ada", why="the target is toxic")
        return polling(lab, key)

    lab.poll = poll  # type: ignore[method-assign]
    report = run_queue(queue, lab, options=AT_ONCE)
    assert (report.measured, report.lost) == ([first], [second])
    assert dict(lab.arrivals) == {first: 1}
    assert queue.get(second).state is RequestState.HELD
    assert queue.events(second)[-1].why == "withdrawn; where is the sample? (the target is toxic)"


def test_a_withdrawn_request_waits_until_somebody_knows_where_the_sample_is(queue: LabQueue) -> None:
    (key,), lab = fill(queue, 1), CountingLab()
    lab.polls_until_done = 10**9
    with pytest.raises(TransitionError):
        queue.withdraw(key, by="Ada", why="it is not with the laboratory")
    with pytest.raises(TransitionError, match="'settle' needs"):
        queue.settle(key, by="Ada", sample="nowhere")
    run_queue(queue, lab, options=replace(AT_ONCE, deadline_s=0))
    queue.withdraw(key, by="Ada", why="the furnace leaks")
    queue.note(key, "laboratory", "told")
    for act in (queue.release, queue.cancel, queue.hold):
        with pytest.raises(TransitionError, match="queue settle"):
            act(key, by="Ada", why="x")
    for by, sample in (("", "in the furnace"), ("policy:auto", "in the furnace"), ("Ada", " ")):
        with pytest.raises(InputError):
            queue.settle(key, by=by, sample=sample)
    assert run_queue(queue, lab, options=AT_ONCE).measured == []
    queue.settle(key, by="Ada", sample=" in the furnace, cold, thrown away ")
    assert queue.get(key).state is RequestState.CANCELLED
    last = queue.events(key)[-1]
    assert (last.actor, last.action, last.why) == ("Ada", "settle", "the sample: in the furnace, cold, thrown away")
    held = fill(queue, 1, "held")[0]
    queue.hold(held, by="Ada", why="later")
    with pytest.raises(TransitionError, match="only a request that was withdrawn"):
        queue.settle(held, by="Ada", sample="nowhere")
    queue.cancel(held, by="Ada", why="no")


@pytest.mark.parametrize("is_settled", [False, True])
def test_a_result_that_comes_after_the_withdrawal_is_kept_and_changes_nothing(
    queue: LabQueue, tmp_path: Path, is_settled: bool
) -> None:
    (key,), lab = fill(queue, 1), FileDropLab(FileDropLab.Config(settle_s=0), tmp_path)
    run_queue(queue, lab, options=AT_ONCE)
    queue.withdraw(key, by="Ada", why="the furnace leaks")
    if is_settled:
        queue.settle(key, by="Ada", sample="in the furnace")
    state = queue.get(key).state
    assert run_queue(queue, lab, options=AT_ONCE).late == []
    answer = {"request_id": key, "outcome": "success", "values": {"average_voltage": {"value": 3.8, "sigma": 0.1}}}
    (lab.inbox / "late.json").write_text(json.dumps(answer))
    (line,) = run_queue(queue, lab, options=AT_ONCE).late
    assert line == f"{key}: {LATE}: success: average voltage 3.8 V"
    row, before = queue.get(key), queue.events(key)
    assert row.measurement is not None
    assert row.measurement.values["average_voltage"].value == 3.8
    assert (row.state, queue.measured()) == (state, [])
    assert (before[-1].actor, before[-1].why) == ("laboratory", f"{LATE}: success: average voltage 3.8 V")
    again = run_queue(queue, lab, options=AT_ONCE)
    assert (again.late, again.troubles, queue.events(key)) == ([], [], before)
    queue.keep_late(key, row.measurement)
    with pytest.raises(ConflictError):
        queue.keep_late(key, row.measurement.model_copy(update={"candidate_id": "another"}))
    assert queue.events(key) == before
    if not is_settled:
        queue.settle(key, by="Ada", sample="in the furnace")


def test_what_a_laboratory_says_too_late_of_a_failure_is_said_once(queue: LabQueue) -> None:
    (key,), lab = fill(queue, 1), CountingLab()
    lab.polls_until_done = 10**9
    run_queue(queue, lab, options=replace(AT_ONCE, deadline_s=0))
    queue.withdraw(key, by="Ada", why="the furnace leaks")
    lab.answer = lambda _key: JobReport(state=JobState.FAILED, text="the crucible broke")
    assert run_queue(queue, lab, options=AT_ONCE).troubles == [f"{key}: late: the crucible broke"]
    assert queue.events(key)[-1].why == "late: the crucible broke"
    assert run_queue(queue, lab, options=AT_ONCE).troubles == []
    slip = estimate(3400.0)
    lab.answer = lambda key: JobReport(state=JobState.DONE, measurement=measured(key, slip))
    assert "not plausible" in run_queue(queue, lab, options=AT_ONCE).troubles[0]
    alien = measured(key, estimate(3.8)).model_copy(update={"candidate_id": "another"})
    lab.answer = lambda _key: JobReport(state=JobState.DONE, measurement=alien)
    assert "late, and not taken: the measurement is of" in run_queue(queue, lab, options=AT_ONCE).troubles[0]
    before = queue.events(key)
    lab.answer = lambda _key: 1 / 0  # type: ignore[assignment,return-value]
    assert "no answer: ZeroDivisionError" in run_queue(queue, lab, options=AT_ONCE).troubles[0]
    assert queue.events(key) == before
    assert (queue.get(key).measurement, queue.get(key).state) == (None, RequestState.HELD)


def measured(key: str, voltage: Estimate) -> Measurement:
    return Measurement(
        request_id=key,
        candidate_id="c-0",
        outcome=Outcome.SUCCESS,
        values={"average_voltage": voltage},
        simulated=False,
    )


@pytest.mark.parametrize("is_away", [False, True])
def test_a_request_withdrawn_while_it_is_sent_is_cancelled_in_the_laboratory(queue: LabQueue, is_away: bool) -> None:
    (key,), lab = fill(queue, 1), CountingLab()
    cancelled = []

    def submit(key: str, request: ExperimentRequest) -> None:
        queue.withdraw(key, by="Ada", why="toxic")
        CountingLab.submit(lab, key, request)

    def cancel(key: str) -> bool:
        if is_away:
            raise DriverError("no route to host")
        cancelled.append(key)
        return True

    lab.submit, lab.cancel = submit, cancel  # type: ignore[method-assign]
    report = run_queue(queue, lab, options=AT_ONCE)
    assert report.lost == [key]
    assert cancelled == ([] if is_away else [key])
    assert ("could not be told: no route to host" if is_away else "told to do no more") in report.troubles[0]
    assert "withdrawn while it was sent" in queue.events(key)[-1].why
