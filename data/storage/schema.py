"""Tables of the store (SQLAlchemy Core). Results are append-only; the queue is in `schema_lab`."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, DateTime, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()

campaigns = Table(
    "campaigns",
    metadata,
    Column("id", String(16), primary_key=True, comment="content hash of the resolved spec"),
    Column("name", String(80), nullable=False, index=True),
    Column("spec", JSON, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

candidates = Table(
    "candidates",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True, comment="order of arrival"),
    Column("id", String(16), nullable=False, unique=True, comment="content hash of crystal and working ion"),
    Column("formula", String(120), nullable=False, index=True),
    Column("chemical_system", String(120), nullable=False, index=True),
    Column("working_ion", String(2), nullable=False),
    Column("n_atoms", Integer, nullable=False),
    Column("crystal", JSON, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

chunks = Table(
    "chunks",
    metadata,
    Column("campaign_id", String(16), ForeignKey("campaigns.id"), primary_key=True),
    Column("round", Integer, primary_key=True),
    Column("generator", String(40), primary_key=True),
    Column("chunk", Integer, primary_key=True),
    Column("proposed", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    comment="a generator's chunk of samples, written whole with its proposals or not at all",
)

proposals = Table(
    "proposals",
    metadata,
    Column("campaign_id", String(16), ForeignKey("campaigns.id"), primary_key=True),
    Column("round", Integer, primary_key=True),
    Column("generator", String(40), primary_key=True),
    Column("sample", Integer, primary_key=True, comment="index of the sample within generator and round"),
    Column("candidate_id", String(16), ForeignKey("candidates.id"), nullable=False, index=True),
    Column("origin", JSON, nullable=False),
)

relaxations = Table(
    "relaxations",
    metadata,
    Column("key", String(16), primary_key=True, comment="hash of input crystal, potential and settings"),
    Column("record", JSON, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

results = Table(
    "results",
    metadata,
    Column("candidate_id", String(16), ForeignKey("candidates.id"), primary_key=True),
    Column("settings_hash", String(16), primary_key=True, comment="of the screening's settings and of the campaign"),
    Column("verdict", String(12), nullable=False, index=True),
    Column("record", JSON, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

selections = Table(
    "selections",
    metadata,
    Column("campaign_id", String(16), ForeignKey("campaigns.id"), primary_key=True),
    Column("round", Integer, primary_key=True),
    Column("candidate_id", String(16), ForeignKey("candidates.id"), primary_key=True),
    Column("rank", Integer, nullable=False),
    Column("why", Text, nullable=False),
    Column("request_id", String(16), nullable=True, comment="null where no recipe or no safe request could be made"),
    Column("note", Text, nullable=False, comment="why there is no request"),
)

rounds = Table(
    "rounds",
    metadata,
    Column("campaign_id", String(16), ForeignKey("campaigns.id"), primary_key=True),
    Column("round", Integer, primary_key=True),
    Column("stage", String(20), primary_key=True, comment="stage that is complete for this round"),
    Column("summary", JSON, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

costs = Table(
    "costs",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("campaign_id", String(16), ForeignKey("campaigns.id"), nullable=False),
    Column("round", Integer, nullable=False),
    Column("stage", String(40), nullable=False),
    Column("entered", Integer, nullable=False),
    Column("passed", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

Index("ix_costs_campaign", costs.c.campaign_id, costs.c.round)

runs = Table(
    "runs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("campaign_id", String(16), ForeignKey("campaigns.id"), nullable=False),
    Column("began_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True), nullable=True),
    Column("said", Text, nullable=False, comment="why it came to its end"),
    Column("failed", Boolean, nullable=False),
)

Index("ix_runs_campaign", runs.c.campaign_id, runs.c.began_at)
