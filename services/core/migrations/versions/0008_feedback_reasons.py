"""Why an answer was marked down: a reason, and a line by the person.

Revision: 0008_feedback_reasons, on top of 0007_embedding_models.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008_feedback_reasons"
down_revision = "0007_embedding_models"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the columns; of the feedback before them nothing is known but its thumb."""
    op.add_column("messages", sa.Column("feedback_reason", sa.String(32), nullable=False, server_default=""))
    op.add_column("messages", sa.Column("feedback_text", sa.Text(), nullable=False, server_default=""))
