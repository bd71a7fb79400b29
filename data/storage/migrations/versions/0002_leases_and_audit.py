"""Leases are held by a token, and audit lines are chained by hashes. Lines from before stay unchained."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns."""
    token = sa.Column(
        "lease_token", sa.String(length=32), nullable=True, comment="mark of the claim or adoption that holds it"
    )
    op.add_column("requests", token)
    op.add_column("requests", sa.Column("lease_s", sa.Float(), nullable=True, comment="length of the lease"))
    mark = sa.Column(
        "operation",
        sa.String(length=32),
        nullable=True,
        comment="mark of the transaction that wrote it; null: before 0002",
    )
    op.add_column("queue_events", mark)
    chain = sa.Column(
        "chain",
        sa.String(length=64),
        nullable=True,
        comment="sha256 of the chain before and this line; null: before 0002",
    )
    op.add_column("queue_events", chain)
