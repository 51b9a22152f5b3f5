"""Table definitions of `services.nodes`. All times are seconds since the epoch by the database's clock."""

from __future__ import annotations

import sqlalchemy as sa

from services.core.database import WHOLE, metadata

nodes = sa.Table(
    "nodes",
    metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("name", sa.String(255), nullable=False, unique=True),
    # Raised by each start, and by whoever takes the node's work over: with an older one nothing can be written.
    sa.Column("epoch", WHOLE, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("version", sa.String(64), nullable=False),
    sa.Column("url", sa.String(255), nullable=False),
    sa.Column("started_at", sa.Float, nullable=False),
    sa.Column("seen_at", sa.Float, nullable=False),
    # The last change of others that it has followed.
    sa.Column("applied", WHOLE, nullable=False),
    # What all nodes must have alike, by name, as hashes.
    sa.Column("agreed", sa.JSON, nullable=False),
    # What it tells of itself with each heartbeat.
    sa.Column("report", sa.JSON, nullable=False),
    # The newest revision of the schema that it knows; empty for those that did not say.
    sa.Column("schema_revision", sa.String(32)),
    sqlite_autoincrement=True,
)

# A lease lasts as long as its node does: who takes the node's work over ends it.
leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("node", WHOLE, nullable=False),
    sa.Column("holder", sa.String(64), nullable=False),
    sa.Column("since", sa.Float, nullable=False),
)
