"""Working the queue: claim, check, send, ask, write down. Safe to kill at any point and to run again.

Before anything is sent the intent is recorded (`LabQueue.start`), and the laboratory is asked whether it knows the
request already. So an interrupted run never sends twice: on the next run the request is adopted and the laboratory is
asked first; only what it has never heard of is sent, under the same key.

What cannot be handed over is tried again, each time after a longer pause, and then held with the reason for a person to
look at: a share that was away for a while costs no request.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from redoxa.data.errors import DriverError, TransitionError
from redoxa.data.lab.request import QueueItem, RequestState
from redoxa.data.progress import OnProgress
from redoxa.robotics.base import Driver, JobReport, JobState
from redoxa.robotics.errors import CHANGED, ConflictError, LeaseError
from redoxa.robotics.queue.judge import flagged, surprises, why_refused
from redoxa.robotics.queue.transitions import LATE
from redoxa.robotics.queue.worker_name import has_died, this_worker
from redoxa.robotics.safety.check import check, is_allowed, refusals, rules_version
from redoxa.robotics.safety.overrides import carried
from redoxa.robotics.stop_mark import stop_reason

if TYPE_CHECKING:
    from redoxa.robotics.queue.queue import LabQueue


MAX_SENDS = 5
"""Times a request is sent in one run while the laboratory does not know it; then it is held."""
NOT_HANDED_OVER = "could not be handed over"


@dataclass(frozen=True)
class ServiceOptions:
    """How a run works the queue.

    Attributes:
        lease_s: a worker that is silent for this long has lost its requests.
        poll_s: pause between two rounds of asking.
        deadline_s: longest time to wait for the laboratory; the driver's own patience by default.
        slots: requests that may be with the laboratory at once.
        clock: seconds, monotonic.
        sleep: waits for seconds.
        send_wait_s: pause before a request is sent the second time; each further pause is twice as long.
        stop_reason: why nothing may be sent now; empty to go on. Asked before each claim, start and send.
    """

    lease_s: float = 60.0
    poll_s: float = 0.2
    deadline_s: float | None = None
    slots: int = 256
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    send_wait_s: float = 2.0
    stop_reason: Callable[[], str] = stop_reason


@dataclass
class ServiceReport:
    """What a run did: request keys by what became of them, and what went wrong on the way."""

    measured: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    """Could not be handed over."""
    waiting: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    """Taken over by another worker meanwhile."""
    late: list[str] = field(default_factory=list)
    """Results of requests that were called back, in a line each."""
    troubles: list[str] = field(default_factory=list)
    stopped: bool = False
    """Whether a stop mark ended the run; `troubles` holds its words."""


def run_queue(
    queue: LabQueue,
    driver: Driver,
    *,
    campaign: str | None = None,
    worker: str | None = None,
    on_progress: OnProgress | None = None,
    options: ServiceOptions | None = None,
) -> ServiceReport:
    """Take back what was interrupted, send what is approved, and wait for results until the deadline.

    Args:
        queue: where requests come from and measurements go.
        driver: the laboratory.
        campaign: only this campaign's requests; all by default.
        worker: a name for people, and for `has_died`; that of `this_worker` by default.
        on_progress: is told how many requests are finished, of how many.
        options: leases, pauses, deadline.

    Returns:
        What was measured, what failed, and what is still with the laboratory; that is asked again by the next run.
    """
    run = _Run(queue, driver, campaign, worker or this_worker(), options or ServiceOptions())
    return run.work(on_progress or (lambda _what, _done, _total: None))


@dataclass
class _Sending:
    """How the handing over of a request goes: how often it was tried, what went wrong, when it may be tried again."""

    tries: int = 0
    why: str = "the laboratory does not know it"
    next_s: float = -math.inf


class _Run:
    """One run over the queue."""

    def __init__(
        self, queue: LabQueue, driver: Driver, campaign: str | None, worker: str, options: ServiceOptions
    ) -> None:
        self.queue, self.driver, self.campaign, self.worker, self.options = queue, driver, campaign, worker, options
        self.active: dict[str, QueueItem] = {}
        self.sending: dict[str, _Sending] = {}
        """Requests that the laboratory has not got yet, as far as is known."""
        self.no_answer: dict[str, str] = {}
        self.beats: dict[str, float] = {}
        self.report = ServiceReport()
        self.reachable = True
        self.stop_reason = ""

    def work(self, on_progress: OnProgress) -> ServiceReport:
        """Run until nothing is left, the laboratory is stopped or cannot be reached, or the time is up."""
        patience_s = self.driver.patience_s if self.options.deadline_s is None else self.options.deadline_s
        end = self.options.clock() + patience_s
        self.queue.expire(has_died)
        adopted = self.queue.adopt(self.worker, self.options.lease_s, self.campaign, has_died)
        self.active = {item.request_id: item for item in adopted}
        try:
            while True:
                self._take()
                for item in list(self.active.values()):
                    self._ask(item)
                    done = len(self.report.measured) + len(self.report.failed) + len(self.report.held)
                    on_progress("laboratory", done, done + len(self.active))
                if not self.active or self._is_stopped():
                    break
                if self.options.clock() >= end and not self.sending.keys() & self.active.keys():
                    break
                self.options.sleep(self.options.poll_s)
        finally:
            self._park()
        for item in self.queue.called_back(self.campaign):
            self._keep_late(item)
        return self.report

    def _is_stopped(self) -> bool:
        """Whether the laboratory is stopped; once it is, the driver is told, and this run ends."""
        if not self.stop_reason and (reason := self.options.stop_reason()):
            self.stop_reason = reason
            self.report.stopped = True
            self.report.troubles.append(reason)
            if self.active:  # the laboratory first: the store may be what is on fire
                try:
                    self.driver.stop()
                except (DriverError, OSError) as error:
                    self.report.troubles.append(f"the laboratory could not be told to stop: {error}")
            for request_id in self.active:
                self._trouble(request_id, reason)
        return bool(self.stop_reason)

    def _take(self) -> None:
        while self.reachable and len(self.active) < self.options.slots and not self._is_stopped():
            item = self.queue.claim(self.worker, self.options.lease_s, self.campaign)
            if item is None:
                return
            try:
                self._begin(item)
            except TransitionError as error:  # the last look took longer than the lease, or a person held it meanwhile
                self._trouble(item.request_id, str(error), write=False)
                self.report.lost.append(item.request_id)

    def _begin(self, item: QueueItem) -> None:
        """Last look at a claimed request before its start is recorded."""
        if not item.is_intact:
            self.queue.hold(item.request_id, self.worker, CHANGED)
            self._trouble(item.request_id, f"held: {CHANGED}")
            return
        try:
            obstacles = self.driver.check(item.request)
        except DriverError as error:
            self.reachable = False
            self._trouble(item.request_id, f"the laboratory cannot be reached: {error}")
            self.queue.give_back(item.request_id, item.lease_token, str(error))
            return
        same_rules = item.safety_rules == rules_version(self.queue.laboratory)
        findings = carried(check(item.request, self.queue.laboratory), item.safety, same_rules=same_rules)
        if not is_allowed(findings):
            self.queue.hold(item.request_id, self.worker, f"no longer allowed: {refusals(findings)}")
            self._trouble(item.request_id, f"held: {refusals(findings)}")
        elif obstacles:
            self._fail(item, f"the laboratory cannot: {'; '.join(obstacles)}")
        elif self._is_stopped():
            self.queue.give_back(item.request_id, item.lease_token, self.stop_reason)
        else:
            self.queue.start(item.request_id, item.lease_token, self.options.lease_s)
            self.active[item.request_id] = item
            self.sending[item.request_id] = _Sending()

    def _ask(self, item: QueueItem) -> None:
        """Ask how one request goes, and act on the answer."""
        try:
            self._beat(item.request_id)
            report = self._poll(item.request_id)
            if report is None or report.state is JobState.UNKNOWN:
                report = self._hand_over(item, is_asked=report is not None)
            if report is not None and report.state is not JobState.UNKNOWN:
                self.sending.pop(item.request_id, None)
            if report is not None and report.state is JobState.DONE:
                self._finish(item, report)
            elif report is not None and report.state is JobState.FAILED:
                self._fail(item, report.text or "the laboratory gave no reason")
        except LeaseError as error:
            self._trouble(item.request_id, str(error), write=False)
            self.report.lost.append(item.request_id)
            del self.active[item.request_id]

    def _beat(self, request_id: str) -> None:
        """Lengthen the lease when a third of it is over: not at every look, which would keep the store busy."""
        now = self.options.clock()
        if now - self.beats.setdefault(request_id, now) > self.options.lease_s / 3:
            self.queue.heartbeat(request_id, self.active[request_id].lease_token, self.options.lease_s)
            self.beats[request_id] = now

    def _poll(self, request_id: str, write: bool = True) -> JobReport | None:
        """The laboratory's answer; None when it gave none that can be used, with the reason on the audit trail."""
        try:
            return self.driver.poll(request_id)
        except Exception as error:  # noqa: BLE001 - one bad answer must not lose the others; the reason is kept
            self.no_answer[request_id] = f"no answer: {type(error).__name__}: {error}"
            self._trouble(request_id, self.no_answer[request_id], write)
            return None

    def _hand_over(self, item: QueueItem, is_asked: bool) -> JobReport | None:
        """Send a request that the laboratory does not know, when it is time to; its answer then.

        Args:
            item: the request.
            is_asked: whether the laboratory has said that it does not know it. Where it gives no answer nothing is
                sent; of a request that this run has begun, that counts as a try.
        """
        key = item.request_id
        if not is_asked and key not in self.sending:
            return None
        row = self.queue.get(key)
        if row.lease_token != item.lease_token:  # withdrawn, or taken over: nothing is sent any more
            raise LeaseError(f"request {key} is {row.state.value} and held by {row.worker or 'nobody'}")
        if not row.is_intact:
            self._fail(item, f"not sent: {CHANGED}")
            return None
        sending = self.sending.setdefault(key, _Sending())
        if self._is_stopped() or self.options.clock() < sending.next_s:
            return None
        if sending.tries >= MAX_SENDS:
            self._shelve(item, f"{NOT_HANDED_OVER}: {sending.why} ({sending.tries} tries)")
            return None
        sending.tries += 1
        if sending.tries < MAX_SENDS:
            sending.next_s = self.options.clock() + self.options.send_wait_s * 2 ** (sending.tries - 1)
        if not is_asked:
            sending.why = self.no_answer.get(key, sending.why)
            return None
        try:
            self.driver.submit(key, item.request)
        except (DriverError, OSError) as error:
            # The reply may be lost while the request arrived: the poll tells.
            sending.why = str(error)
            self._trouble(key, f"sending: {error}")
            self._call_back(key)
            return self._poll(key)
        self._call_back(key)
        sending.why = "the laboratory took it, and does not know it"
        report = self._poll(key)
        if report is None:
            del self.sending[key]  # it has it; that it gives no answer is another matter
        return report

    def _call_back(self, request_id: str) -> None:
        """Cancel what was withdrawn in the moment in which it was sent: whoever withdrew it found nothing to cancel."""
        if (state := self.queue.get(request_id).state) is not RequestState.HELD:
            return
        try:
            self.driver.cancel(request_id)
            told = "withdrawn while it was sent: the laboratory was told to do no more"
        except (DriverError, OSError) as error:
            told = f"withdrawn while it was sent, and the laboratory could not be told: {error}"
        self._trouble(request_id, told)
        raise LeaseError(f"request {request_id} is {state.value}")

    def _finish(self, item: QueueItem, report: JobReport) -> None:
        if report.measurement is None:
            self._fail(item, "the laboratory says it is done, and gave no measurement")
            return
        # A simulated laboratory makes no slips of the pen, and its notes are its own.
        measurement, is_real = report.measurement, not report.measurement.simulated
        if is_real and (why := why_refused(measurement, item.request)):
            self._fail(item, f"the measurement cannot be taken: {why}")
            return
        try:
            self.queue.finish(
                item.request_id, item.lease_token, flagged(measurement, item.request) if is_real else measurement
            )
        except ConflictError as error:
            self._fail(item, f"the measurement cannot be taken: {error}")
            return
        for line in surprises(measurement, item.request):
            self._trouble(item.request_id, line)
        self.report.measured.append(item.request_id)
        self.active.pop(item.request_id, None)

    def _keep_late(self, item: QueueItem) -> None:
        """What the laboratory says after all of a request that was called back: kept, and said once."""
        key, report = item.request_id, self._poll(item.request_id, write=False)
        if report is None or report.state not in (JobState.DONE, JobState.FAILED):
            return
        measurement, text = report.measurement, f"late: {report.text}"
        if measurement is not None:
            is_real = not measurement.simulated
            try:
                if is_real and (why := why_refused(measurement, item.request)):
                    raise ConflictError(why)
                self.queue.keep_late(key, flagged(measurement, item.request) if is_real else measurement)
            except ConflictError as error:
                text = f"late, and not taken: {error}"
            else:
                self.report.late.append(f"{key}: {LATE}: {measurement.summary}")
                return
        if text not in {event.why for event in self.queue.events(key)}:
            self._trouble(key, text)

    def _fail(self, item: QueueItem, why: str) -> None:
        self.queue.fail(item.request_id, item.lease_token, why)
        self.report.failed.append(item.request_id)
        self.active.pop(item.request_id, None)

    def _shelve(self, item: QueueItem, why: str) -> None:
        self.queue.shelve(item.request_id, item.lease_token, why)
        self._trouble(item.request_id, f"held: {why}", write=False)
        self.report.held.append(item.request_id)
        self.active.pop(item.request_id, None)

    def _park(self) -> None:
        """Leave what is still running so that the next run can adopt it at once."""
        for request_id in list(self.active):
            try:
                self.queue.park(request_id, self.active[request_id].lease_token)
            except LeaseError:
                self.report.lost.append(request_id)
                continue
            self.report.waiting.append(request_id)

    def _trouble(self, request_id: str, text: str, write: bool = True) -> None:
        line = f"{request_id}: {text}"
        if line not in self.report.troubles:
            self.report.troubles.append(line)
            if write:
                self.queue.note(request_id, self.worker, text)
