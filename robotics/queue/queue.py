"""The laboratory queue: durable rows, one table of transitions, an audit line for every step.

Guarantees, for any number of processes on one SQLite file or PostgreSQL database:

- Every change of state and its audit line are one transaction. A killed process leaves the row before or after it.
- A transaction whose connection drops is done again. It has a name (`Rows.mark`) that its audit lines and leases bear;
  where the COMMIT got no answer, they tell whether it was written, and then it is not done again.
- `propose` under the same key twice makes one row; the same key with another content is a `ConflictError`.
- `claim` hands a request to one worker only, with a random token. What is done with it afterwards is fenced by that
  token: once somebody else has taken over, under whatever name, the first gets a `LeaseError`.
- Whether a lease has run out, the database's clock tells on PostgreSQL, so that hosts agree whose clocks do not.
- A lease that runs out before anything was sent puts the request back, or holds it for a person when that has happened
  `MAX_ATTEMPTS` times. Once `start` is recorded (which comes before anything is sent) it stays `running` until a worker
  has asked the laboratory (`adopt`, then poll).
- Audit lines are only ever added, each chained to the one before (`robotics.queue.audit`).
- A request has at most one measurement, written in the transaction that makes it `done`.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine, RowMapping, select
from sqlalchemy.exc import IntegrityError

from redoxa.data.errors import InputError, SafetyError, StoreError
from redoxa.data.lab.laboratory import Laboratory
from redoxa.data.lab.measurement import Measurement
from redoxa.data.lab.request import ExperimentRequest, QueueEvent, QueueItem, RequestState, SafetyFinding
from redoxa.data.storage.database import reading
from redoxa.data.storage.patience import Result
from redoxa.data.storage.schema_lab import measurements, queue_events, requests
from redoxa.robotics.errors import CHANGED, ConflictError
from redoxa.robotics.people import ensure_may, ensure_not_proposer, ensure_person
from redoxa.robotics.queue.rows import (
    NO_LEASE,
    Rows,
    Transactions,
    ensure_its_own,
    is_intact,
    items_query,
    read_request,
    stored_findings,
    to_event,
    to_item,
)
from redoxa.robotics.queue.transitions import LATE, WITHDRAWN, ensure_sample_is_known, target_of
from redoxa.robotics.safety.check import check, ensure_allowed, is_allowed, refusals, rules_version
from redoxa.robotics.safety.overrides import carried, decide, ensure_may_be_overridden, overridden

KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What an idempotency key may look like: drivers use it in file names."""

MAX_ATTEMPTS = 5
"""Claims of a request that may end in silence; then it is held: it may be what ends its workers."""


class ApprovalPolicy(StrEnum):
    """Who approves: a person, or the safety rules alone (recorded as ``policy:auto``)."""

    PERSON = "person"
    AUTO = "auto"


def nobody_is_gone(_worker: str) -> bool:
    """Trust every lease until it runs out."""
    return False


