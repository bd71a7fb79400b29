"""The store: the truth of every campaign. Append-only, keyed by content hash, so that resuming means running again.

Every write is one transaction that either happened whole or did not. Writing the same thing twice changes nothing.
Any number of processes may read; writers wait for one another (SQLite) or run side by side (PostgreSQL).
Reads and writes outlive a server that restarts and connections that drop (`database.in_transaction`): each is
keyed, so that writing again where a COMMIT got no answer changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, Select, and_, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.schema import Table

from redoxa.data.records import Candidate, Crystal, Origin, ScreeningResult, content_hash
from redoxa.data.storage import schema as s
from redoxa.data.storage.database import aware, in_transaction, open_engine, reading
from redoxa.data.storage.rows import CampaignRow, Chunk, Cost, Run, Selection, StageRow


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


class Store:
    """Reads and writes of campaigns, candidates, results and selections."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def open(cls, where: str | Path, *, create: bool = True) -> Store:
        """Open a store by path or URL (see `data.storage.database.open_engine`)."""
        return cls(open_engine(where, create=create))

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()

    # -- campaigns and rounds ------------------------------------------------------------------------------------------

    def add_campaign(self, campaign_id: str, name: str, spec: dict[str, Any]) -> None:
        """Record a resolved spec under its content hash; what the hash leaves out (stop, schedule ...) is renewed."""
        row = {"id": campaign_id, "name": name, "spec": spec, "created_at": now()}

        def work(connection: Connection) -> None:
            insert = _dialect(connection).insert(s.campaigns)
            renewed = {"name": insert.excluded.name, "spec": insert.excluded.spec}
            connection.execute(insert.on_conflict_do_update(index_elements=["id"], set_=renewed), row)

        in_transaction(self.engine, work)

    def campaigns(self, name: str | None = None) -> list[CampaignRow]:
        """All campaigns, or those of a name, oldest first."""
        query = select(s.campaigns).order_by(s.campaigns.c.created_at)
        rows = self._rows(query if name is None else query.where(s.campaigns.c.name == name))
        return [CampaignRow(row["id"], row["name"], row["spec"], aware(row["created_at"])) for row in rows]

    def complete_stage(self, campaign_id: str, round_: int, stage: str, summary: Mapping[str, int]) -> None:
        """Mark a stage of a round as complete; the first summary stays."""
        row = {"campaign_id": campaign_id, "round": round_, "stage": stage, "summary": {**summary}, "created_at": now()}
        self._insert((s.rounds, [row]))

    def stage_summary(self, campaign_id: str, round_: int, stage: str) -> dict[str, int] | None:
        """Summary of a complete stage, or None while it is not complete."""
        c = s.rounds.c
        rows = self._rows(select(c.summary).where(c.campaign_id == campaign_id, c.round == round_, c.stage == stage))
        return rows[0]["summary"] if rows else None

    def completed_stages(self, campaign_id: str) -> list[StageRow]:
        """Stages of a campaign's rounds that are complete, in order."""
        c = s.rounds.c
        rows = self._rows(select(s.rounds).where(c.campaign_id == campaign_id).order_by(c.round, c.created_at))
        return [StageRow(row["round"], row["stage"], row["summary"], aware(row["created_at"])) for row in rows]

    def begin_run(self, campaign_id: str) -> str:
        """Record that a run begins, and that those before it, which ended without a word, are over; returns its id.

        Call it under the campaign's lock.
        """
        c, key = s.runs.c, uuid4().hex
        begun = {"id": key, "campaign_id": campaign_id, "began_at": now(), "said": "", "failed": False}
        over = {"ended_at": now(), "said": "its process was killed", "failed": True}

        def work(connection: Connection) -> str:
            left = s.runs.update().where(c.campaign_id == campaign_id, c.ended_at.is_(None), c.id != key)
            connection.execute(left.values(over))
            connection.execute(_dialect(connection).insert(s.runs).on_conflict_do_nothing(), [begun])
            return key

        return in_transaction(self.engine, work)

    def end_run(self, run_id: str, said: str, *, failed: bool) -> None:
        """Record how a run has ended."""
        ended = s.runs.update().where(s.runs.c.id == run_id).values(ended_at=now(), said=said, failed=failed)
        in_transaction(self.engine, lambda connection: connection.execute(ended))

    def runs(self, campaign_id: str, since: datetime | None = None) -> list[Run]:
        """Runs of a campaign that were going on at or after a moment, or all, oldest first."""
        c = s.runs.c
        query = select(c.began_at, c.ended_at, c.said, c.failed).where(c.campaign_id == campaign_id)
        if since is not None:
            query = query.where(c.ended_at.is_(None) | (c.ended_at >= since))
        rows = self._rows(query.order_by(c.began_at))
        return [
            Run(aware(x["began_at"]), aware(x["ended_at"]) if x["ended_at"] else None, x["said"], x["failed"])
            for x in rows
        ]

    def last_written(self, campaign_id: str) -> datetime | None:
        """When a run of a campaign last wrote anything; None where none has."""
        times = (
            s.runs.c.began_at,
            s.runs.c.ended_at,
            s.chunks.c.created_at,
            s.costs.c.created_at,
            s.rounds.c.created_at,
        )
        latest = [select(func.max(x).label("at")).where(x.table.c.campaign_id == campaign_id) for x in times]
        return max((aware(row["at"]) for query in latest for row in self._rows(query) if row["at"]), default=None)

    # -- candidates ----------------------------------------------------------------------------------------------------

    def add_chunk(self, chunk: Chunk, candidates: Sequence[Candidate], seconds: float) -> None:
        """Write a chunk of samples, the processor time it took and its proposals: all or nothing, once."""
        stamp = now()
        key = {"campaign_id": chunk.campaign_id, "round": chunk.round, "generator": chunk.generator}
        header = {**key, "chunk": chunk.chunk, "proposed": len(candidates), "seconds": seconds, "created_at": stamp}
        proposals = [
            {**key, "sample": chunk.first_sample + i, "candidate_id": c.id, "origin": c.origin.model_dump(mode="json")}
            for i, c in enumerate(candidates)
        ]
        rows = [candidate_row(c, stamp) for c in candidates]
        self._insert((s.candidates, rows), (s.chunks, [header]), (s.proposals, proposals))

    def chunks(self, campaign_id: str, round_: int) -> set[tuple[str, int]]:
        """(generator, chunk) pairs that are written."""
        c = s.chunks.c
        rows = self._rows(select(c.generator, c.chunk).where(c.campaign_id == campaign_id, c.round == round_))
        return {(row["generator"], row["chunk"]) for row in rows}

    def candidates(self, campaign_id: str, round_: int | None = None) -> list[Candidate]:
        """Distinct candidates of a campaign in its own order, each with its first origin in it.

        The order is that of round, generator and sample: it hangs on the campaign alone, not on when a process wrote
        what, nor on what other campaigns of the store have proposed.
        """
        query = _proposed().where(s.proposals.c.campaign_id == campaign_id)
        if round_ is not None:
            query = query.where(s.proposals.c.round == round_)
        return _distinct_candidates(self._rows(query))

    def by_id(self, ids: Iterable[str], campaign_id: str) -> dict[str, Candidate]:
        """Candidates of a campaign by id, each with its first origin in it."""
        wanted = list(ids)
        found: dict[str, Candidate] = {}
        for start in range(0, len(wanted), 500):
            part = s.candidates.c.id.in_(wanted[start : start + 500])
            rows = self._rows(_proposed().where(s.proposals.c.campaign_id == campaign_id, part))
            found |= {candidate.id: candidate for candidate in _distinct_candidates(rows)}
        return found

    def candidates_before(self, campaign_ids: Iterable[str], moment: datetime) -> list[Candidate]:
        """What other campaigns had proposed at a moment, in order of arrival."""
        p, c = s.proposals.c, s.candidates.c
        query = _proposed().where(p.campaign_id.in_(list(campaign_ids)), c.created_at < moment)
        return _distinct_candidates(self._rows(query.order_by(None).order_by(c.seq)))

    def also_in(self, campaign_id: str) -> dict[str, tuple[str, ...]]:
        """Names of the other campaigns that proposed the same candidates, by candidate id."""
        p, own = s.proposals.c, s.proposals.alias()
        query = (
            select(p.candidate_id, s.campaigns.c.name)
            .join(own, own.c.candidate_id == p.candidate_id)
            .join(s.campaigns, s.campaigns.c.id == p.campaign_id)
            .where(own.c.campaign_id == campaign_id, p.campaign_id != campaign_id)
            .distinct()
            .order_by(p.candidate_id, s.campaigns.c.name)
        )
        found: dict[str, tuple[str, ...]] = {}
        for row in self._rows(query):
            found[row["candidate_id"]] = (*found.get(row["candidate_id"], ()), row["name"])
        return found

    # -- results -------------------------------------------------------------------------------------------------------

    def add_result(self, campaign_id: str, result: ScreeningResult) -> None:
        """Append a screening result of a campaign; a second one under the same settings changes nothing."""
        row = {
            "candidate_id": result.candidate_id,
            "settings_hash": _scope(campaign_id, result.settings_hash),
            "verdict": result.verdict.value,
            "record": result.model_dump(mode="json"),
            "created_at": now(),
        }
        self._insert((s.results, [row]))

    def unscreened(self, campaign_id: str, round_: int, settings_hash: str) -> list[str]:
        """Ids of the round's candidates without a result under these settings, in the campaign's order."""
        r = s.results.c
        members = self._members(campaign_id, round_)
        query = select(r.candidate_id).where(r.settings_hash == _scope(campaign_id, settings_hash))
        query = query.where(r.candidate_id.in_(_round_members(campaign_id, round_)))
        done = {row["candidate_id"] for row in self._rows(query)}
        return [i for i in members if i not in done]

    def results(self, campaign_id: str, settings_hash: str, round_: int | None = None) -> list[ScreeningResult]:
        """Results of a campaign's candidates under these settings, in the campaign's order."""
        r = s.results.c
        query = select(r.candidate_id, r.record).where(r.settings_hash == _scope(campaign_id, settings_hash))
        if round_ is not None:
            query = query.where(r.candidate_id.in_(_round_members(campaign_id, round_)))
        records = {row["candidate_id"]: row["record"] for row in self._rows(query)}
        order = self._members(campaign_id, round_)
        return [ScreeningResult.model_validate(records[i]) for i in order if i in records]

    def tally(self, campaign_id: str, settings_hash: str) -> tuple[int, int]:
        """How many candidates a campaign has, and how many of them have a result under these settings; reads none."""
        p, r = s.proposals.c, s.results.c
        has = and_(r.candidate_id == p.candidate_id, r.settings_hash == _scope(campaign_id, settings_hash))
        counts = func.count(p.candidate_id.distinct()), func.count(r.candidate_id.distinct())
        query = select(*counts).select_from(s.proposals).outerjoin(s.results, has).where(p.campaign_id == campaign_id)
        candidates, screened = self._rows(query)[0].values()
        return candidates, screened

    def _members(self, campaign_id: str, round_: int | None = None) -> list[str]:
        """Ids of a campaign's candidates in its own order."""
        p = s.proposals.c
        query = select(p.candidate_id).where(p.campaign_id == campaign_id).order_by(p.round, p.generator, p.sample)
        if round_ is not None:
            query = query.where(p.round == round_)
        return list(dict.fromkeys(row["candidate_id"] for row in self._rows(query)))

    def get_relaxation(self, key: str) -> dict[str, Any] | None:
        """A finished relaxation by content key."""
        rows = self._rows(select(s.relaxations.c.record).where(s.relaxations.c.key == key))
        return rows[0]["record"] if rows else None

    def put_relaxation(self, key: str, record: dict[str, Any]) -> None:
        """Keep a finished relaxation."""
        self._insert((s.relaxations, [{"key": key, "record": record, "created_at": now()}]))

    # -- selections and costs ------------------------------------------------------------------------------------------

    def add_selections(self, campaign_id: str, round_: int, chosen: Sequence[Selection]) -> None:
        """Write the round's choice for the laboratory."""
        rows = [
            {
                "campaign_id": campaign_id,
                "round": round_,
                "candidate_id": x.candidate_id,
                "rank": x.rank,
                "why": x.why,
                "request_id": x.request_id,
                "note": x.note,
            }
            for x in chosen
        ]
        self._insert((s.selections, rows))

    def selections(self, campaign_id: str, round_: int | None = None) -> list[Selection]:
        """What was chosen, by round and rank."""
        c = s.selections.c
        query = select(s.selections).where(c.campaign_id == campaign_id).order_by(c.round, c.rank)
        if round_ is not None:
            query = query.where(c.round == round_)
        return [
            Selection(row["candidate_id"], row["rank"], row["why"], row["request_id"], row["note"])
            for row in self._rows(query)
        ]

    def add_costs(self, campaign_id: str, costs: Sequence[Cost]) -> None:
        """Append what stages took. These rows have no key: their time tells whether they are written already."""
        stamp, c = now(), s.costs.c
        rows = [{"campaign_id": campaign_id, **vars(cost), "created_at": stamp} for cost in costs]
        if not rows:
            return
        mine = select(c.id).where(c.campaign_id == campaign_id, c.created_at == stamp, c.stage == costs[0].stage)
        in_transaction(
            self.engine,
            lambda connection: connection.execute(s.costs.insert(), rows),
            is_written=lambda connection: connection.execute(mine).first() is not None,
        )

    def costs(self, campaign_id: str, since: datetime | None = None) -> list[Cost]:
        """Costs summed by round and stage, of all time or since a moment, in order of first appearance."""
        c = s.costs.c
        query = (
            select(
                c.round,
                c.stage,
                func.sum(c.entered).label("entered"),
                func.sum(c.passed).label("passed"),
                func.sum(c.seconds).label("seconds"),
            )
            .where(c.campaign_id == campaign_id, *([] if since is None else [c.created_at >= since]))
            .group_by(c.round, c.stage)
            .order_by(func.min(c.id))
        )
        return [Cost(**row) for row in self._rows(query)]

    # -- plumbing ------------------------------------------------------------------------------------------------------

    def _rows(self, query: Select[Any]) -> list[dict[str, Any]]:
        return reading(self.engine, lambda connection: [dict(row) for row in connection.execute(query).mappings()])

    def _insert(self, *parts: tuple[Table, Sequence[dict[str, Any]]]) -> None:
        """Insert rows whose key is not there yet into one table after the other, in one transaction."""

        def work(connection: Connection) -> None:
            for table, rows in parts:
                if rows:
                    connection.execute(_dialect(connection).insert(table).on_conflict_do_nothing(), rows)

        in_transaction(self.engine, work)


