"""Pages read by text recognition: how sure it was, and where their words are.

Revision: 0006_recognition, on top of 0005_usage.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006_recognition"
down_revision = "0005_usage"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and the column; before them no text was recognised."""
    op.create_table(
        "recognized_pages",
        sa.Column("revision_id", sa.Integer(), nullable=False),
        sa.Column("page", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("least_confidence", sa.Float(), nullable=False),
        sa.Column("words", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["revision_id"], ["revisions.id"]),
        sa.PrimaryKeyConstraint("revision_id", "page"),
    )
    op.add_column("revisions", sa.Column("recognition", sa.JSON(), nullable=True))
