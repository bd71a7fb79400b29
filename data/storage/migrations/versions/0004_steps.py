"""Steps and samples of requests; audit lines may be about a step."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add tables and column."""
    op.add_column(
        "queue_events",
        sa.Column("step_id", sa.String(length=96), nullable=True, comment="of which step; null: of the request"),
    )
    op.create_table(
        "steps",
        sa.Column("id", sa.String(length=96), nullable=False, comment="idempotency key towards a station"),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="place in the request, from 1"),
        sa.Column("capability", sa.String(length=12), nullable=False),
        sa.Column(
            "only_at", sa.String(length=40), nullable=True, comment="the one station that may do it; null: any that can"
        ),
        sa.Column("programme", sa.String(length=16), nullable=True, comment="equal for samples that share a furnace"),
        sa.Column("step", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column(
            "turn_h", sa.Float(), nullable=False, comment="hours since 1970 when it got ready, less 24 by priority"
        ),
        sa.Column("station", sa.String(length=40), nullable=True, comment="at which it is, or was last"),
        sa.Column("worker", sa.String(length=120), nullable=True, comment="name of who holds it, for people"),
        sa.Column("lease_token", sa.String(length=32), nullable=True, comment="mark of the claim that holds it"),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_s", sa.Float(), nullable=True, comment="length of the lease"),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="times it was claimed"),
        sa.Column("ready_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("why", sa.Text(), nullable=False, comment="what was last said of it"),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_steps_request_id", "steps", ["request_id"])
    op.create_index("ix_steps_next", "steps", ["state", "capability", "turn_h"])
    op.create_index("ix_steps_station", "steps", ["station", "state"])
    op.create_table(
        "samples",
        sa.Column("id", sa.String(length=96), nullable=False, comment="on the label"),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("sample", sa.JSON(), nullable=False),
        sa.Column(
            "place",
            sa.String(length=120),
            nullable=True,
            comment="station, or what a person said; null: not made",
        ),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_samples_request_id", "samples", ["request_id"])
