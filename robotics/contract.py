"""The executable contract of a laboratory driver: ships with the package, so that third parties can run it."""

from __future__ import annotations

from collections.abc import Callable

from redoxa.data.errors import ContractError, DriverError
from redoxa.data.lab.request import ExperimentRequest
from redoxa.robotics.base import Driver, JobReport, JobState


def check_driver(
    make: Callable[[], Driver],
    request: ExperimentRequest,
    request_id: str,
    observe: Callable[[], object] = lambda: None,
) -> JobReport:
    """Hold a driver against the contract; returns its last report on the request.

    Args:
        make: gives a driver on the same state each time, as a restarted process would.
        request: one that the laboratory can do.
        request_id: a key that it does not know yet.
        observe: a snapshot of everything the driver can move (folder listing, say), compared before and after `check`.

    Raises:
        ContractError: which clause was broken.
    """
    driver = make()
    _check_words(driver)
    _expect(driver.poll(request_id).state is JobState.UNKNOWN, "a request that was never sent must be unknown")
    before = observe()
    _expect(_cancel(driver, request_id) is False, "a request that was never sent cannot be cancelled: that is False")
    _expect(observe() == before, "cancelling what is unknown must change nothing")
    _expect(driver.poll(request_id).state is JobState.UNKNOWN, "cancelling what is unknown must not make it known")
    obstacles = driver.check(request)
    _expect(obstacles == [], f"the laboratory should be able to do the request, but says {obstacles}")
    _expect(observe() == before, "check must not move anything")
    _expect(driver.poll(request_id).state is JobState.UNKNOWN, "check must not send the request")

    _submit(driver, request_id, request)
    first = make().poll(request_id)
    _expect(first.state is not JobState.UNKNOWN, "a request that was sent must be known, also after a restart")
    after = observe()
    _submit(make(), request_id, request)
    _expect(observe() == after, "the same request sent again must change nothing")

    other = request.model_copy(update={"why": f"{request.why} (another)"})
    _expect(_refuses(driver, request_id, other), "another request under the same key must be refused")
    _expect(_refuses(driver, "../outside", request), "a key that leads out of the folder must be refused")

    driver.stop()
    driver.stop()
    report = make().poll(request_id)
    _expect(report.state is not JobState.UNKNOWN, "stop must not forget what was sent")
    _check_report(driver, request, request_id, report)
    _check_cancel(make, request, request_id, observe)
    return report


def _check_words(driver: Driver) -> None:
    _expect(bool(driver.name) and bool(driver.summary), "a driver has a name and a summary")
    _expect(isinstance(driver.simulated, bool), "a driver says whether it is simulated")
    _expect(driver.patience_s >= 0, "patience_s is a time")


def _check_cancel(
    make: Callable[[], Driver], request: ExperimentRequest, request_id: str, observe: Callable[[], object]
) -> None:
    driver = make()
    done = driver.poll(request_id).state is JobState.DONE
    _expect(_cancel(driver, request_id) is True, "a request that was sent can be cancelled: that is True")
    after = observe()
    _expect(_cancel(make(), request_id) is True, "cancelling twice is the same as once, also after a restart")
    _expect(observe() == after, "cancelling twice must change nothing more")
    _submit(make(), request_id, request)
    report = make().poll(request_id)
    _expect(report.state is not JobState.UNKNOWN, "cancel must not forget what was sent")
    _expect(observe() == after, "a request that was cancelled must not be begun again")
    _expect(not done or report.state is JobState.DONE, "cancel must keep what was finished")
    _check_report(driver, request, request_id, report)


def _cancel(driver: Driver, request_id: str) -> bool:
    try:
        return driver.cancel(request_id)
    except Exception as error:
        raise ContractError(f"cancel answers, and does not raise {type(error).__name__}: {error}") from error


def _check_report(driver: Driver, request: ExperimentRequest, request_id: str, report: JobReport) -> None:
    _expect((report.state is JobState.DONE) == (report.measurement is not None), "done comes with a measurement")
    if report.state is JobState.FAILED:
        _expect(bool(report.text), "a failure comes with its reason")
    if (measurement := report.measurement) is not None:
        _expect(measurement.simulated == driver.simulated, "a measurement says whether it is simulated")
        _expect(measurement.request_id == request_id, "a measurement names its request")
        _expect(measurement.candidate_id == request.candidate_id, "a measurement names its candidate")


def _submit(driver: Driver, request_id: str, request: ExperimentRequest) -> None:
    try:
        driver.submit(request_id, request)
    except DriverError as error:
        # A lost reply is allowed, if asking then shows that the request arrived.
        if driver.poll(request_id).state is JobState.UNKNOWN:
            raise ContractError(f"the request could not be sent: {error}") from error


def _refuses(driver: Driver, request_id: str, request: ExperimentRequest) -> bool:
    try:
        driver.submit(request_id, request)
    except DriverError:
        return True
    return False


def _expect(condition: bool, clause: str) -> None:
    if not condition:
        raise ContractError(clause)
