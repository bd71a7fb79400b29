"""The audit trail is only ever added to, and whatever else is done to it is seen."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, text

from redoxa.data.lab.request import RequestState
from redoxa.data.storage import database
from redoxa.data.storage.database import open_engine, store_url
from redoxa.pipeline.commands.doctor import checks
from redoxa.robotics.queue.audit import audit_trail, verify_audit
from redoxa.robotics.queue.queue import LabQueue
from tests.unit.robotics.samples import make_request

BASE = make_request("LiCoO2")


def fill(queue: LabQueue, n: int = 3) -> list[str]:
    """2 n lines: each request is proposed, then each is approved."""
    keys = [queue.propose(BASE.model_copy(update={"candidate_id": f"c-{i}"})) for i in range(n)]
    for key in keys:
        queue.approve(key, by="Ada", why="good")
    return keys


def tamper(engine: Engine, statement: str, **values: object) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement), values)


def line_ids(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return list(connection.execute(text("select id from queue_events order by id")).scalars())


def test_an_untouched_trail_is_whole(queue: LabQueue) -> None:
    assert verify_audit(queue.engine) == []
    fill(queue)
    trail = audit_trail(queue.engine)
    assert (trail.lines, trail.unchained, trail.breaks, len(trail.last)) == (6, 0, (), 64)


@pytest.mark.parametrize(
    "change",
    [
        "actor = 'Eve'", "why = 'because'", "action = 'note'", "operation = 'x'", "from_state = 'held'",
        "at = '2020-01-01 00:00:00.000000+00:00'", "chain = 'x'",
    ],
)  # fmt: skip
def test_a_changed_line_is_named(queue: LabQueue, change: str) -> None:
    key = fill(queue)[0]
    ids = line_ids(queue.engine)
    if queue.engine.dialect.name == "sqlite":
        change = change.removesuffix("+00:00'") + "'" if "+00:00" in change else change
    tamper(queue.engine, f"update queue_events set {change} where id = :id", id=ids[3])
    breaks = verify_audit(queue.engine)
    named = rf"line {ids[3]} "
    assert breaks[0].startswith(named)
    assert f"of request {key}) was changed" in breaks[0]
    assert len(breaks) == (2 if change == "chain = 'x'" else 1)  # the line after a changed hash does not follow either


def test_a_line_of_another_request_is_named(queue: LabQueue) -> None:
    keys = fill(queue)
    ids = line_ids(queue.engine)
    tamper(queue.engine, "update queue_events set request_id = :to where id = :id", id=ids[4], to=keys[0])
    breaks = verify_audit(queue.engine)
    assert breaks[0].startswith(f"line {ids[4]} ")
    assert f"request {keys[1]} is approved, and its last line" in breaks[1]


def test_removed_lines_are_seen_at_the_one_that_follows(queue: LabQueue) -> None:
    keys = fill(queue)
    ids = line_ids(queue.engine)
    tamper(queue.engine, "delete from queue_events where id in (:a, :b)", a=ids[0], b=ids[3])
    breaks = verify_audit(queue.engine)
    assert [text.split(" (")[0] for text in breaks[:2]] == [f"line {ids[1]}", f"line {ids[4]}"]
    assert breaks[2:] == [f"request {keys[0]} has no line: its lines were removed"]


def test_lines_cut_off_at_the_end_are_seen_at_their_request(queue: LabQueue) -> None:
    key = fill(queue)[-1]
    ids = line_ids(queue.engine)
    tamper(queue.engine, "delete from queue_events where id = :id", id=ids[-1])
    (told,) = verify_audit(queue.engine)
    assert told.startswith(f"request {key} is approved, and its last line, {ids[2]}, made it proposed: ")


def test_an_approval_written_into_the_store_is_seen(queue: LabQueue) -> None:
    key = queue.propose(BASE)
    tamper(queue.engine, "update requests set state = 'approved'")
    (told,) = verify_audit(queue.engine)
    assert told.startswith(f"request {key} is approved, and its last line")
    tamper(
        queue.engine,
        "insert into queue_events (request_id, at, actor, action, from_state, to_state, why)"
        " values (:key, :at, 'Ada', 'approve', 'proposed', 'approved', 'good')",
        key=key,
        at=datetime.now(UTC),
    )
    (told,) = verify_audit(queue.engine)
    assert told.endswith("is not chained to the others: something else than Redoxa wrote it")


def test_a_break_does_not_hide_the_next_one(queue: LabQueue) -> None:
    fill(queue, 5)
    ids = line_ids(queue.engine)
    for i in (1, 4, 8):
        tamper(queue.engine, "update queue_events set why = 'x' where id = :id", id=ids[i])
    assert [text.split(" (")[0] for text in verify_audit(queue.engine)] == [f"line {ids[i]}" for i in (1, 4, 8)]


def test_many_writers_make_one_chain_while_it_is_looked_at(engine: Engine) -> None:
    queue = LabQueue(engine)
    keys = fill(queue, 4)
    seen = list[list[str]]()

    def write(key: str) -> None:
        for i in range(25):
            queue.note(key, "w", f"line {i}")

    threads = [threading.Thread(target=write, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        seen.append(verify_audit(engine))
    assert seen == [[]] * len(seen)
    trail = audit_trail(engine)
    assert (trail.lines, trail.breaks) == (108, ())


def old_store(where: str) -> None:
    """A store as version 0001 left it: a request that was proposed and approved."""
    engine = create_engine(store_url(where))
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    queue = LabQueue(open_engine("sqlite:///:memory:"))
    fill(queue, 1)
    with queue.engine.connect() as connection:
        row = dict(connection.execute(text("select * from requests")).mappings().one())
        lines = [dict(line) for line in connection.execute(text("select * from queue_events")).mappings()]
    with engine.begin() as connection:
        for table, values in [("requests", row), *(("queue_events", line) for line in lines)]:
            names = [n for n in values if n not in ("lease_token", "lease_s", "operation", "step_id", "chain", "id")]
            names += ["id"] if table == "requests" else []
            into = f"insert into {table} ({', '.join(names)}) values ({', '.join(':' + n for n in names)})"
            connection.execute(text(into), values)
    engine.dispose()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_lines_of_an_older_version_count_as_unchained(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    where = str(tmp_path / "old.db") if kind == "sqlite" else request.getfixturevalue("postgres")
    old_store(where)
    queue = LabQueue(open_engine(where))
    trail = audit_trail(queue.engine)
    assert (trail.lines, trail.unchained, trail.last, trail.breaks) == (2, 2, "", ())
    item = queue.claim("w", 60)
    assert item is not None
    queue.start(item.request_id, item.lease_token, 60)
    trail = audit_trail(queue.engine)
    assert (trail.lines, trail.unchained, trail.breaks) == (4, 2, ())
    assert queue.get(item.request_id).state is RequestState.RUNNING
    queue.engine.dispose()
    (row,) = (row for row in checks(where) if row["check"] == "audit trail")
    assert row["ok"]
    assert str(row["found"]).startswith("4 lines, 2 of them from an older version, which cannot be checked; the last")


def test_the_doctor_looks_at_the_trail(tmp_path: Path) -> None:
    where = str(tmp_path / "redoxa.db")
    assert not [row for row in checks(where) if row["check"] == "audit trail"]  # no store yet
    queue = LabQueue(open_engine(where))
    fill(queue)
    (row,) = (row for row in checks(where) if row["check"] == "audit trail")
    assert (row["ok"], row["advice"]) == (True, "")
    assert str(row["found"]).startswith("6 lines; the last one is ")
    tamper(queue.engine, "update queue_events set actor = 'Eve'")
    (row,) = (row for row in checks(where) if row["check"] == "audit trail")
    assert not row["ok"]
    assert "line 1 (" in str(row["found"])
    assert str(row["found"]).endswith("(and 3 more)")
    assert "who has access" in str(row["advice"])
