"""Several nodes: who they are, what one has changed that others must hear of, and who works on which job.

Revision: 0009_nodes, on top of 0008_feedback_reasons.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009_nodes"
down_revision = "0008_feedback_reasons"
branch_labels = None
depends_on = None

_WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables, and the column of jobs."""
    op.create_table(
        "nodes",
        sa.Column("id", _WHOLE, primary_key=True),
        sa.Column("name", sa.String(255), nullable=False, unique=True),
        sa.Column("epoch", _WHOLE, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("url", sa.String(255), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
        sa.Column("applied", _WHOLE, nullable=False),
        sa.Column("agreed", sa.JSON(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("node", _WHOLE, nullable=False),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
    )
    op.create_table(
        "changes",
        sa.Column("id", _WHOLE, primary_key=True),
        sa.Column("node", _WHOLE, nullable=False),
        sa.Column("topic", sa.String(16), nullable=False),
        sa.Column("content", sa.JSON(), nullable=True),
        sa.Column("at", sa.Float(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.add_column("jobs", sa.Column("node", _WHOLE, nullable=True))
