"""Which model the corpus is embedded with, and vectors of another one beside its own while it is changed to that.

Revision: 0007_embedding_models, on top of 0006_recognition.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007_embedding_models"
down_revision = "0006_recognition"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; which model the corpus has is recorded by the start that knows it."""
    op.create_table(
        "embedding_models",
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("fingerprint", sa.String(200), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("state", sa.String(20), nullable=False, server_default=""),
        sa.Column("person", sa.String(255), nullable=False, server_default=""),
        sa.Column("error", sa.Text(), nullable=False, server_default=""),
        sa.Column("hint", sa.Text(), nullable=False, server_default=""),
        sa.Column("chunks_per_second", sa.Float(), nullable=True),
        sa.Column("model_bytes", sa.BigInteger(), nullable=True),
        sa.Column("started_at", sa.DateTime(), nullable=True),
        sa.Column("changed_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("role"),
    )
    op.create_table(
        "chunk_vectors",
        sa.Column("chunk_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("fingerprint", sa.String(200), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["chunk_id"], ["chunks.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("chunk_id"),
    )
