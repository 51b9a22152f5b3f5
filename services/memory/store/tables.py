"""The tables of the history file."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from services.memory.types import COLUMNS

schema = sa.MetaData()

names = sa.Table(
    "names",
    schema,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
)
facts = sa.Table(
    "facts",
    schema,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Integer, nullable=False),
)
seconds = sa.Table(
    "seconds",
    schema,
    sa.Column("place", sa.Integer, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("time", sa.Float, nullable=False),
    sa.Column("run", sa.Integer, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),  # float64 by column
)
blocks = sa.Table(
    "blocks",
    schema,
    sa.Column("place", sa.Integer, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),  # float32 (3, length): means, minima, maxima
)


def assign_names(connection: Connection) -> dict[str, int]:
    """Return the id of each column, from 1; new columns get the next."""
    ids = {row.name: row.id for row in connection.execute(sa.select(names))}
    for column in COLUMNS:
        if column not in ids:
            ids[column] = max(ids.values(), default=0) + 1
            connection.execute(names.insert().values(id=ids[column], name=column))
    return ids


def fact(connection: Connection, name: str) -> int:
    """Return a number that is kept under a name, 0 when there is none."""
    return int(connection.scalar(sa.select(facts.c.value).where(facts.c.name == name)) or 0)


def set_fact(connection: Connection, name: str, value: int) -> None:
    """Keep a number under a name."""
    connection.execute(facts.insert().prefix_with("OR REPLACE").values(name=name, value=value))
