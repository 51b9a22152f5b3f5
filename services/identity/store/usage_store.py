"""What people used, per day, in the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict

import sqlalchemy as sa

from services.core.database import Database
from services.core.database.sql import insert_or_add
from services.core.usage import UsageCounts
from services.identity.store.identity_tables import people, usage

_COUNTS = (usage.c.questions, usage.c.tokens, usage.c.documents, usage.c.bytes)


class UsageStore:
    """Adds up and reads usage; days are counted in UTC from 1970. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def sums_since(self, first_day: int) -> defaultdict[int, UsageCounts]:
        """Return what each person used from a day on."""
        query = sa.select(usage.c.person_id, *(sa.func.sum(column) for column in _COUNTS)).group_by(usage.c.person_id)
        found: defaultdict[int, UsageCounts] = defaultdict(UsageCounts)
        with self._database.read() as connection:
            for person, *counts in connection.execute(query.where(usage.c.day >= first_day)):
                found[person] = UsageCounts(*counts)
        return found

    def add(self, used: Mapping[tuple[int, int], UsageCounts], *, oldest: int) -> None:
        """Add what was used by (person, day), and remove what is from before the day `oldest`."""
        with self._database.write() as connection:
            known = set(connection.scalars(sa.select(people.c.id)))  # a deleted person leaves nothing behind
            rows = [
                {"person_id": person, "day": day, **asdict(counts)}
                for (person, day), counts in used.items()
                if person in known
            ]
            if rows:
                sums = [column.name for column in _COUNTS]
                connection.execute(insert_or_add(connection, usage, ("person_id", "day"), sums), rows)
            connection.execute(usage.delete().where(usage.c.day < oldest))
