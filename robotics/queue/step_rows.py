"""Rows of steps inside one transaction: in whose turn, at which station, and what a change of one means for the others.

Every transaction that changes steps has the lock of the audit trail first (SQLite has one writer anyway), so that steps
are taken in order, and none is both taken and held.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, func, insert, select, update

from redoxa.data.errors import StoreError
from redoxa.data.lab.laboratory import Laboratory, Station
from redoxa.data.lab.request import RequestState
from redoxa.data.lab.steps import Fire, Step, StepEvent, StepItem, StepState
from redoxa.data.storage.database import aware
from redoxa.data.storage.schema_lab import queue_events, requests, samples, steps
from redoxa.robotics.errors import LeaseError
from redoxa.robotics.planning.equipment import able, only_at
from redoxa.robotics.queue.audit import append_line
from redoxa.robotics.queue.rows import is_free
from redoxa.robotics.queue.step_transitions import AT_STATION, step_target

DAY_H = 24.0
"""Waiting that counts as much as one of priority: nothing waits for ever."""

NO_STEP_LEASE: Mapping[str, Any] = {"worker": None, "lease_token": None, "lease_until": None, "lease_s": None}


def turn_h(ready_at: datetime, priority: int) -> float:
    """What orders steps: when one got ready, in hours, a day earlier for each of its priority."""
    return ready_at.timestamp() / 3600 - DAY_H * priority


@dataclass(frozen=True)
class StepRows:
    """An open write transaction on the steps.

    Attributes:
        connection: of the transaction, which holds the lock of the audit trail.
        now: the time that everything in it is stamped with.
        mark: its name, see `robotics.queue.rows`.
    """

    connection: Connection
    now: datetime
    mark: str

    def get(self, step_id: str) -> RowMapping:
        """A row.

        Raises:
            StoreError: there is none.
        """
        row = self.connection.execute(select(steps).where(steps.c.id == step_id)).mappings().first()
        if row is None:
            raise StoreError(f"there is no step '{step_id}' in the queue")
        return row

    def held(self, step_id: str, token: str | None) -> RowMapping:
        """The row, which the lease with this token holds.

        Raises:
            StoreError: there is none.
            LeaseError: another lease holds it, or none does.
        """
        row = self.get(step_id)
        if row["lease_token"] is None or row["lease_token"] != token:
            held_by = row["worker"] or "nobody"
            raise LeaseError(f"step {step_id} is {row['state']} and held by {held_by}: this lease of it has ended")
        return row

    def of_request(self, request_id: str) -> Sequence[RowMapping]:
        """All steps of a request, in order."""
        query = select(steps).where(steps.c.request_id == request_id).order_by(steps.c.number)
        return self.connection.execute(query).mappings().all()

    def at_station(self, name: str) -> Sequence[RowMapping]:
        """Steps that take a place at a station."""
        states = [state.value for state in AT_STATION]
        query = select(steps).where(steps.c.station == name, steps.c.state.in_(states))
        return self.connection.execute(query).mappings().all()

    def ended(self, state: StepState, is_gone: Callable[[str], bool]) -> Sequence[RowMapping]:
        """Steps in a state whose lease has run out, or whose worker is gone."""
        query = select(steps).where(steps.c.state == state.value).order_by(steps.c.turn_h, steps.c.id)
        rows = self.connection.execute(query).mappings().all()
        return [row for row in rows if is_free(row, self.now) or is_gone(row["worker"])]

    def next_for(self, station: Station, laboratory: Laboratory, places: int) -> list[RowMapping]:
        """Steps that a station may take now, in turn; into a furnace go those of one programme."""
        s = steps.c
        waiting = (
            select(steps)
            .join(requests, requests.c.id == s.request_id)
            .where(s.state == StepState.READY.value, s.capability.in_(sorted(station.does)))
            .where((s.only_at.is_(None)) | (s.only_at == station.name))
            .where(requests.c.state.in_([RequestState.APPROVED.value, RequestState.RUNNING.value]))
            .order_by(s.turn_h, s.id)
        )
        can = (row for row in self._stream(waiting) if station in able(read_step(row), laboratory))
        first = next(can, None)
        if first is None:
            return []
        if first["programme"] is not None:
            can = self._stream(waiting.where(s.programme == first["programme"], s.id != first["id"]))
        return [first, *islice(can, places - 1)]

    def _stream(self, query: Select[Any]) -> Generator[RowMapping]:
        """Rows as they are needed: mostly the first few are."""
        with self.connection.execute(query.execution_options(yield_per=32)) as result:
            yield from result.mappings()

    def admit(self, planned: Sequence[Step], priority: int, laboratory: Laboratory, by: str) -> None:
        """Write the steps of a request and their samples; those that wait for nothing are ready."""
        for step in planned:
            values = {
                "id": step.step_id, "request_id": step.request_id, "number": step.number,
                "capability": step.capability, "only_at": only_at(step, laboratory),
                "programme": step.task.programme if isinstance(step.task, Fire) else None,
                "step": step.model_dump(mode="json"), "state": StepState.WAITING.value, "priority": priority,
                "turn_h": turn_h(self.now, priority), "attempts": 0, "why": "",
            }  # fmt: skip
            self.connection.execute(insert(steps).values(**values))
            self._log(values, "admit", None, StepState.WAITING.value, by, "the request was approved")
            for sample in step.gives:
                made = {"id": sample.sample_id, "request_id": step.request_id, "sample": sample.model_dump(mode="json")}
                self.connection.execute(insert(samples).values(**made, place=None))
        if planned:
            self.wake(planned[0].request_id)

    def wake(self, request_id: str) -> None:
        """Make ready what waits for nothing any more."""
        rows = self.of_request(request_id)
        done = {row["id"] for row in rows if row["state"] == StepState.DONE.value}
        for row in rows:
            if row["state"] == StepState.WAITING.value and done.issuperset(read_step(row).after):
                values = {"ready_at": self.now, "turn_h": turn_h(self.now, row["priority"])}
                self.move(row, "ready", "queue", "every step before it is done", values)

    def move(self, row: RowMapping, action: str, by: str, why: str, values: Mapping[str, Any] | None = None) -> None:
        """Take a transition of the table and write its audit line.

        Raises:
            TransitionError: the table does not hold it.
        """
        target = step_target(action, StepState(row["state"]), row["id"])
        self.change(row, {"state": target.value, "why": why, **(values or {})})
        self._log(row, action, row["state"], target.value, by, why)

    def change(self, row: RowMapping, values: Mapping[str, Any]) -> None:
        """Write columns without an audit line (leases)."""
        self.connection.execute(update(steps).where(steps.c.id == row["id"]).values(**values))

    def note(self, row: RowMapping, by: str, why: str) -> None:
        """An audit line without a change of state."""
        self._log(row, "note", row["state"], row["state"], by, why)

    def place(self, sample_ids: Sequence[str], place: str) -> None:
        """Write down where samples are."""
        self.connection.execute(update(samples).where(samples.c.id.in_(sample_ids)).values(place=place))

    def lease(self, lease_s: float) -> dict[str, Any]:
        """Columns of a lease that begins, or is lengthened, now."""
        return {"lease_until": self.now + timedelta(seconds=lease_s), "lease_s": lease_s}

    def times(self, row: RowMapping, action: str) -> int:
        """How often something happened to a step since a person last released or retried it."""
        e = queue_events.c
        mine = e.step_id == row["id"]
        since = select(func.coalesce(func.max(e.id), 0)).where(mine, e.action.in_(["release", "retry"]))
        query = select(func.count()).where(mine, e.action == action, e.id > since.scalar_subquery())
        return int(self.connection.execute(query).scalar_one())

    def _log(
        self, row: Mapping[str, Any] | RowMapping, action: str, before: str | None, after: str, by: str, why: str
    ) -> None:
        line = {
            "request_id": row["request_id"], "step_id": row["id"], "at": self.now, "actor": by, "action": action,
            "from_state": before, "to_state": after, "why": why, "operation": self.mark,
        }  # fmt: skip
        append_line(self.connection, line)


def read_step(row: RowMapping) -> Step:
    """The step of a row."""
    return Step.model_validate(row["step"])


def to_step_item(row: RowMapping) -> StepItem:
    """Record of a row."""
    names = StepItem.model_fields.keys() - {"step"}
    values = {name: aware(row[name]) if isinstance(row[name], datetime) else row[name] for name in names}
    return StepItem(step=read_step(row), **values)


def to_step_event(row: RowMapping) -> StepEvent:
    """Record of an audit line about a step."""
    return StepEvent.model_validate({**{name: row[name] for name in StepEvent.model_fields}, "at": aware(row["at"])})
