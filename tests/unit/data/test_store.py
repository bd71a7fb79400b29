"""The store: written whole or not at all, once, in an order that stays."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import inspect

from redoxa.data.errors import StoreError, UnusableStoreError
from redoxa.data.records import Candidate, Crystal, Estimate, Origin, Reason, ScreeningResult, Verdict
from redoxa.data.storage import database, schema_lab  # noqa: F401  (declares the tables of the queue)
from redoxa.data.storage.database import open_engine, store_name, store_url, writing
from redoxa.data.storage.rows import Chunk, Cost, Selection
from redoxa.data.storage.schema import campaigns, metadata
from redoxa.data.storage.store import Store


def crystal(a: float = 4.2, z: int = 3) -> Crystal:
    return Crystal(
        numbers=[z, 8], frac_coords=[(0, 0, 0), (0.5, 0.5, 0.5)], lattice_A=[(a, 0, 0), (0, a, 0), (0, 0, a)]
    )


def candidate(a: float = 4.2, z: int = 3, generator: str = "flow") -> Candidate:
    return Candidate(crystal=crystal(a, z), working_ion="Li", origin=Origin(generator=generator, seed=1))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store.open(tmp_path / "redoxa.db")
    opened.add_campaign("c1", "test", {"name": "test"})
    return opened


def result(of: Candidate, verdict: Verdict = Verdict.PASS, settings: str = "s1") -> ScreeningResult:
    return ScreeningResult(
        candidate_id=of.id,
        formula=of.formula,
        working_ion="Li",
        verdict=verdict,
        settings_hash=settings,
        estimates={"average_voltage": Estimate(value=3.4, sigma=0.3, unit="V", method="m", model="x")},
        reasons=(Reason(stage="relax", code="ok", text="fine", verdict=Verdict.PASS),),
        crystals={"discharged": of.crystal},
    )


def test_a_chunk_written_twice_is_written_once(store: Store) -> None:
    rows = [candidate(4.2), candidate(4.3), candidate(4.2)]
    for _ in range(2):
        store.add_chunk(Chunk("c1", 0, "flow", 0, 0), rows, 1.0)
    assert [c.id for c in store.candidates("c1")] == [rows[0].id, rows[1].id]
    assert store.chunks("c1", 0) == {("flow", 0)}
    assert store.unscreened("c1", 0, "s1") == [rows[0].id, rows[1].id]


def test_a_failed_transaction_leaves_nothing(store: Store) -> None:
    with pytest.raises(RuntimeError), writing(store.engine) as connection:
        connection.execute(campaigns.insert(), {"id": "c9", "name": "n", "spec": {}, "created_at": database_now()})
        raise RuntimeError("killed")
    assert [row.id for row in store.campaigns()] == ["c1"]


def database_now() -> object:
    from redoxa.data.storage.store import now

    return now()


def test_results_come_back_as_written_and_the_first_one_stays(store: Store) -> None:
    a, b = candidate(4.2), candidate(4.3)
    store.add_chunk(Chunk("c1", 0, "flow", 0, 0), [a, b], 1.0)
    for found in (result(b), result(a), result(a, Verdict.FAIL)):
        store.add_result("c1", found)
    assert store.results("c1", "s1") == [result(a), result(b)]
    assert store.results("c1", "other settings") == []
    assert store.unscreened("c1", 0, "s1") == []
    assert store.unscreened("c1", 0, "s2") == [a.id, b.id]


def test_a_spec_renews_what_its_hash_leaves_out(store: Store) -> None:
    store.add_campaign("c1", "test", {"name": "test", "stop": {"rounds": 5}})
    (row,) = store.campaigns()
    assert row.spec["stop"] == {"rounds": 5}


def test_what_a_campaign_finds_hangs_on_no_other(store: Store) -> None:
    a, b, c = candidate(4.2), candidate(4.3), candidate(4.4)
    store.add_campaign("c2", "other", {})
    store.add_chunk(Chunk("c2", 0, "flow", 0, 0), [c, b], 1.0)
    store.add_result("c2", result(b, Verdict.FAIL))
    store.add_chunk(Chunk("c1", 1, "flow", 0, 0), [a, c], 1.0)
    store.add_chunk(Chunk("c1", 0, "flow", 0, 0), [b], 1.0)  # written late: its round decides where it stands
    assert [x.id for x in store.candidates("c1")] == [b.id, a.id, c.id]
    assert store.unscreened("c1", 0, "s1") == [b.id]
    store.add_result("c1", result(c))
    store.add_result("c1", result(b))
    assert store.results("c1", "s1") == [result(b), result(c)]
    assert store.results("c1", "s1", 1) == [result(c)]
    assert store.results("c2", "s1") == [result(b, Verdict.FAIL)]
    assert store.also_in("c1") == {b.id: ("other",), c.id: ("other",)}


def test_what_others_had_proposed_at_a_moment(store: Store) -> None:
    a, b = candidate(4.2), candidate(4.3)
    store.add_campaign("c2", "other", {})
    store.add_chunk(Chunk("c2", 0, "flow", 0, 0), [a], 1.0)
    store.add_campaign("c3", "mine", {})
    store.add_chunk(Chunk("c2", 1, "flow", 0, 0), [b], 1.0)
    (mine,) = store.campaigns("mine")
    assert [x.id for x in store.candidates_before(["c2"], mine.created_at)] == [a.id]
    assert store.candidates_before(["c1"], mine.created_at) == []


def test_a_candidate_keeps_its_first_origin(store: Store) -> None:
    a = candidate(generator="flow")
    store.add_campaign("c2", "other", {})
    store.add_chunk(Chunk("c2", 0, "vae", 0, 0), [candidate(generator="vae")], 1.0)
    store.add_chunk(Chunk("c1", 0, "flow", 0, 0), [a], 1.0)
    store.add_chunk(Chunk("c1", 1, "substitution", 0, 0), [candidate(generator="substitution")], 1.0)
    assert store.by_id([a.id], "c1")[a.id].origin.generator == "flow"
    assert [c.origin.generator for c in store.candidates("c1", 1)] == ["substitution"]


def test_stage_summaries_relaxations_selections_and_costs(store: Store) -> None:
    a = candidate()
    store.add_chunk(Chunk("c1", 0, "flow", 0, 0), [a], 1.0)
    store.complete_stage("c1", 0, "select", {"selected": 1})
    store.complete_stage("c1", 0, "select", {"selected": 9})
    assert store.stage_summary("c1", 0, "select") == {"selected": 1}
    assert store.stage_summary("c1", 1, "select") is None
    store.put_relaxation("k", {"energy_eV": -1.5})
    assert store.get_relaxation("k") == {"energy_eV": -1.5}
    assert store.get_relaxation("other") is None
    store.add_selections("c1", 0, [Selection(a.id, 1, "because", "r1")])
    assert store.selections("c1") == [Selection(a.id, 1, "because", "r1", "")]
    store.add_costs("c1", [Cost(0, "relax", 4, 3, 2.5), Cost(0, "relax", 2, 1, 1.5), Cost(0, "hull", 4, 4, 0.5)])
    assert store.costs("c1") == [Cost(0, "relax", 6, 4, 4.0), Cost(0, "hull", 4, 4, 0.5)]


def test_migrations_give_the_tables_that_the_code_declares(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "x.db")
    found = inspect(engine)
    assert set(found.get_table_names()) - {"alembic_version"} == set(metadata.tables)
    for name, table in metadata.tables.items():
        assert {c["name"] for c in found.get_columns(name)} == {c.name for c in table.columns}, name
        assert {i["name"] for i in found.get_indexes(name)} == {i.name for i in table.indexes}, name


def test_head_is_the_newest_migration() -> None:
    folder = Path(database.__file__).parent / "migrations" / "versions"
    newest = max(re.match(r"(\d+)_", p.name)[1] for p in folder.glob("[0-9]*.py"))  # type: ignore[index]
    assert newest == database.HEAD


def test_a_store_of_a_newer_version_or_none_at_all_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.db"
    with pytest.raises(StoreError, match="no store here yet"):
        open_engine(file, create=False)
    assert not file.exists()
    open_engine(file).dispose()
    with sqlite3.connect(file) as connection:
        connection.execute("update alembic_version set version_num = '9999'")
    with pytest.raises(StoreError, match="made by a newer Redoxa"):
        open_engine(file)
    broken = tmp_path / "broken.db"
    broken.write_text("this is no database" * 100)
    with pytest.raises(StoreError, match="cannot be opened"):
        open_engine(broken)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("postgresql://localhost:notaport/x", "notaport.*postgresql://user@host:5432/name"),
        ("nothing://x", "nothing"),
        ("folder", "unable to open database file"),
        (" ", "Give the path of a file"),
    ],
)
def test_what_cannot_be_a_store_is_unusable_input(
    where: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UnusableStoreError, match=message) as caught:
        open_engine(where)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("writer", ["closed", "killed"])
def test_a_store_that_cannot_be_written_is_read(writer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = Store.open(tmp_path / "a file.db")
    written.add_campaign("1", "mine", {})
    if writer == "closed":
        written.close()
    monkeypatch.setattr(database, "_is_read_only", lambda _file: True)
    store = Store.open(tmp_path / "a file.db")
    assert [row.name for row in store.campaigns()] == ["mine"]
    with pytest.raises(StoreError, match=r"a file\.db: the store cannot be used: .*readonly.* can only be read here"):
        store.add_campaign("2", "other", {})
    store.close()
    written.close()


def test_a_full_store_says_so_and_keeps_what_it_has(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "x.db")
    store.add_campaign("1", "small", {})
    with store.engine.connect() as connection:  # the pool gives the same connection again
        connection.exec_driver_sql("PRAGMA max_page_count = 1")
    with pytest.raises(StoreError, match=r"disk is full\. Free some space and run again") as caught:
        store.add_campaign("2", "large", {"text": "x" * 100_000})
    assert caught.value.exit_code == 1
    assert [row.name for row in store.campaigns()] == ["small"]
    store.close()


def test_passwords_do_not_reach_messages() -> None:
    assert store_name("postgresql+psycopg://me:sec@ret@host/db?password=x") == "postgresql+psycopg://host/db"
    assert store_name("runs/redoxa.db") == store_name(store_url("runs/redoxa.db")) == "runs/redoxa.db"
    assert store_name(store_url(Path("/a/b.db"))) == "/a/b.db"
    assert store_url("postgres://me@host/db").startswith("postgresql+psycopg://")
