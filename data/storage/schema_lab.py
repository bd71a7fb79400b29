"""Tables of the laboratory queue. Rows of `queue_events` and `measurements` are only ever appended."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, DateTime, Float, ForeignKey, Index, Integer, String, Table, Text

from redoxa.data.storage.schema import metadata

requests = Table(
    "requests",
    metadata,
    Column("id", String(64), primary_key=True, comment="idempotency key: the content hash unless the client made one"),
    Column("payload_hash", String(16), nullable=False, comment="content hash of the request"),
    Column("campaign", String(80), nullable=False, index=True),
    Column("round", Integer, nullable=False),
    Column("candidate_id", String(16), nullable=False, index=True),
    Column("formula", String(120), nullable=False),
    Column("working_ion", String(2), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("state", String(12), nullable=False),
    Column("request", JSON, nullable=False),
    Column("safety", JSON, nullable=False, comment="findings of the safety rules when they were last asked"),
    Column("safety_rules", String(40), nullable=False, comment="version of the rules that were asked"),
    Column("worker", String(120), nullable=True, comment="name of who holds it, for people"),
    Column("lease_token", String(32), nullable=True, comment="mark of the claim or adoption that holds it"),
    Column("lease_until", DateTime(timezone=True), nullable=True),
    Column("lease_s", Float, nullable=True, comment="length of the lease"),
    Column("attempts", Integer, nullable=False, default=0, comment="times a worker has claimed it"),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
)
Index("ix_requests_next", requests.c.state, requests.c.priority.desc(), requests.c.created_at)

steps = Table(
    "steps",
    metadata,
    Column("id", String(96), primary_key=True, comment="idempotency key towards a station"),
    Column("request_id", String(64), ForeignKey("requests.id"), nullable=False, index=True),
    Column("number", Integer, nullable=False, comment="place in the request, from 1"),
    Column("capability", String(12), nullable=False),
    Column("only_at", String(40), nullable=True, comment="the one station that may do it; null: any that can"),
    Column("programme", String(16), nullable=True, comment="equal for samples that share a furnace"),
    Column("step", JSON, nullable=False),
    Column("state", String(12), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("turn_h", Float, nullable=False, comment="hours since 1970 when it got ready, less 24 by priority"),
    Column("station", String(40), nullable=True, comment="at which it is, or was last"),
    Column("worker", String(120), nullable=True, comment="name of who holds it, for people"),
    Column("lease_token", String(32), nullable=True, comment="mark of the claim that holds it"),
    Column("lease_until", DateTime(timezone=True), nullable=True),
    Column("lease_s", Float, nullable=True, comment="length of the lease"),
    Column("attempts", Integer, nullable=False, comment="times it was claimed"),
    Column("ready_at", DateTime(timezone=True), nullable=True),
    Column("began_at", DateTime(timezone=True), nullable=True),
    Column("due_at", DateTime(timezone=True), nullable=True),
    Column("why", Text, nullable=False, comment="what was last said of it"),
)
Index("ix_steps_next", steps.c.state, steps.c.capability, steps.c.turn_h)
Index("ix_steps_station", steps.c.station, steps.c.state)

samples = Table(
    "samples",
    metadata,
    Column("id", String(96), primary_key=True, comment="on the label"),
    Column("request_id", String(64), ForeignKey("requests.id"), nullable=False, index=True),
    Column("sample", JSON, nullable=False),
    Column("place", String(120), nullable=True, comment="station, or what a person said; null: not made"),
)

queue_events = Table(
    "queue_events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("request_id", String(64), ForeignKey("requests.id"), nullable=False, index=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("actor", String(120), nullable=False, comment="person, policy or worker"),
    Column("action", String(20), nullable=False),
    Column("from_state", String(12), nullable=True),
    Column("to_state", String(12), nullable=False),
    Column("why", Text, nullable=False),
    Column("operation", String(32), nullable=True, comment="mark of the transaction that wrote it; null: before 0002"),
    Column("step_id", String(96), nullable=True, comment="of which step; null: of the request"),
    Column("chain", String(64), nullable=True, comment="sha256 of the chain before and this line; null: before 0002"),
)

measurements = Table(
    "measurements",
    metadata,
    Column("request_id", String(64), ForeignKey("requests.id"), primary_key=True, comment="one measurement a request"),
    Column("candidate_id", String(16), nullable=False, index=True),
    Column("campaign", String(80), nullable=False, index=True),
    Column("outcome", String(20), nullable=False),
    Column("simulated", Boolean, nullable=False),
    Column("payload_hash", String(16), nullable=False),
    Column("measurement", JSON, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)
