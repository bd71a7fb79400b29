"""The queue of steps: what stations take, begin and end, and what people decide about it.

Guarantees, for any number of processes on one SQLite file or PostgreSQL database:

- A station holds no more samples than it has places; a furnace takes samples of one programme, all at once, when empty.
- A step is taken by one worker, with a random token; what is done with it afterwards is fenced by that token.
- What is taken is next in turn of all that the station can do: highest priority first, a day of waiting counting one.
- `start` is on record before anything moves. A step that began and whose station fell silent is `unknown`: its station
  takes nothing more, and its sample stays where it is, until a person says where that is (`settle`) or the station
  itself is heard of again under the same token.
- Only what may be repeated without harm (`REPEATABLE`) is tried again by itself, `MAX_TRIES` times.
- Every change and its audit line are one transaction, chained as those of requests.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, RowMapping, select

from redoxa.data.errors import InputError, StoreError, TransitionError
from redoxa.data.lab.laboratory import Laboratory, Station
from redoxa.data.lab.request import RequestState
from redoxa.data.lab.steps import Sample, StepEvent, StepItem, StepState
from redoxa.data.storage.database import reading
from redoxa.data.storage.patience import Result
from redoxa.data.storage.schema_lab import queue_events, requests, samples, steps
from redoxa.robotics.people import ensure_person
from redoxa.robotics.planning.steps import plan_steps
from redoxa.robotics.queue.audit import lock_audit
from redoxa.robotics.queue.queue import nobody_is_gone
from redoxa.robotics.queue.rows import Transactions, read_request
from redoxa.robotics.queue.step_rows import (
    DAY_H,
    NO_STEP_LEASE,
    StepRows,
    read_step,
    to_step_event,
    to_step_item,
    turn_h,
)
from redoxa.robotics.queue.step_transitions import STEP_TRANSITIONS

MAX_TRIES = 3
"""Times that something is tried before a person has to look: a claim that ends in silence, a repeatable step."""


class StepQueue:
    """Steps of approved requests in a store's database.

    Args:
        engine: see `robotics.queue.queue.LabQueue`.
        laboratory: its stations.
        clock: gives the time in UTC; by default as for requests.
    """

    def __init__(
        self, engine: Engine, laboratory: Laboratory | None = None, clock: Callable[[], datetime] | None = None
    ) -> None:
        self.engine = engine
        self.laboratory = laboratory or Laboratory()
        self._transactions = Transactions(engine, clock)

    def admit(self, request_id: str, by: str = "queue") -> list[StepItem]:
        """Put the steps of an approved request into the queue, once.

        Raises:
            StoreError: there is no such request.
            TransitionError: it is not approved.
        """

        def work(rows: StepRows) -> None:
            row = rows.connection.execute(select(requests).where(requests.c.id == request_id)).mappings().first()
            if row is None:
                raise StoreError(f"there is no request '{request_id}' in the queue")
            if row["state"] != RequestState.APPROVED.value:
                raise TransitionError(f"request {request_id} is {row['state']}; only one that is approved has steps")
            if not rows.of_request(request_id):
                planned = plan_steps(request_id, read_request(row).recipe)
                rows.admit(planned, row["priority"], self.laboratory, by)

        self._write(work)
        return self.of_request(request_id)

    # -- stations ------------------------------------------------------------------------------------------------------

    def claim(self, station: str, worker: str, lease_s: float) -> list[StepItem]:
        """Take what is next for a station, as much as fits; nothing while it waits for a person.

        Args:
            station: its name, one of the laboratory's.
            worker: name for people.
            lease_s: a worker that is silent for this long has lost what it took.

        Returns:
            The steps, in turn; all of them bear one `lease_token`.
        """
        there = self.station(station)

        def work(rows: StepRows) -> list[StepItem]:
            held = rows.at_station(station)
            free = there.places - len(held)
            is_closed = "fire" in there.does and held
            if free <= 0 or is_closed or any(row["state"] == StepState.UNKNOWN.value for row in held):
                return []
            taken = rows.next_for(there, self.laboratory, free)
            lease = {"station": station, "worker": worker, "lease_token": rows.mark, **rows.lease(lease_s)}
            for row in taken:
                rows.move(row, "claim", worker, f"next for {station}", {**lease, "attempts": row["attempts"] + 1})
            return [to_step_item(rows.get(row["id"])) for row in taken]

        return self._write(work)

    def give_back(self, step_id: str, token: str | None, why: str) -> None:
        """Return a claimed step; nothing was moved."""
        self._end("give_back", step_id, token, why)

    def start(self, step_id: str, token: str | None, lease_s: float) -> None:
        """Record that a step is about to begin. Call it before anything moves."""

        def work(rows: StepRows) -> None:
            row = rows.held(step_id, token)
            step = read_step(row)
            times = {"began_at": rows.now, "due_at": rows.now + timedelta(seconds=step.longest_s)}
            rows.move(row, "start", row["worker"], "about to begin", {**rows.lease(lease_s), **times})
            rows.place(step.takes, row["station"])

        self._write(work)

    def heartbeat(self, step_id: str, token: str | None, lease_s: float) -> None:
        """Lengthen the lease; a step that was given up as unknown is running again.

        Raises:
            LeaseError: it was taken over, or a person has decided about it.
        """

        def work(rows: StepRows) -> None:
            row = rows.held(step_id, token)
            if row["state"] == StepState.UNKNOWN.value:
                rows.move(row, "hear", row["worker"], "heard of again", rows.lease(lease_s))
            else:
                rows.change(row, rows.lease(lease_s))

        self._write(work)

    def finish(self, step_id: str, token: str | None, why: str = "done", ends_request: str = "") -> None:
        """A step is done: what came after it may begin.

        Args:
            step_id: which.
            token: of its lease.
            why: what came of it, for the audit trail.
            ends_request: why nothing more is to be done for the request, as with a wrong phase; empty: it goes on.
        """

        def work(rows: StepRows) -> None:
            row = rows.get(step_id)
            if row["state"] == StepState.DONE.value and row["lease_token"] == token:
                return  # said twice
            row = self._heard(rows, rows.held(step_id, token))
            rows.move(row, "finish", row["worker"], why, {"lease_until": None, "lease_s": None})
            rows.place([sample.sample_id for sample in read_step(row).gives], row["station"])
            if ends_request:
                self._cancel_rest(rows, row["request_id"], row["worker"], ends_request)
            else:
                rows.wake(row["request_id"])

        self._write(work)

    def fail(self, step_id: str, token: str | None, why: str) -> None:
        """A step went wrong. What may be repeated without harm is ready again; all else waits for a person."""

        def work(rows: StepRows) -> None:
            row = self._heard(rows, rows.held(step_id, token))
            began = row["state"] == StepState.RUNNING.value
            if began and read_step(row).is_repeatable and rows.times(row, "again") + 1 < MAX_TRIES:
                rows.move(row, "again", row["worker"], why, {**NO_STEP_LEASE, **self._anew(rows, row)})
            else:
                rows.move(row, "fail", row["worker"], why, NO_STEP_LEASE)

        self._write(work)

    def expire(self, is_gone: Callable[[str], bool] = nobody_is_gone) -> list[str]:
        """Look for silent workers: what they had only claimed is ready again, what they had begun is unknown.

        A step whose claims ended so `MAX_TRIES` times is held.

        Args:
            is_gone: tells of a worker that it is known to be gone, before its lease runs out.

        Returns:
            Ids of steps that are unknown now.
        """

        def work(rows: StepRows) -> list[str]:
            for row in rows.ended(StepState.CLAIMED, is_gone):
                why = f"{row['worker']} fell silent before it began"
                many = rows.times(row, "expire") + 1 >= MAX_TRIES
                rows.move(row, "hold" if many else "expire", "queue", why, NO_STEP_LEASE)
            lost = rows.ended(StepState.RUNNING, is_gone)
            for row in lost:
                why = f"{row['worker']} fell silent after it had begun: say where the sample is"
                rows.move(row, "lose", "queue", why, {"lease_until": None, "lease_s": None})
            return [row["id"] for row in lost]

        return self._write(work)

    # -- people --------------------------------------------------------------------------------------------------------

    def settle(self, step_id: str, by: str, place: str, is_done: bool = False) -> None:
        """Say where the sample of an unknown step is. The step has failed then, and `retry` or `cancel` go on.

        Args:
            step_id: which.
            by: a person.
            place: where the sample is, and how it looks.
            is_done: the step turned out to be done: what came after it may begin.

        Raises:
            InputError: `by` is no person, or nothing is said of the sample.
            TransitionError: it is not unknown.
        """
        ensure_person(by, "settle")
        if not place.strip():
            raise InputError("say where the sample is now, for example 'shelf 3, as it was'")

        def work(rows: StepRows) -> None:
            row = rows.get(step_id)
            step = read_step(row)
            rows.move(row, "conclude" if is_done else "settle", by, f"the sample: {place.strip()}", NO_STEP_LEASE)
            rows.place(step.takes, place.strip())
            if is_done:
                rows.place([sample.sample_id for sample in step.gives], place.strip())
                rows.wake(row["request_id"])

        self._write(work)

    def retry(self, step_id: str, by: str, why: str) -> None:
        """Let a failed step be done once more."""
        ensure_person(by, "retry")
        self._decide("retry", step_id, by, why)

    def hold(self, step_id: str, by: str, why: str) -> None:
        """Keep a step from beginning until it is released."""
        self._decide("hold", step_id, by, why)

    def release(self, step_id: str, by: str, why: str) -> None:
        """Let a held step go on."""

        def work(rows: StepRows) -> None:
            row = rows.get(step_id)
            rows.move(row, "release", by, why)
            rows.wake(row["request_id"])

        self._write(work)

    def reorder(self, step_id: str, priority: int, by: str, why: str) -> None:
        """Give a step another priority."""

        def work(rows: StepRows) -> None:
            row = rows.get(step_id)
            rows.change(row, {"priority": priority, "turn_h": row["turn_h"] + DAY_H * (row["priority"] - priority)})
            rows.note(row, by, f"priority {priority} instead of {row['priority']}: {why}")

        self._write(work)

    def cancel(self, request_id: str, by: str, why: str) -> None:
        """Do nothing more for a request. What is at a station goes on there; nothing follows it."""
        self._write(lambda rows: self._cancel_rest(rows, request_id, by, why))

    # -- looking -------------------------------------------------------------------------------------------------------

    def station(self, name: str) -> Station:
        """A station of the laboratory.

        Raises:
            InputError: there is none of that name; it says which there are.
        """
        found = {station.name: station for station in self.laboratory.stations}
        if name not in found:
            raise InputError(f"there is no station '{name}' here, but {', '.join(found)}")
        return found[name]

    def get(self, step_id: str) -> StepItem:
        """One step.

        Raises:
            StoreError: there is none.
        """
        query = select(steps).where(steps.c.id == step_id)
        row = reading(self.engine, lambda connection: connection.execute(query).mappings().first())
        if row is None:
            raise StoreError(f"there is no step '{step_id}' in the queue")
        return to_step_item(row)

    def of_request(self, request_id: str) -> list[StepItem]:
        """Steps of a request, in order; none before it was approved."""
        query = select(steps).where(steps.c.request_id == request_id).order_by(steps.c.number)
        return self._read(query)

    def items(self, *states: StepState) -> list[StepItem]:
        """All steps, or those in some states, in turn."""
        query = select(steps).order_by(steps.c.turn_h, steps.c.id)
        return self._read(query.where(steps.c.state.in_(states)) if states else query)

    def samples(self, request_id: str) -> list[tuple[Sample, str | None]]:
        """Samples of a request, with the place of those that there are."""
        query = select(samples).where(samples.c.request_id == request_id).order_by(samples.c.id)
        rows = reading(self.engine, lambda connection: connection.execute(query).mappings().all())
        return [(Sample.model_validate(row["sample"]), row["place"]) for row in rows]

    def events(self, step_id: str) -> list[StepEvent]:
        """The audit trail of a step, oldest first."""
        query = select(queue_events).where(queue_events.c.step_id == step_id).order_by(queue_events.c.id)
        rows = reading(self.engine, lambda connection: connection.execute(query).mappings().all())
        return [to_step_event(row) for row in rows]

    # -- inside --------------------------------------------------------------------------------------------------------

    def _read(self, query: object) -> list[StepItem]:
        rows = reading(self.engine, lambda connection: connection.execute(query).mappings().all())  # type: ignore[call-overload]
        return [to_step_item(row) for row in rows]

    def _write(self, work: Callable[[StepRows], Result]) -> Result:
        def rows(connection: Connection, now: datetime, mark: str) -> StepRows:
            lock_audit(connection)
            return StepRows(connection, now, mark)

        return self._transactions.write(
            lambda *given: work(rows(*given)), lambda connection, _, mark: was_written(connection, mark)
        )

    def _end(self, action: str, step_id: str, token: str | None, why: str) -> None:
        def work(rows: StepRows) -> None:
            row = rows.held(step_id, token)
            rows.move(row, action, row["worker"], why, NO_STEP_LEASE)

        self._write(work)

    def _decide(self, action: str, step_id: str, by: str, why: str) -> None:
        def work(rows: StepRows) -> None:
            row = rows.get(step_id)
            anew = self._anew(rows, row) if action == "retry" else {}
            rows.move(row, action, by, why, {**NO_STEP_LEASE, **anew})

        self._write(work)

    def _anew(self, rows: StepRows, row: RowMapping) -> dict[str, object]:
        """Columns of a step that stands at the end of its turn again."""
        return {"ready_at": rows.now, "turn_h": turn_h(rows.now, row["priority"]), "began_at": None, "due_at": None}

    def _heard(self, rows: StepRows, row: RowMapping) -> RowMapping:
        """The row; one that was given up as unknown is running again, since its holder speaks."""
        if row["state"] != StepState.UNKNOWN.value:
            return row
        rows.move(row, "hear", row["worker"], "heard of again")
        return rows.get(row["id"])

    def _cancel_rest(self, rows: StepRows, request_id: str, by: str, why: str) -> None:
        for row in rows.of_request(request_id):
            if row["state"] in STEP_TRANSITIONS["cancel"][0]:
                rows.move(row, "cancel", by, why, NO_STEP_LEASE)
            elif row["state"] == StepState.CLAIMED.value:
                rows.move(row, "give_back", by, why, NO_STEP_LEASE)
                rows.move(rows.get(row["id"]), "cancel", by, why)


def was_written(connection: Connection, mark: str) -> bool:
    """Whether a transaction of this name was committed; waits for one that is being committed."""
    lock_audit(connection)
    line = select(queue_events.c.id).where(queue_events.c.operation == mark).limit(1)
    return connection.execute(line).first() is not None
