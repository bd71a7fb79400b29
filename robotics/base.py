"""What a laboratory driver is."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from pydantic import BaseModel

from redoxa.data.lab.measurement import Measurement
from redoxa.data.lab.request import ExperimentRequest
from redoxa.data.records import Record
from redoxa.data.registry import load
from redoxa.robotics import DRIVERS

if TYPE_CHECKING:
    from pathlib import Path

    from redoxa.data.lab.laboratory import Laboratory


class JobState(StrEnum):
    """What the laboratory says of a job."""

    UNKNOWN = "unknown"
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class JobReport(Record):
    """One answer of a laboratory about one job."""

    state: JobState
    measurement: Measurement | None = None
    text: str = ""


class Driver(Protocol):
    """A laboratory, seen from the queue.

    `check` moves nothing. `submit` is idempotent: the same request again changes nothing, so a lost reply is answered
    by asking. `stop` and `cancel` may be called at any time and twice. A laboratory that cannot be reached raises
    `data.errors.DriverError`.

    `patience_s` is how long a run waits for the jobs of this laboratory before it goes on and comes back another time:
    0 for people, who take days.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    patience_s: float
    simulated: bool
    Config: ClassVar[type[BaseModel]]

    def __init__(self, config: BaseModel, folder: Path, *, laboratory: Laboratory | None = None) -> None:
        """Made from its `Config`, a folder for its state, and what the laboratory has, the same for all drivers."""

    def check(self, request: ExperimentRequest) -> list[str]:
        """What stands in the way of this request here (missing furnace, limits ...); empty when nothing does."""
        ...

    def submit(self, request_id: str, request: ExperimentRequest) -> None:
        """Hand the request over under its queue id."""
        ...

    def poll(self, request_id: str) -> JobReport:
        """Ask how it goes."""
        ...

    def stop(self) -> None:
        """Stop everything this driver has running."""
        ...

    def cancel(self, request_id: str) -> bool:
        """Ask that no more be done for a request; whether the laboratory knows it. What was finished is kept."""
        ...


@runtime_checkable
class Rejects(Protocol):
    """A laboratory whose answers may be refused, which the people who gave them have to hear of."""

    def folders(self) -> list[str]:
        """Where its work lists lie and where its results go, a line each."""
        ...

    def take_in(self) -> list[str]:
        """Take what has come in; names of what may still be being written, and is left for the next time."""
        ...

    def rejected(self) -> list[str]:
        """Answers that were refused and lie there still, each with its reason."""
        ...


def driver_class(name: str) -> type[Driver]:
    """The class of a registered driver.

    Raises:
        data.errors.UnknownKindError: no such driver.
    """
    kind: type[Driver] = load(DRIVERS, "driver", name)
    return kind
