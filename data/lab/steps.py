"""Samples, and the steps that are done to them: a request as a small graph of work for stations.

A step says what is done (`task`), to which samples (`takes`), and which samples come out of it (`gives`); samples that
it takes stay, changed or not. It may begin once the steps before it (`after`) are done. Nothing else links two steps:
whoever can do a task can do it in any request.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from redoxa.data.lab.recipe import Atmosphere, Cell, Cycling, Electrode, Firing, Formula, Precursor, Vessel
from redoxa.data.records import Record, content_hash


class Weigh(Record):
    """Weigh powders into one vessel."""

    kind: Literal["weigh"] = "weigh"
    precursors: tuple[Precursor, ...]
    handling: Literal["bench", "glovebox"]


class Fire(Record):
    """Grind, press where that is asked for, and one furnace programme from cold to cold."""

    kind: Literal["fire"] = "fire"
    firing: Firing
    atmosphere: Atmosphere
    vessel: Vessel
    furnace_name: str = ""
    """Which furnace was planned with; empty: any that can."""
    precursors: tuple[Precursor, ...] = ()
    """Powders that are added when it is ground: a carbon source, before the last firing."""

    @property
    def programme(self) -> str:
        """Equal for samples that may stand in one furnace together: same temperatures and times, same gas."""
        return content_hash([[step.model_dump(mode="json") for step in self.firing.steps], self.atmosphere])


class Xray(Record):
    """Measure a powder pattern and tell how much of the target is in it."""

    kind: Literal["xray"] = "xray"
    target_formula: Formula


class Coat(Record):
    """Stir a slurry, cast it on foil, dry it, and punch discs."""

    kind: Literal["coat"] = "coat"
    electrode: Electrode
    discs: int = Field(ge=1)
    active_mg: float = Field(gt=0)
    carbon_mg: float = Field(ge=0)
    binder_mg: float = Field(ge=0)
    solvent_mL: float = Field(gt=0)


class Assemble(Record):
    """Build cells from discs, `cell.replicates` of them; each disc is weighed."""

    kind: Literal["assemble"] = "assemble"
    cell: Cell


class Cycle(Record):
    """Formation and cycling of one cell, on one channel."""

    kind: Literal["cycle"] = "cycle"
    cycling: Cycling


Task = Annotated[Weigh | Fire | Xray | Coat | Assemble | Cycle, Field(discriminator="kind")]
Capability = Literal["weigh", "fire", "xray", "coat", "assemble", "cycle"]
"""What a station can do."""

REPEATABLE: frozenset[Capability] = frozenset({"xray"})
"""What may be done twice without harm to the sample, and so is tried again by itself. All else waits for a person."""


class SampleKind(StrEnum):
    """What a sample is."""

    POWDER = "powder"
    ELECTRODE = "electrode"
    CELL = "cell"


class Sample(Record):
    """Something with a label: a vial of powder, a sheet of discs, a cell.

    Attributes:
        sample_id: on the label.
        request_id: for which it is made.
        kind: what it is.
        parents: samples that it is made from.
        active_mg: of the target compound in it, as planned or, once it was weighed, as weighed.
    """

    sample_id: str
    request_id: str
    kind: SampleKind
    parents: tuple[str, ...] = ()
    active_mg: float = Field(gt=0)


class StepState(StrEnum):
    """Where a step stands.

    `waiting` for steps before it, `ready` to be taken; `claimed` by a station, and `running` there once that is on
    record, which comes before anything is moved. `unknown`: it had begun, and the station fell silent. Then station and
    sample wait until a person says where the sample is.
    """

    WAITING = "waiting"
    READY = "ready"
    CLAIMED = "claimed"
    RUNNING = "running"
    UNKNOWN = "unknown"
    DONE = "done"
    FAILED = "failed"
    HELD = "held"
    CANCELLED = "cancelled"


class Step(Record):
    """One thing that one station does.

    Attributes:
        step_id: the idempotency key towards a station.
        request_id: of which it is a part.
        number: its place in the request, from 1.
        task: what is done.
        takes: ids of samples that it needs.
        gives: samples that come out of it.
        after: ids of steps that have to be done before.
        longest_s: after this long it should have ended; then somebody has to look.
    """

    step_id: str
    request_id: str
    number: int = Field(ge=1)
    task: Task
    takes: tuple[str, ...] = ()
    gives: tuple[Sample, ...] = ()
    after: tuple[str, ...] = ()
    longest_s: float = Field(gt=0)

    @property
    def capability(self) -> Capability:
        """What a station has to be able to do."""
        return self.task.kind

    @property
    def is_repeatable(self) -> bool:
        """Whether doing it twice harms nothing."""
        return self.capability in REPEATABLE


class StepItem(Record):
    """A step in the queue.

    Attributes:
        step: what is to be done.
        state: where it stands.
        priority: the higher the sooner; a day of waiting counts as much as one of it.
        station: at which it is, or was last.
        worker: name of who holds it, for people.
        lease_token: whoever claimed it shows this.
        lease_until: when its holder has lost it, unless it is heard of before.
        attempts: times it was claimed.
        ready_at: since when it could be taken.
        began_at: when it was recorded that it begins.
        due_at: when it should have ended.
        why: what was last said of it.
    """

    step: Step
    state: StepState
    priority: int
    station: str | None = None
    worker: str | None = None
    lease_token: str | None = None
    lease_until: datetime | None = None
    attempts: int = 0
    ready_at: datetime | None = None
    began_at: datetime | None = None
    due_at: datetime | None = None
    why: str = ""


class StepEvent(Record):
    """One line of the audit trail about a step."""

    request_id: str
    step_id: str
    at: datetime
    actor: str
    action: str
    from_state: StepState | None
    to_state: StepState
    why: str
