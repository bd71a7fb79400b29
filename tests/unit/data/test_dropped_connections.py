"""A server that restarts and connections that drop: waited for, repeated where harmless, and told in one line."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from redoxa.data.errors import LostStoreError, StoreError
from redoxa.data.storage.database import in_transaction, open_engine, reading, writing
from redoxa.data.storage.patience import persist
from redoxa.data.storage.rows import Cost
from redoxa.data.storage.schema import campaigns
from redoxa.data.storage.store import Store, now
from tests.conftest import pg_ctl
from tests.unit.data.faults import Time, cut, drop
from tests.unit.data.faults import quick as quick


def away() -> None:
    raise LostStoreError("gone")


def test_patience_lasts_half_a_minute_and_doubles_its_pauses() -> None:
    for seed in range(20):
        time = Time()
        with pytest.raises(LostStoreError, match="gone"):
            persist(away, time.patience(seed))
        assert 23 < sum(time.slept) <= 30
        assert len(time.slept) < 20
        meant = [min(0.1 * 2**i, 4.0) for i in range(len(time.slept))]
        assert all(0.5 * m <= slept <= 1.5 * m for slept, m in zip(time.slept, meant, strict=True))
    assert len({tuple(t.slept) for t in (tried(seed) for seed in range(3))}) == 3  # they do not come back together


def tried(seed: int) -> Time:
    time = Time()
    with pytest.raises(LostStoreError):
        persist(away, time.patience(seed))
    return time


def test_patience_ends_with_the_first_result_and_is_for_lost_stores_only() -> None:
    time, tries = Time(), iter([away, away, lambda: "back"])
    assert persist(lambda: next(tries)(), time.patience()) == "back"
    assert len(time.slept) == 2

    def full() -> None:
        raise StoreError("the disk is full")

    with pytest.raises(StoreError, match="full"):
        persist(full, time.patience())
    assert len(time.slept) == 2


@pytest.fixture
def store(postgres: str) -> Iterator[Store]:
    opened = Store.open(postgres)
    opened.add_campaign("c1", "first", {})
    yield opened
    opened.close()


def test_an_idle_connection_that_dropped_is_replaced(store: Store, quick: Time) -> None:
    drop(store.engine)
    assert [row.id for row in store.campaigns()] == ["c1"]
    drop(store.engine)
    store.add_campaign("c2", "second", {})
    assert [row.id for row in store.campaigns()] == ["c1", "c2"]
    assert quick.slept == []


def test_a_connection_that_drops_at_work_is_tried_again(store: Store, quick: Time) -> None:
    seen = list[int]()

    def work(connection: Any) -> int:
        connection.execute(campaigns.insert(), {"id": "c2", "name": "n", "spec": {}, "created_at": now()})
        seen.append(len(seen))
        if len(seen) < 3:
            drop(store.engine)
        return len(connection.execute(campaigns.select()).all())

    assert in_transaction(store.engine, work) == 2
    assert (seen, len(quick.slept)) == ([0, 1, 2], 2)

    def look(connection: Any) -> int:
        seen.append(len(seen))
        if len(seen) < 6:
            drop(store.engine)
        return len(connection.execute(campaigns.select()).all())

    assert reading(store.engine, look) == 2
    assert len(seen) == 6


@pytest.mark.parametrize("after", [False, True], ids=["commit-lost", "answer-lost"])
def test_a_commit_without_an_answer_is_written_once(
    store: Store, quick: Time, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    for write in (
        lambda: store.add_costs("c1", [Cost(0, "relax", 4, 3, 2.5), Cost(0, "hull", 1, 1, 1.0)]),
        lambda: store.add_campaign("c2", "second", {}),
        lambda: store.put_relaxation("k", {"energy_eV": -1.5}),
        lambda: store.complete_stage("c1", 0, "select", {"selected": 1}),
    ):
        cut(store.engine, monkeypatch, after=after, times=2)
        write()
    assert store.costs("c1") == [Cost(0, "relax", 4, 3, 2.5), Cost(0, "hull", 1, 1, 1.0)]
    assert store.get_relaxation("k") == {"energy_eV": -1.5}
    assert len(store.campaigns()) == 2
    assert len(quick.slept) == 8


def test_what_was_written_gives_its_first_result(store: Store, quick: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    cut(store.engine, monkeypatch, after=True)
    results = iter("ab")
    assert in_transaction(store.engine, lambda _: next(results), is_written=lambda _: True) == "a"


def test_two_writers_that_block_one_another_both_write(store: Store, quick: Time) -> None:
    """PostgreSQL ends one of the two; that one is done again."""
    met, one_is_done = threading.Barrier(2), threading.Event()
    tries = list[str]()

    def writer(first: str, second: str) -> None:
        def work(connection: Any) -> None:
            tries.append(first)
            if len(tries) > 2:  # again: only once the other has written, or the two would meet a second time
                assert one_is_done.wait(30)
            for i, key in enumerate((first, second)):
                connection.execute(text("update campaigns set name = :k where id = :k"), {"k": key})
                if i == 0 and not one_is_done.is_set():
                    met.wait(30)

        in_transaction(store.engine, work)
        one_is_done.set()

    store.add_campaign("c2", "second", {})
    threads = [threading.Thread(target=writer, args=pair) for pair in (("c1", "c2"), ("c2", "c1"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tries) == 3
    assert {row.name for row in store.campaigns()} == {"c1", "c2"}


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_restarts_under_writers_loses_nothing(store: Store, postgres_server: str, mode: str) -> None:
    written, stop, troubles = list[str](), threading.Event(), list[Exception]()

    def write(who: int) -> None:
        i = 0
        try:
            while not stop.is_set():
                key = f"{who}-{i}"
                store.add_campaign(key, "c", {})
                store.add_costs("c1", [Cost(0, key, 1, 1, 1.0)])
                written.append(key)
                i += 1
        except Exception as error:  # noqa: BLE001
            troubles.append(error)

    threads = [threading.Thread(target=write, args=(who,)) for who in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2):
            time.sleep(0.3)
            pg_ctl(postgres_server, "stop", "-m", mode)
            time.sleep(0.5)
            pg_ctl(postgres_server, "start")
        at_restart = len(written)
        end = time.monotonic() + 60
        while len({key[0] for key in written[at_restart:]}) < 3 and not troubles and time.monotonic() < end:
            time.sleep(0.1)  # until each has come back
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert troubles == []
    assert at_restart > 0
    assert {key[0] for key in written[at_restart:]} == set("012")
    assert {row.id for row in store.campaigns()} == {"c1", *written}
    assert sorted(cost.stage for cost in store.costs("c1")) == sorted(written)
    assert all(cost.entered == 1 for cost in store.costs("c1"))


def test_a_server_that_stays_away_is_told_in_one_line(store: Store, postgres_server: str, quick: Time) -> None:
    pg_ctl(postgres_server, "stop", "-m", "fast")
    try:
        acts: list[Callable[[], object]] = [store.campaigns, lambda: store.add_campaign("c2", "x", {})]
        for act in acts:
            with pytest.raises(StoreError) as caught:
                act()
            message = str(caught.value)
            assert "the store cannot be used: " in message
            assert message.endswith("and run again; what was finished is kept.")
            assert "\n" not in message
        assert sum(quick.slept) > 46
        before = len(quick.slept)
        with pytest.raises(StoreError, match="run again"):  # a mistyped address is told at once
            open_engine(store.engine.url.render_as_string())
        assert len(quick.slept) == before
    finally:
        pg_ctl(postgres_server, "start")
    assert [row.id for row in store.campaigns()] == ["c1"]


def test_a_server_that_refuses_is_not_tried_again(postgres_server: str, quick: Time) -> None:
    with pytest.raises(StoreError, match="does not exist"):
        open_engine(postgres_server.replace("@/postgres?", "@/no_such_database?"))
    assert quick.slept == []


def test_sqlite_is_not_tried_again(tmp_path: Path, quick: Time) -> None:
    store = Store.open(tmp_path / "x.db")

    def work(connection: Any) -> None:
        connection.execute(text("insert into nowhere values (1)"))

    with pytest.raises(StoreError, match="no such table"):
        in_transaction(store.engine, work)
    with writing(store.engine) as connection:
        connection.execute(campaigns.insert(), {"id": "c", "name": "n", "spec": {}, "created_at": now()})
    assert quick.slept == []
    store.close()


def test_a_campaign_lock_whose_connection_drops_says_nothing(
    postgres: str, quick: Time, caplog: pytest.LogCaptureFixture
) -> None:
    from redoxa.pipeline.campaign.lock import campaign_lock

    class Session:
        store = Store.open(postgres)
        campaign_id = "00112233445566aa"

    session: Any = Session()
    with campaign_lock(session):
        drop(session.store.engine)
    with pytest.raises(StoreError, match="what the run says"), campaign_lock(session):
        drop(session.store.engine)
        raise StoreError("what the run says")
    drop(session.store.engine)
    with campaign_lock(session):  # the pool's connection had dropped; and it is free again
        pass
    assert caplog.records == []
    session.store.close()
