"""Rolling upgrade: which schema each node knows; what a sign-in needs at every node.

Revision: 0010_rolling_upgrade, on top of 0009_nodes. It only expands: nodes of the version before go on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010_rolling_upgrade"
down_revision = "0009_nodes"
branch_labels = None
depends_on = None

_WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables, and the column of nodes."""
    op.add_column("nodes", sa.Column("schema_revision", sa.String(32), nullable=True))
    op.create_table(
        "sign_in_failures",
        sa.Column("key", sa.LargeBinary(32), primary_key=True),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("failed_at", sa.Float(), nullable=False),
    )
    op.create_index("ix_sign_in_failures_failed_at", "sign_in_failures", ["failed_at"])
    op.create_table(
        "second_factor_setups",
        sa.Column("person_id", _WHOLE, sa.ForeignKey("people.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("begun_at", sa.Float(), nullable=False),
    )
