"""Whose conversations are, who added a document, and what an answer to a deleted document may still be shown by.

Revision: 0002_owners, on top of 0001_baseline.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002_owners"
down_revision = "0001_baseline"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; null in each means: as it was before there were accounts."""
    op.add_column("conversations", sa.Column("person_id", sa.Integer))
    op.create_index("ix_conversations_person_id", "conversations", ["person_id"])
    op.add_column("citations_of", sa.Column("collection_id", sa.Integer))
    op.add_column("documents", sa.Column("added_by", sa.Integer))
    op.add_column("jobs", sa.Column("readable", sa.JSON(none_as_null=True)))
