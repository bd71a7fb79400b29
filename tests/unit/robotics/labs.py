"""Laboratories and accidents for the tests of the service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

from redoxa.data.errors import DriverError
from redoxa.data.lab.measurement import Measurement, Outcome
from redoxa.data.lab.request import ExperimentRequest
from redoxa.robotics.base import JobReport, JobState


class CountingLab:
    """A laboratory in memory that outlives its clients and does not protect itself: it counts every arrival."""

    name: ClassVar[str] = "counting"
    summary: ClassVar[str] = "counts"
    patience_s = 10.0
    simulated = True

    def __init__(self) -> None:
        self.arrivals: Counter[str] = Counter()
        self.requests: dict[str, ExperimentRequest] = {}
        self.polls: Counter[str] = Counter()
        self.polls_until_done = 2
        self.lose_reply = False
        self.drop = False
        self.obstacles: list[str] = []
        self.answer: Callable[[str], JobReport] | None = None

    def check(self, request: ExperimentRequest) -> list[str]:
        return self.obstacles

    def submit(self, request_id: str, request: ExperimentRequest) -> None:
        if not self.drop:
            self.arrivals[request_id] += 1
            self.requests[request_id] = request
        if self.lose_reply or self.drop:
            raise DriverError("connection reset")

    def poll(self, request_id: str) -> JobReport:
        if request_id not in self.requests:
            return JobReport(state=JobState.UNKNOWN)
        if self.answer is not None:
            return self.answer(request_id)
        self.polls[request_id] += 1
        if self.polls[request_id] < self.polls_until_done:
            return JobReport(state=JobState.RUNNING)
        return JobReport(state=JobState.DONE, measurement=self.measurement(request_id))

    def measurement(self, request_id: str) -> Measurement:
        return Measurement(
            request_id=request_id,
            candidate_id=self.requests[request_id].candidate_id,
            outcome=Outcome.TARGET_NOT_FORMED,
            simulated=True,
        )

    def stop(self) -> None:
        self.polls_until_done = 10**9

    def cancel(self, request_id: str) -> bool:
        return request_id in self.requests


class Killed(BaseException):
    """The process dies here. Not an Exception: nothing may catch it."""


class Fate:
    """Decides at which call the process dies; afterwards every call fails, as nothing runs in a dead process."""

    def __init__(self, calls_to_live: int, after: bool) -> None:
        self.left = calls_to_live
        self.after = after
        self.dead = False

    def guard(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self.dead:
            raise Killed
        last = self.left == 0
        self.left -= 1
        self.dead = last
        if last and not self.after:
            raise Killed
        value = call(*args, **kwargs)
        if last:
            raise Killed
        return value


class Mortal:
    """An object whose every call may be the last."""

    def __init__(self, target: Any, fate: Fate) -> None:
        self._target, self._fate = target, fate

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not callable(value):
            return value
        return lambda *args, **kwargs: self._fate.guard(value, *args, **kwargs)