def _dialect(connection: Connection) -> Any:
    """The dialect's own `insert`, which knows what to do when a key is there already."""
    return postgresql if connection.dialect.name == "postgresql" else sqlite


def candidate_row(candidate: Candidate, stamp: datetime) -> dict[str, Any]:
    """Row of the `candidates` table."""
    composition = candidate.crystal.composition
    return {
        "id": candidate.id,
        "formula": candidate.formula,
        "chemical_system": "-".join(sorted(composition)),
        "working_ion": candidate.working_ion,
        "n_atoms": candidate.crystal.n_atoms,
        "crystal": candidate.crystal.model_dump(mode="json"),
        "created_at": stamp,
    }


def _scope(campaign_id: str, settings_hash: str) -> str:
    """Key of a campaign's results: what counts as a duplicate hangs on the campaign, so its results are its own."""
    return content_hash([campaign_id, settings_hash])


def _round_members(campaign_id: str, round_: int) -> Select[Any]:
    """Ids of the candidates of a round."""
    p = s.proposals.c
    return select(p.candidate_id).where(p.campaign_id == campaign_id, p.round == round_)


def _proposed() -> Select[Any]:
    """Candidates with their proposals, in the order of a campaign."""
    p, c = s.proposals.c, s.candidates.c
    query = select(c.id, c.crystal, c.working_ion, p.origin).join(s.proposals, p.candidate_id == c.id)
    return query.order_by(p.round, p.generator, p.sample)


def _distinct_candidates(rows: Iterable[dict[str, Any]]) -> list[Candidate]:
    found: dict[str, Candidate] = {}
    for row in rows:
        if row["id"] not in found:
            found[row["id"]] = Candidate(
                crystal=Crystal.model_validate(row["crystal"]),
                working_ion=row["working_ion"],
                origin=Origin.model_validate(row["origin"]),
            )
    return list(found.values())
