"""Every registered driver keeps the driver's contract, and the contract notices one that does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from redoxa.data.errors import ContractError, DriverError, UnknownKindError
from redoxa.data.lab.request import ExperimentRequest
from redoxa.robotics import DRIVERS
from redoxa.robotics.base import JobReport, JobState, driver_class
from redoxa.robotics.contract import check_driver
from redoxa.robotics.drivers.simulated import SimulatedLab
from tests.unit.robotics.samples import make_request

REQUEST = make_request("LiFePO4")


def listing(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("name", sorted(DRIVERS))
def test_every_driver_keeps_the_contract(name: str, tmp_path: Path) -> None:
    kind = driver_class(name)
    report = check_driver(
        lambda: kind(kind.Config(), tmp_path / "lab"), REQUEST, "key-1", observe=lambda: listing(tmp_path)
    )
    assert report.state in (JobState.WAITING, JobState.RUNNING, JobState.DONE)
    assert kind.name == name
    assert set(listing(tmp_path)) == {f for f in listing(tmp_path) if f.startswith("lab/")}


@pytest.mark.parametrize("config", [{"delay_s": 1000}, {"lost_reply": 1.0}, {"stuck": 1.0}])
def test_the_simulated_laboratory_keeps_it_with_its_faults(config: dict[str, Any], tmp_path: Path) -> None:
    check_driver(lambda: SimulatedLab(SimulatedLab.Config(**config), tmp_path), REQUEST, "key-1")


def test_an_unknown_driver_suggests_the_nearest() -> None:
    with pytest.raises(UnknownKindError, match="Did you mean 'simulated'"):
        driver_class("simulatd")


def test_a_driver_that_cannot_cancel_at_all_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(SimulatedLab, "cancel")
    with pytest.raises(ContractError, match="does not raise AttributeError"):
        check_driver(lambda: SimulatedLab(SimulatedLab.Config(), tmp_path), REQUEST, "key-1")


class Forgetful(SimulatedLab):
    """Knows nothing after a restart."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._mine: set[str] = set()

    def submit(self, request_id: str, request: ExperimentRequest) -> None:
        super().submit(request_id, request)
        self._mine.add(request_id)

    def poll(self, request_id: str) -> JobReport:
        return super().poll(request_id) if request_id in self._mine else JobReport(state=JobState.UNKNOWN)


class Hasty(SimulatedLab):
    """Submits while it is only asked to check."""

    def check(self, request: ExperimentRequest) -> list[str]:
        self.submit("key-1", request)
        return []


class Careless(SimulatedLab):
    """Takes any second request under the same key."""

    def submit(self, request_id: str, request: ExperimentRequest) -> None:
        if self.poll(request_id).state is JobState.UNKNOWN:
            super().submit(request_id, request)


class Boastful(SimulatedLab):
    """Sells simulated results as real ones."""

    simulated = False


class Stumbling(SimulatedLab):
    """Loses its jobs when it is stopped."""

    def stop(self) -> None:
        for path in (self.folder / "jobs").glob("*"):
            path.unlink()


class Agreeable(SimulatedLab):
    """Says that it cancelled what it has never heard of."""

    def cancel(self, request_id: str) -> bool:
        return True


class Deaf(SimulatedLab):
    """Cannot cancel."""

    def cancel(self, request_id: str) -> bool:
        return False


class Touchy(SimulatedLab):
    """Raises where it should say that it knows nothing."""

    def cancel(self, request_id: str) -> bool:
        if not super().cancel(request_id):
            raise DriverError("no such request")
        return True


class Once(SimulatedLab):
    """Takes a second cancellation for an error."""

    def cancel(self, request_id: str) -> bool:
        return not self._path(request_id, "cancelled").exists() and super().cancel(request_id)


class Eager(SimulatedLab):
    """Writes down every cancellation."""

    def cancel(self, request_id: str) -> bool:
        known = super().cancel(request_id)
        if known:
            with (self.folder / "log").open("a") as log:
                log.write(request_id)
        return known


class Shredder(SimulatedLab):
    """Throws away what is cancelled."""

    def cancel(self, request_id: str) -> bool:
        known = super().cancel(request_id)
        if known and self._path(request_id, "gone").exists():
            return True
        if known:
            self._path(request_id, "gone").touch()
        return known

    def poll(self, request_id: str) -> JobReport:
        gone = self._path(request_id, "gone").exists()
        return JobReport(state=JobState.UNKNOWN) if gone else super().poll(request_id)


class Wasteful(SimulatedLab):
    """Throws away what was finished."""

    def poll(self, request_id: str) -> JobReport:
        if self._path(request_id, "cancelled").exists():
            return JobReport(state=JobState.FAILED, text="cancelled")
        return super().poll(request_id)


class Restless(SimulatedLab):
    """Begins again when a cancelled request is sent again."""

    def submit(self, request_id: str, request: ExperimentRequest) -> None:
        super().submit(request_id, request)
        self._path(request_id, "cancelled").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("kind", "clause"),
    [
        (Forgetful, "after a restart"),
        (Hasty, "check must not"),
        (Careless, "another request under the same key"),
        (Boastful, "says whether it is simulated"),
        (Stumbling, "stop must not forget"),
        (Agreeable, "never sent cannot be cancelled"),
        (Touchy, "does not raise DriverError"),
        (Deaf, "was sent can be cancelled"),
        (Once, "twice is the same as once"),
        (Eager, "twice must change nothing more"),
        (Shredder, "cancel must not forget"),
        (Wasteful, "keep what was finished"),
        (Restless, "must not be begun again"),
    ],
)
def test_the_contract_finds_what_is_broken(kind: type[SimulatedLab], clause: str, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=clause):
        check_driver(lambda: kind(kind.Config(), tmp_path), REQUEST, "key-1", observe=lambda: listing(tmp_path))
