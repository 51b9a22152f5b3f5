"""What one node changes and the others have to hear of: a table in the order of commits, and a message that wakes them.

Each transaction appends to it while it holds the lock of writers, so ids rise in the order of commits: whoever has read
up to one of them has missed none before it. With a sequence alone a lower id could be committed later
(https://www.postgresql.org/docs/18/sql-createsequence.html#id-1.9.3.81.7). Nothing is recorded while this process is
no node of several (`Database.node` is 0).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from services.core.database.database import WHOLE, Database, metadata

MOST_AT_ONCE = 500
_NOTIFY = "SELECT pg_notify('millpond_' || hashtext(current_schema()), '')"
CHANNEL = "SELECT 'millpond_' || hashtext(current_schema())"
DATABASE_TIME = sa.extract("epoch", sa.func.clock_timestamp())


class Topic(StrEnum):
    """What has changed."""

    INDEX = "index"  # content: first and last id of runs of chunks of which the vector index may be behind
    QUEUE = "queue"  # jobs wait
    PEOPLE = "people"  # accounts, groups, rights
    REVOKED = "revoked"  # content: whose sessions, tokens or rights ended, as `Revocation` has it
    SETTINGS = "settings"  # content: the names
    STOPS = "stops"  # content: the person and the conversation whose answer is to be stopped


_TOPICS = {topic.value: topic for topic in Topic}

changes = sa.Table(
    "changes",
    metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("node", WHOLE, nullable=False),
    sa.Column("topic", sa.String(16), nullable=False),
    sa.Column("content", sa.JSON),
    # Seconds since the epoch by the database's clock.
    sa.Column("at", sa.Float, nullable=False),
    sqlite_autoincrement=True,
)


@dataclass(frozen=True, slots=True)
class Change:
    """A change: `node` made it, what `content` is depends on the topic; None: one of a newer version."""

    id: int
    node: int
    topic: Topic | None
    content: Any


def record(database: Database, connection: Connection, topic: Topic, content: Any = None) -> None:
    """Tell the other nodes of a change, once the transaction of `connection` is committed."""
    node = database.node
    if not node:
        return
    connection.execute(changes.insert().values(node=node, topic=topic, content=content, at=DATABASE_TIME))
    connection.exec_driver_sql(_NOTIFY)  # PostgreSQL sends the same message once for each transaction


def newest(connection: Connection, *, topic: Topic | None = None, besides: int = 0) -> int:
    """Return the id of the newest change, 0 for none; of a topic, made by another node than `besides`."""
    query = sa.select(sa.func.max(changes.c.id))
    if topic is not None:
        query = query.where(changes.c.topic == topic, changes.c.node != besides)
    return int(connection.scalar(query) or 0)


def read_after(connection: Connection, after: int) -> Sequence[Change] | None:
    """Return the changes behind one that was read, `MOST_AT_ONCE` at most; None where some may be deleted already."""
    if after and connection.scalar(sa.select(changes.c.id).where(changes.c.id == after)) is None:
        return None
    query = sa.select(changes).where(changes.c.id > after).order_by(changes.c.id).limit(MOST_AT_ONCE)
    return [Change(row.id, row.node, _TOPICS.get(row.topic), row.content) for row in connection.execute(query)]


def delete_followed(connection: Connection, up_to: int) -> None:
    """Delete the changes up to one that all nodes have followed: they have names of what was deleted.

    The newest one stays without its content, for those who begin behind it.
    """
    last = newest(connection)
    connection.execute(changes.delete().where(changes.c.id <= up_to, changes.c.id < last))
    if last <= up_to:
        connection.execute(changes.update().where(changes.c.id == last).values(content=None))
