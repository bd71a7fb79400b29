"""The audit trail as a chain: each line bears the hash of itself and of the line before, so that a change is seen.

Whoever can write to the database can also make the whole chain anew; against that helps the last line's hash kept
somewhere else (`redoxa doctor` shows it).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, func, select

from redoxa.data.storage.database import aware, reading
from redoxa.data.storage.schema_lab import queue_events, requests

AUDIT = 7234306
"""Key of the advisory lock that is held on PostgreSQL from the first audit line of a transaction to its end."""

HASHED = ("request_id", "actor", "action", "from_state", "to_state", "why", "operation")
"""Columns in the hash of a line, beside its time."""


@dataclass(frozen=True)
class AuditTrail:
    """What a look at the whole trail found.

    Attributes:
        lines: all lines.
        unchained: lines that an older Redoxa wrote; nothing tells whether they were changed.
        last: hash of the last line; empty where there is none.
        breaks: what is wrong, one text a break, naming its first line. Empty: the trail is as it was written.
    """

    lines: int
    unchained: int
    last: str
    breaks: tuple[str, ...]


def verify_audit(engine: Engine) -> list[str]:
    """Breaks of the audit trail, each with its first line; empty where it is as it was written."""
    return list(audit_trail(engine).breaks)


def audit_trail(engine: Engine) -> AuditTrail:
    """Look at the whole trail, while others go on writing."""
    still = engine
    if engine.dialect.name == "postgresql":
        still = engine.execution_options(isolation_level="REPEATABLE READ")
    return reading(still, _look)


def append_line(connection: Connection, values: Mapping[str, Any]) -> None:
    """Write the next line of the trail; on PostgreSQL, nobody else writes one until the transaction ends."""
    lock_audit(connection)
    last = connection.scalar(select(queue_events.c.chain).order_by(queue_events.c.id.desc()).limit(1))
    connection.execute(queue_events.insert().values(**values, chain=_link(last or "", values)))


def lock_audit(connection: Connection) -> None:
    """Wait for every transaction that has written an audit line; SQLite has one writer at a time anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(AUDIT)))


def _link(previous: str, line: Mapping[str, Any] | RowMapping) -> str:
    at = aware(line["at"]).astimezone(UTC).isoformat()
    step_id = line.get("step_id")  # lines about requests are hashed as they were before there were steps
    text = json.dumps([previous, at, *(line[name] for name in HASHED), *([step_id] if step_id else [])])
    return hashlib.sha256(text.encode()).hexdigest()


def _look(connection: Connection) -> AuditTrail:
    lines = unchained = 0
    last = ""
    breaks = list[str]()
    for line in connection.execute(select(queue_events).order_by(queue_events.c.id)).mappings():
        lines += 1
        if line["chain"] is None and lines == unchained + 1:
            unchained += 1
        elif line["chain"] is None:
            breaks.append(f"{_named(line)} is not chained to the others: something else than Redoxa wrote it")
        elif line["chain"] != _link(last, line):
            breaks.append(f"{_named(line)} was changed, or lines before it were removed, put in or moved")
        last = line["chain"] or ""
    return AuditTrail(lines, unchained, last, (*breaks, *_contradictions(connection)))


def _named(line: RowMapping) -> str:
    at = aware(line["at"]).astimezone(UTC)
    return f"line {line['id']} ({at:%Y-%m-%d %H:%M:%S} UTC, {line['action']} of request {line['request_id']})"


def _contradictions(connection: Connection) -> Iterator[str]:
    """Requests that do not stand where their last line says: lines were cut off at the end, or the request changed."""
    e, r = queue_events.c, requests.c
    newest = select(func.max(e.id).label("id")).where(e.step_id.is_(None)).group_by(e.request_id).subquery()
    last = select(e.request_id, e.id, e.to_state).join(newest, newest.c.id == e.id).subquery()
    joined = requests.outerjoin(last, last.c.request_id == r.id)
    query = select(r.id, r.state, last.c.id.label("line"), last.c.to_state).select_from(joined).order_by(r.id)
    for row in connection.execute(query).mappings():
        if row["line"] is None:
            yield f"request {row['id']} has no line: its lines were removed"
        elif row["to_state"] != row["state"]:
            yield (
                f"request {row['id']} is {row['state']}, and its last line, {row['line']}, made it {row['to_state']}: "
                "lines after that were removed, or the request was changed"
            )
