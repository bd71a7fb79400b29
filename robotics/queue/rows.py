"""Rows of the queue inside one transaction: reading with a lock, moving along the table of transitions, audit lines."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Engine, RowMapping, Select, func, insert, select, update

from redoxa.data.errors import StoreError
from redoxa.data.lab.measurement import Measurement
from redoxa.data.lab.request import ExperimentRequest, QueueEvent, QueueItem, RequestState, SafetyFinding
from redoxa.data.records import content_hash
from redoxa.data.storage.database import aware, in_transaction
from redoxa.data.storage.patience import Result
from redoxa.data.storage.schema_lab import measurements, queue_events, requests
from redoxa.robotics.errors import ConflictError, LeaseError
from redoxa.robotics.queue.audit import append_line, lock_audit
from redoxa.robotics.queue.transitions import target_of
from redoxa.robotics.safety.check import is_settled

NO_LEASE: Mapping[str, Any] = {"worker": None, "lease_token": None, "lease_until": None, "lease_s": None}

SLACK_S = 60.0
"""A lease that ends later than its own length and this from now was given by a clock that was set back since."""


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def new_mark() -> str:
    """A random name for a transaction, which nobody else has."""
    return secrets.token_hex(16)


@dataclass(frozen=True)
class Transactions:
    """Transactions on the queue's tables, each with a time and a name.

    Attributes:
        engine: of the store.
        clock: gives the time in UTC; by default the database's on PostgreSQL, and this machine's beside SQLite.
    """

    engine: Engine
    clock: Callable[[], datetime] | None = None

    def write(
        self,
        work: Callable[[Connection, datetime, str], Result],
        is_written: Callable[[Connection, datetime, str], bool],
    ) -> Result:
        """One transaction, done again where its connection drops, unless its mark says that it was written."""
        mark = new_mark()
        return in_transaction(
            self.engine, lambda c: work(c, self._now(c), mark), lambda c: is_written(c, self._now(c), mark)
        )

    def _now(self, connection: Connection) -> datetime:
        if self.clock is not None:
            return self.clock()
        if connection.dialect.name == "postgresql":
            return connection.execute(select(func.now())).scalar_one().astimezone(UTC)
        return utc_now()


@dataclass(frozen=True)
class Rows:
    """An open write transaction on the queue.

    Attributes:
        connection: of the transaction.
        now: the time that everything in it is stamped with.
        mark: its name: its audit lines bear it, and the leases that it gives are held by it.
    """

    connection: Connection
    now: datetime
    mark: str = field(default_factory=new_mark)

    def find(self, request_id: str) -> RowMapping | None:
        """The row, locked until the transaction ends, or None."""
        query = select(requests).where(requests.c.id == request_id).with_for_update()
        return self.connection.execute(query).mappings().first()

    def get(self, request_id: str) -> RowMapping:
        """The row, locked.

        Raises:
            StoreError: there is none.
        """
        row = self.find(request_id)
        if row is None:
            raise StoreError(f"there is no request '{request_id}' in the queue")
        return row

    def held(self, request_id: str, token: str | None) -> RowMapping:
        """The row, locked, which the lease with this token holds.

        Raises:
            StoreError: there is none.
            LeaseError: another lease holds it, or none does.
        """
        row = self.get(request_id)
        if row["lease_token"] is None or row["lease_token"] != token:
            held_by = row["worker"] or "nobody"
            raise LeaseError(
                f"request {request_id} is {row['state']} and held by {held_by}: this lease of it has ended"
            )
        return row

    def item(self, request_id: str) -> QueueItem:
        """Record of a row, as this transaction leaves it."""
        return to_item(self.connection.execute(items_query().where(requests.c.id == request_id)).mappings().one())

    def was_written(self) -> bool:
        """Whether a transaction of this name was committed; waits for one that is being committed."""
        lock_audit(self.connection)
        line = select(queue_events.c.id).where(queue_events.c.operation == self.mark)
        lease = select(requests.c.id).where(requests.c.lease_token == self.mark)
        return any(self.connection.execute(query.limit(1)).first() is not None for query in (line, lease))

    def next_approved(self, campaign: str | None) -> RowMapping | None:
        """The approved row that comes next, locked; rows on which another transaction acts are passed over.

        Claims wait for every other change (on SQLite every writer does), so they are taken, and logged, in order of
        priority: a row that another claim is about to take would be passed over for a lower one, and one that is just
        being approved or put back would not be seen.
        """
        lock_audit(self.connection)
        query = by_turn(select(requests), campaign).where(requests.c.state == RequestState.APPROVED.value)
        return self.connection.execute(query.limit(1).with_for_update(skip_locked=True)).mappings().first()

    def abandoned(
        self, state: RequestState, campaign: str | None, is_gone: Callable[[str], bool]
    ) -> Sequence[RowMapping]:
        """Rows in a state whose lease has ended or whose worker is gone, locked."""
        query = by_turn(select(requests), campaign).where(requests.c.state == state.value)
        rows = self.connection.execute(query.with_for_update(skip_locked=True)).mappings().all()
        return [row for row in rows if is_free(row, self.now) or is_gone(row["worker"])]

    def times_expired(self, row: RowMapping) -> int:
        """How often a claim of the request ended in silence since a person last released it."""
        e = queue_events.c
        mine = e.request_id == row["id"]
        released = select(func.coalesce(func.max(e.id), 0)).where(mine, e.action == "release").scalar_subquery()
        query = select(func.count()).where(mine, e.action == "expire", e.id > released)
        return int(self.connection.execute(query).scalar_one())

    def move(self, row: RowMapping, action: str, by: str, why: str, values: Mapping[str, Any] | None = None) -> None:
        """Take a transition of the table and write its audit line.

        Raises:
            TransitionError: the table does not hold it.
        """
        target = target_of(action, RequestState(row["state"]), row["id"])
        self.change(row, {"state": target.value, "updated_at": self.now, **(values or {})})
        self._log(row["id"], action, (row["state"], target.value), by, why)

    def change(self, row: RowMapping, values: Mapping[str, Any]) -> None:
        """Write columns without an audit line (leases, safety findings)."""
        self.connection.execute(update(requests).where(requests.c.id == row["id"]).values(**values))

    def note(self, row: RowMapping, by: str, why: str) -> None:
        """An audit line without a change of state."""
        self._log(row["id"], "note", (row["state"], row["state"]), by, why)

    def add(self, key: str, request: ExperimentRequest, safety: Mapping[str, Any], by: str) -> RowMapping:
        """Write a new row as proposed."""
        values = {
            "id": key,
            "payload_hash": request.content_hash,
            "campaign": request.campaign,
            "round": request.round,
            "candidate_id": request.candidate_id,
            "formula": request.formula,
            "working_ion": request.working_ion,
            "priority": request.priority,
            "state": RequestState.PROPOSED.value,
            "request": request.model_dump(mode="json"),
            "attempts": 0,
            "created_at": self.now,
            "updated_at": self.now,
            **safety,
        }
        self.connection.execute(insert(requests).values(**values))
        self._log(key, "propose", (None, RequestState.PROPOSED.value), by, request.why)
        return self.get(key)

    def events(self, request_id: str) -> list[QueueEvent]:
        """The audit trail of a request, oldest first."""
        e = queue_events.c
        query = select(queue_events).where(e.request_id == request_id, e.step_id.is_(None)).order_by(e.id)
        return [to_event(row) for row in self.connection.execute(query).mappings()]

    def add_measurement(self, row: RowMapping, measurement: Measurement) -> None:
        """Write the measurement of a request."""
        values = {
            "request_id": measurement.request_id,
            "candidate_id": measurement.candidate_id,
            "campaign": row["campaign"],
            "outcome": measurement.outcome.value,
            "simulated": measurement.simulated,
            "payload_hash": measurement.content_hash,
            "measurement": measurement.model_dump(mode="json"),
            "created_at": self.now,
        }
        self.connection.execute(insert(measurements).values(**values))

    def measurement_hash(self, request_id: str) -> str:
        """Content hash of the measurement that is written."""
        query = select(measurements.c.payload_hash).where(measurements.c.request_id == request_id)
        return str(self.connection.execute(query).scalar_one())

    def is_measured(self, request_id: str) -> bool:
        """Whether a measurement of a request is written."""
        query = select(measurements.c.request_id).where(measurements.c.request_id == request_id)
        return self.connection.execute(query).first() is not None

    def lease(self, worker: str, lease_s: float) -> dict[str, Any]:
        """Columns of a lease that begins now, held by the mark of this transaction."""
        return {"worker": worker, "lease_token": self.mark, **self.longer(lease_s)}

    def longer(self, lease_s: float) -> dict[str, Any]:
        """Columns of a lease that its holder lengthens now."""
        return {"lease_until": self.now + timedelta(seconds=lease_s), "lease_s": lease_s}

    def _log(self, request_id: str, action: str, states: tuple[str | None, str], by: str, why: str) -> None:
        values = {
            "request_id": request_id,
            "at": self.now,
            "actor": by,
            "action": action,
            "from_state": states[0],
            "to_state": states[1],
            "why": why,
            "operation": self.mark,
        }
        append_line(self.connection, values)


def ensure_its_own(measurement: Measurement, row: RowMapping) -> None:
    """Raise where a measurement is of another request or candidate.

    Raises:
        ConflictError: it says of which.
    """
    if (measurement.request_id, measurement.candidate_id) != (row["id"], row["candidate_id"]):
        raise ConflictError(
            f"the measurement is of request {measurement.request_id} and candidate {measurement.candidate_id}, "
            f"not of {row['id']} and {row['candidate_id']}"
        )


def by_turn(query: Select[Any], campaign: str | None) -> Select[Any]:
    """Order in which requests are taken: highest priority, then oldest; of one campaign, or of all."""
    c = requests.c
    query = query.order_by(c.priority.desc(), c.created_at, c.id)
    return query if campaign is None else query.where(c.campaign == campaign)


def items_query(campaign: str | None = None) -> Select[Any]:
    """Rows with their measurements, in turn."""
    joined = requests.outerjoin(measurements, measurements.c.request_id == requests.c.id)
    return by_turn(select(requests, measurements.c.measurement).select_from(joined), campaign)


def to_item(row: RowMapping) -> QueueItem:
    """Record of a row of `items_query`.

    Raises:
        StoreError: the request has not the form of this version.
    """
    fields = {name: row[name] for name in QueueItem.model_fields if name not in ("request_id", "is_intact")}
    read = {"request_id": row["id"], "is_intact": is_intact(row), "safety": stored_findings(row)}
    return QueueItem.model_validate({**_with_zone(fields), **read, "request": read_request(row)})


def read_request(row: RowMapping) -> ExperimentRequest:
    """The request of a row.

    Raises:
        StoreError: it has not the form of this version.
    """
    try:
        return ExperimentRequest.model_validate(row["request"])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise StoreError(
            f"request {row['id']} for {row['formula']} is of another version of Redoxa, or was changed in the store "
            f"({where}: {first['msg']}). Use that version, or another store."
        ) from None


def is_free(row: RowMapping, now: datetime) -> bool:
    """Whether nobody holds a row, or the lease of who did has run out."""
    if row["worker"] is None or row["lease_until"] is None:
        return True
    left = aware(row["lease_until"]) - now
    longest = timedelta.max if row["lease_s"] is None else timedelta(seconds=row["lease_s"] + SLACK_S)
    return not timedelta(0) < left <= longest


def is_intact(row: RowMapping) -> bool:
    """Whether the request in a row still has the hash with which it was proposed."""
    return bool(content_hash(row["request"]) == row["payload_hash"])


def to_event(row: RowMapping) -> QueueEvent:
    """Record of a row of `queue_events`."""
    return QueueEvent.model_validate(_with_zone({name: row[name] for name in QueueEvent.model_fields}))


def stored_findings(row: RowMapping) -> tuple[SafetyFinding, ...]:
    """Safety findings as they were written; an override of a rule that nobody may override counts for nothing."""
    findings = (SafetyFinding.model_validate(finding) for finding in row["safety"])
    return tuple(f if is_settled(f) else f.model_copy(update={"overridden_by": ()}) for f in findings)


def _with_zone(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: aware(value) if isinstance(value, datetime) else value for name, value in row.items()}