class LabQueue:
    """The queue in a store's database.

    Args:
        engine: of a database that holds the tables of `storage.schema_lab` (see `storage.database.open_engine`).
        laboratory: what it has, for the safety rules.
        clock: gives the time in UTC; by default the database's clock on PostgreSQL, and this machine's beside SQLite.
    """

    def __init__(
        self, engine: Engine, laboratory: Laboratory | None = None, clock: Callable[[], datetime] | None = None
    ) -> None:
        self.engine = engine
        self.laboratory = laboratory or Laboratory()
        self._transactions = Transactions(engine, clock)

    # -- people and programs that want something made ------------------------------------------------------------------

    def propose(self, request: ExperimentRequest, by: str = "campaign", key: str | None = None) -> str:
        """Enter a request, once, and return its key.

        A request that the safety rules refuse is recorded too, as cancelled, with the rules that refused it.

        Args:
            request: what is wanted.
            by: who wants it.
            key: idempotency key; the request's content hash by default.

        Raises:
            SafetyError: a safety rule refuses the request.
            ConflictError: the key is taken by another request.
            InputError: the key is not fit for a file name.
        """
        key = key or request.content_hash
        if not KEY.fullmatch(key):
            raise InputError(f"'{key}' cannot be a request key: letters, digits, '.', '_' and '-' only, at most 64")
        findings = check(request, self.laboratory)
        try:
            findings = self._enter(key, request, findings, by)
        except IntegrityError:
            # Another process entered the same key between our look and our write (PostgreSQL): look again.
            findings = self._enter(key, request, findings, by)
        ensure_allowed(request, findings)
        return key

    def approve(self, request_id: str, by: str, why: str) -> None:
        """Approve a proposed request in the name of a person; the safety rules are asked again, as they stand now.

        Raises:
            InputError: `by` names nobody, a policy, or somebody who may not approve here.
            SafetyError: a rule refuses, or `by` proposed it; the request stays proposed and the refusal is recorded.
            TransitionError: it is not proposed.
        """
        ensure_person(by)
        ensure_may(by, "may_approve", self.laboratory)
        ensure_not_proposer(request_id, by, self.events(request_id))
        self._approve(request_id, by, why)

    def _approve(self, request_id: str, by: str, why: str) -> None:

        def work(rows: Rows) -> tuple[ExperimentRequest, tuple[SafetyFinding, ...]]:
            row = rows.get(request_id)
            target_of("approve", RequestState(row["state"]), request_id)
            request, findings = self._asked_again(row)
            if by.startswith("policy:") and any(finding.overridden_by for finding in findings):
                raise SafetyError(f"request {request_id} was overridden: a person has to approve it")
            rows.change(row, self._safety_columns(findings))
            if is_allowed(findings):
                rows.move(row, "approve", by, why)
            else:
                rows.note(row, by, f"approval refused: {refusals(findings)}")
            return request, findings

        ensure_allowed(*self._write(work))

    def override(self, request_id: str, rules: Sequence[str], by: str, second: str, why: str) -> None:
        """Let a refused request through limits of the laboratory, in the name of two persons; it still needs approval.

        Args:
            request_id: one that the safety rules refused.
            rules: every rule that refuses it; each has to be one that may be overridden (``safety_rules.yaml``).
            by: one person.
            second: another.
            why: the reason, for the audit trail.

        Raises:
            InputError: the two are one, are nobody, or may not; there is no reason; or a rule does not refuse it.
            SafetyError: a rule cannot be overridden, another still refuses, or one of the two proposed the request.
            TransitionError: it is neither proposed nor cancelled.
        """
        decided = decide(rules, by, second, why, self.laboratory)

        def work(rows: Rows) -> None:
            row = rows.get(request_id)
            target_of("override", RequestState(row["state"]), request_id)
            ensure_may_be_overridden(request_id, decided, rows.events(request_id))
            _, findings = self._asked_again(row)
            findings = overridden(request_id, findings, decided)
            rows.move(row, "override", decided.by, decided.text, self._safety_columns(findings))

        self._write(work)

    def apply_policy(self, policy: ApprovalPolicy, campaign: str | None = None) -> builtins.list[str]:
        """Approve what the policy may approve; returns the keys. `person` approves nothing, none an overridden one."""
        if policy is ApprovalPolicy.PERSON:
            return []
        proposed = self.list(campaign, RequestState.PROPOSED)
        waiting = [item.request_id for item in proposed if item.is_safe and not item.overridden]
        approved = []
        for request_id in waiting:
            # Rules that have tightened since the proposal refuse here; `approve` has recorded it.
            with suppress(SafetyError):
                self._approve(request_id, by=f"policy:{policy.value}", why="every safety rule allows it")
                approved.append(request_id)
        return approved

    def hold(self, request_id: str, by: str, why: str) -> None:
        """Keep a request from running until it is released."""
        self._act("hold", request_id, by, why)

    def release(self, request_id: str, by: str, why: str) -> None:
        """Let a held request go on; it has to be approved again."""
        self._act("release", request_id, by, why)

    def cancel(self, request_id: str, by: str, why: str) -> None:
        """Take a request that is not with a worker out of the queue."""
        self._act("cancel", request_id, by, why)

    def withdraw(self, request_id: str, by: str, why: str) -> None:
        """Call back a request that is with the laboratory: held until somebody says where the sample is (`settle`)."""
        self._act("withdraw", request_id, by, f"{WITHDRAWN} ({why})")

    def settle(self, request_id: str, by: str, sample: str) -> None:
        """Close a withdrawn request, once it is known where the sample is.

        Raises:
            InputError: `by` is no person, or nothing is said of the sample.
            TransitionError: it was not withdrawn.
        """
        ensure_person(by, "settle")
        if not sample.strip():
            raise InputError("say where the sample is now, e.g. --sample 'in the furnace, cold, thrown away'")
        self._act("settle", request_id, by, f"the sample: {sample.strip()}")

    # -- workers -------------------------------------------------------------------------------------------------------

    def claim(self, worker: str, lease_s: float, campaign: str | None = None) -> QueueItem | None:
        """Take the next approved request: highest priority first, then the oldest. None when there is none.

        Approvals that were given under other safety rules lapse: these requests are proposed again.

        Args:
            worker: name for people.
            lease_s: a worker that is silent for this long has lost the request.
            campaign: take this campaign's requests only.

        Returns:
            The request; its `lease_token` is what the worker shows from now on.
        """
        rules = rules_version(self.laboratory)

        def work(rows: Rows) -> QueueItem | None:
            while (row := rows.next_approved(campaign)) is not None and row["safety_rules"] != rules:
                why = f"approved under the safety rules {row['safety_rules']}, and now they are {rules}"
                rows.move(row, "lapse", "safety rules", why, NO_LEASE)
            if row is None:
                return None
            lease = {**rows.lease(worker, lease_s), "attempts": row["attempts"] + 1}
            rows.move(row, "claim", worker, "next in the queue", lease)
            return rows.item(row["id"])

        return self._write(work)

    def give_back(self, request_id: str, token: str | None, why: str) -> None:
        """Return a claimed request to the queue; nothing was sent."""
        self._end("give_back", request_id, token, why)

    def start(self, request_id: str, token: str | None, lease_s: float) -> None:
        """Record that the request is about to be sent. Call it before sending anything."""

        def work(rows: Rows) -> None:
            row = rows.held(request_id, token)
            rows.move(row, "start", row["worker"], "about to be sent", rows.longer(lease_s))

        self._write(work)

    def heartbeat(self, request_id: str, token: str | None, lease_s: float) -> None:
        """Lengthen the lease.

        Raises:
            LeaseError: somebody else has taken over.
        """
        self._write(lambda rows: rows.change(rows.held(request_id, token), rows.longer(lease_s)))

    def park(self, request_id: str, token: str | None) -> None:
        """Stop watching a running request; it goes on in the laboratory and may be adopted at once."""
        self._write(
            lambda rows: rows.change(rows.held(request_id, token), NO_LEASE),
            # It leaves no audit line; that the lease is gone says that it was written.
            is_written=lambda rows: rows.get(request_id)["lease_token"] != token,
        )

    def expire(self, is_gone: Callable[[str], bool] = nobody_is_gone) -> builtins.list[str]:
        """Put claimed requests back whose lease ran out, or whose worker is known to be gone; returns their keys.

        One whose claims have ended so `MAX_ATTEMPTS` times is held instead.
        """

        def work(rows: Rows) -> builtins.list[str]:
            back = []
            for row in rows.abandoned(RequestState.CLAIMED, None, is_gone):
                why = f"the lease of {row['worker']} ended before anything was sent"
                times = rows.times_expired(row) + 1
                if times >= MAX_ATTEMPTS:
                    why += f", for the {times}th time. Look what ends its workers, then release it or cancel it"
                    rows.move(row, "hold", "queue", why, NO_LEASE)
                else:
                    rows.move(row, "expire", "queue", why, NO_LEASE)
                    back.append(row["id"])
            return back

        return self._write(work)

    def adopt(
        self,
        worker: str,
        lease_s: float,
        campaign: str | None = None,
        is_gone: Callable[[str], bool] = nobody_is_gone,
    ) -> builtins.list[QueueItem]:
        """Take over running requests that nobody watches: parked, lease run out, or worker known to be gone.

        What became of each must be asked of the laboratory before anything is sent. As with `claim`, the worker shows
        each one's `lease_token` from now on.
        """

        def work(rows: Rows) -> builtins.list[QueueItem]:
            found = rows.abandoned(RequestState.RUNNING, campaign, is_gone)
            for row in found:
                lease = rows.lease(worker, lease_s)
                if row["worker"] is None:
                    rows.change(row, lease)
                else:
                    rows.move(row, "adopt", worker, f"{row['worker']} was interrupted; the laboratory is asked", lease)
            return [rows.item(row["id"]) for row in found]

        return self._write(work)

    def finish(self, request_id: str, token: str | None, measurement: Measurement) -> None:
        """Write the measurement and close the request, in one transaction. The same measurement again changes nothing.

        Raises:
            ConflictError: there is another measurement, or it is of another request or candidate.
            LeaseError: somebody else has taken over.
        """

        def work(rows: Rows) -> None:
            row = rows.get(request_id)
            ensure_its_own(measurement, row)
            if row["state"] == RequestState.DONE.value:
                if rows.measurement_hash(request_id) != measurement.content_hash:
                    raise ConflictError(f"request {request_id} has another measurement already")
                return
            row = rows.held(request_id, token)
            rows.move(row, "finish", row["worker"], measurement.summary, NO_LEASE)
            rows.add_measurement(row, measurement)

        self._write(work)

    def keep_late(self, request_id: str, measurement: Measurement) -> None:
        """Keep what came back after the request was called back, as evidence; its state stays.

        Raises:
            ConflictError: it is of another request or candidate.
        """

        def work(rows: Rows) -> None:
            row = rows.get(request_id)
            ensure_its_own(measurement, row)
            if not rows.is_measured(request_id):
                rows.add_measurement(row, measurement)
                rows.change(row, {"updated_at": rows.now})
                rows.note(row, "laboratory", f"{LATE}: {measurement.summary}")

        self._write(work)

    def fail(self, request_id: str, token: str | None, why: str) -> None:
        """Close a request that gave no measurement, with the reason."""
        self._end("fail", request_id, token, why)

    def shelve(self, request_id: str, token: str | None, why: str) -> None:
        """Hold a started request that could not be handed over, until a person releases it."""
        self._end("shelve", request_id, token, why)

    def note(self, request_id: str, by: str, why: str) -> None:
        """Write a line to the audit trail without changing anything."""
        self._write(lambda rows: rows.note(rows.get(request_id), by, why))

    # -- looking -------------------------------------------------------------------------------------------------------

    def get(self, request_id: str) -> QueueItem:
        """One row.

        Raises:
            StoreError: there is no such request.
        """
        query = items_query().where(requests.c.id == request_id)
        row = reading(self.engine, lambda connection: connection.execute(query).mappings().first())
        if row is None:
            raise StoreError(f"there is no request '{request_id}' in the queue")
        return to_item(row)

    def list(self, campaign: str | None = None, *states: RequestState) -> builtins.list[QueueItem]:
        """Rows of a campaign, or all, in the order in which they are taken; with states, those in one of them."""
        query = items_query(campaign)
        if states:
            query = query.where(requests.c.state.in_(states))
        rows = reading(self.engine, lambda connection: connection.execute(query).mappings().all())
        return [to_item(row) for row in rows]

    def events(self, request_id: str | None = None, campaign: str | None = None) -> builtins.list[QueueEvent]:
        """The audit trail, oldest first."""
        e = queue_events.c
        query = select(queue_events).where(e.step_id.is_(None)).order_by(e.id)
        if request_id is not None:
            query = query.where(e.request_id == request_id)
        if campaign is not None:
            query = query.where(e.request_id.in_(select(requests.c.id).where(requests.c.campaign == campaign)))
        rows = reading(self.engine, lambda connection: connection.execute(query).mappings().all())
        return [to_event(row) for row in rows]

    def called_back(self, campaign: str | None = None) -> builtins.list[QueueItem]:
        """Requests that were withdrawn from the laboratory, and of which it has given no measurement."""
        withdrawn = select(queue_events.c.request_id).where(queue_events.c.action == "withdraw")
        query = items_query(campaign).where(requests.c.id.in_(withdrawn), measurements.c.request_id.is_(None))
        rows = reading(self.engine, lambda connection: connection.execute(query).mappings().all())
        return [to_item(row) for row in rows]

    def measured(self, campaign: str | None = None) -> builtins.list[tuple[ExperimentRequest, Measurement]]:
        """Requests that came back, with their measurements, in the order in which they were proposed."""
        done = sorted(self.list(campaign, RequestState.DONE), key=lambda item: (item.created_at, item.request_id))
        return [(item.request, item.measurement) for item in done if item.measurement is not None]

    # -- inside --------------------------------------------------------------------------------------------------------

    def _write(self, work: Callable[[Rows], Result], is_written: Callable[[Rows], bool] = Rows.was_written) -> Result:
        """One transaction, done again where its connection drops, unless its mark says that it was written."""
        return self._transactions.write(lambda *given: work(Rows(*given)), lambda *given: is_written(Rows(*given)))

    def _enter(
        self, key: str, request: ExperimentRequest, findings: tuple[SafetyFinding, ...], by: str
    ) -> tuple[SafetyFinding, ...]:
        """Write the row unless it is there; returns the findings that hold for it."""

        def work(rows: Rows) -> RowMapping | None:
            row = rows.find(key)
            if row is None:
                added = rows.add(key, request, self._safety_columns(findings), by)
                if not is_allowed(findings):
                    rows.move(added, "refuse", "safety rules", refusals(findings))
            return row

        row = self._write(work)
        if row is None:
            return findings
        if row["payload_hash"] != request.content_hash:
            raise ConflictError(f"request key '{key}' is taken by another request (for {row['formula']})")
        stored = stored_findings(row)
        was_refused = row["state"] == RequestState.CANCELLED.value and not is_allowed(stored)
        return stored if was_refused else carried(findings, stored, same_rules=self._same_rules(row))

    def _asked_again(self, row: RowMapping) -> tuple[ExperimentRequest, tuple[SafetyFinding, ...]]:
        """The request in a row, and what the safety rules say of it now; overrides hold while the rules are the same.

        Raises:
            SafetyError: it was changed in the store.
        """
        if not is_intact(row):
            raise SafetyError(f"request {row['id']} {CHANGED}")
        request = read_request(row)
        findings = check(request, self.laboratory)
        return request, carried(findings, stored_findings(row), same_rules=self._same_rules(row))

    def _same_rules(self, row: RowMapping) -> bool:
        return bool(row["safety_rules"] == rules_version(self.laboratory))

    def _act(self, action: str, request_id: str, by: str, why: str) -> None:
        """One transition that ends the lease, whoever holds it."""

        def work(rows: Rows) -> None:
            row = rows.get(request_id)
            if row["state"] == RequestState.HELD.value:
                ensure_sample_is_known(action, rows.events(request_id))
            rows.move(row, action, by, why, NO_LEASE)

        self._write(work)

    def _end(self, action: str, request_id: str, token: str | None, why: str) -> None:
        """One transition by the holder of the lease, which ends it."""

        def work(rows: Rows) -> None:
            row = rows.held(request_id, token)
            rows.move(row, action, row["worker"], why, NO_LEASE)

        self._write(work)

    def _safety_columns(self, findings: tuple[SafetyFinding, ...]) -> dict[str, Any]:
        return {
            "safety": [f.model_dump(mode="json") for f in findings],
            "safety_rules": rules_version(self.laboratory),
        }
