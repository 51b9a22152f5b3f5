"""The id of a pond: a random number in its database, which goes with it wherever it is copied."""

from __future__ import annotations

import secrets

import sqlalchemy as sa

from services.core.database import Database
from services.knowledge.store.tables import counters

_NAME = "pond"
_BITS = 62  # fits a signed 64-bit column


def pond_id(database: Database) -> str:
    """Return the id of the pond that a database holds; one that has none is given it."""
    query = sa.select(counters.c.value).where(counters.c.name == _NAME)
    with database.read() as connection:
        found = connection.scalar(query)
    if found is None:
        with database.write() as connection:
            found = connection.scalar(query)
            if found is None:
                found = secrets.randbits(_BITS) + 1
                connection.execute(counters.insert().values(name=_NAME, value=found))
    return f"{found:016x}"
