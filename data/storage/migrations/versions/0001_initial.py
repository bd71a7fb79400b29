"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    _candidates()
    _computations()
    _choices()
    _laboratory()


def _candidates() -> None:
    """Campaigns, candidates, and where each candidate came from."""
    op.create_table(
        "campaigns",
        sa.Column("id", sa.String(length=16), nullable=False, comment="content hash of the resolved spec"),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_campaigns_name"), "campaigns", ["name"], unique=False)
    op.create_table(
        "candidates",
        sa.Column(
            "seq",
            sa.Integer(),
            autoincrement=True,
            nullable=False,
            comment="order of arrival; decides what is a duplicate",
        ),
        sa.Column("id", sa.String(length=16), nullable=False, comment="content hash of crystal and working ion"),
        sa.Column("formula", sa.String(length=120), nullable=False),
        sa.Column("chemical_system", sa.String(length=120), nullable=False),
        sa.Column("working_ion", sa.String(length=2), nullable=False),
        sa.Column("n_atoms", sa.Integer(), nullable=False),
        sa.Column("crystal", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    op.create_index(op.f("ix_candidates_chemical_system"), "candidates", ["chemical_system"], unique=False)
    op.create_index(op.f("ix_candidates_formula"), "candidates", ["formula"], unique=False)
    op.create_table(
        "chunks",
        sa.Column("campaign_id", sa.String(length=16), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("generator", sa.String(length=40), nullable=False),
        sa.Column("chunk", sa.Integer(), nullable=False),
        sa.Column("proposed", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["campaigns.id"],
        ),
        sa.PrimaryKeyConstraint("campaign_id", "round", "generator", "chunk"),
        comment="a generator's chunk of samples, written whole with its proposals or not at all",
    )
    op.create_table(
        "proposals",
        sa.Column("campaign_id", sa.String(length=16), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("generator", sa.String(length=40), nullable=False),
        sa.Column("sample", sa.Integer(), nullable=False, comment="index of the sample within generator and round"),
        sa.Column("candidate_id", sa.String(length=16), nullable=False),
        sa.Column("origin", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["campaigns.id"],
        ),
        sa.ForeignKeyConstraint(
            ["candidate_id"],
            ["candidates.id"],
        ),
        sa.PrimaryKeyConstraint("campaign_id", "round", "generator", "sample"),
    )
    op.create_index(op.f("ix_proposals_candidate_id"), "proposals", ["candidate_id"], unique=False)


def _computations() -> None:
    """What was computed, and what it cost."""
    op.create_table(
        "relaxations",
        sa.Column("key", sa.String(length=16), nullable=False, comment="hash of input crystal, potential and settings"),
        sa.Column("record", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "results",
        sa.Column("candidate_id", sa.String(length=16), nullable=False),
        sa.Column("settings_hash", sa.String(length=16), nullable=False),
        sa.Column("verdict", sa.String(length=12), nullable=False),
        sa.Column("record", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["candidate_id"],
            ["candidates.id"],
        ),
        sa.PrimaryKeyConstraint("candidate_id", "settings_hash"),
    )
    op.create_index(op.f("ix_results_verdict"), "results", ["verdict"], unique=False)
    op.create_table(
        "costs",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("campaign_id", sa.String(length=16), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("stage", sa.String(length=40), nullable=False),
        sa.Column("entered", sa.Integer(), nullable=False),
        sa.Column("passed", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["campaigns.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_costs_campaign", "costs", ["campaign_id", "round"], unique=False)


def _choices() -> None:
    """What was chosen in each round."""
    op.create_table(
        "rounds",
        sa.Column("campaign_id", sa.String(length=16), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("stage", sa.String(length=20), nullable=False, comment="stage that is complete for this round"),
        sa.Column("summary", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["campaigns.id"],
        ),
        sa.PrimaryKeyConstraint("campaign_id", "round", "stage"),
    )
    op.create_table(
        "selections",
        sa.Column("campaign_id", sa.String(length=16), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("candidate_id", sa.String(length=16), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column(
            "request_id",
            sa.String(length=16),
            nullable=True,
            comment="null where no recipe or no safe request could be made",
        ),
        sa.Column("note", sa.Text(), nullable=False, comment="why there is no request"),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["campaigns.id"],
        ),
        sa.ForeignKeyConstraint(
            ["candidate_id"],
            ["candidates.id"],
        ),
        sa.PrimaryKeyConstraint("campaign_id", "round", "candidate_id"),
    )


def _laboratory() -> None:
    """Requests to the laboratory, what became of them, and what was measured."""
    op.create_table(
        "requests",
        sa.Column(
            "id",
            sa.String(length=64),
            nullable=False,
            comment="idempotency key: the content hash unless the client made one",
        ),
        sa.Column("payload_hash", sa.String(length=16), nullable=False, comment="content hash of the request"),
        sa.Column("campaign", sa.String(length=80), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("candidate_id", sa.String(length=16), nullable=False),
        sa.Column("formula", sa.String(length=120), nullable=False),
        sa.Column("working_ion", sa.String(length=2), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column(
            "safety", sa.JSON(), nullable=False, comment="findings of the safety rules when they were last asked"
        ),
        sa.Column("safety_rules", sa.String(length=40), nullable=False, comment="version of the rules that were asked"),
        sa.Column("worker", sa.String(length=120), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="times a worker has claimed it"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_requests_campaign"), "requests", ["campaign"], unique=False)
    op.create_index(op.f("ix_requests_candidate_id"), "requests", ["candidate_id"], unique=False)
    op.create_index(
        "ix_requests_next", "requests", ["state", sa.literal_column("priority DESC"), "created_at"], unique=False
    )
    op.create_table(
        "queue_events",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=120), nullable=False, comment="person, policy or worker"),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("from_state", sa.String(length=12), nullable=True),
        sa.Column("to_state", sa.String(length=12), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["requests.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_queue_events_request_id"), "queue_events", ["request_id"], unique=False)
    op.create_table(
        "measurements",
        sa.Column("request_id", sa.String(length=64), nullable=False, comment="one measurement a request"),
        sa.Column("candidate_id", sa.String(length=16), nullable=False),
        sa.Column("campaign", sa.String(length=80), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("payload_hash", sa.String(length=16), nullable=False),
        sa.Column("measurement", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["requests.id"],
        ),
        sa.PrimaryKeyConstraint("request_id"),
    )
    op.create_index(op.f("ix_measurements_campaign"), "measurements", ["campaign"], unique=False)
    op.create_index(op.f("ix_measurements_candidate_id"), "measurements", ["candidate_id"], unique=False)
