"""Failures by key that count for all nodes, in a table.

A key is stored as a keyed hash: it has what was typed as a name, which may be a password in the wrong field. Reading is
one statement, a failure one transaction; times are the database's, so the clocks of nodes do not matter.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from services.core.database import Database
from services.core.database.change_log import DATABASE_TIME
from services.core.throttle import FORGET_SECONDS
from services.identity.failures import KeyFailures
from services.identity.store.identity_tables import sign_in_failures

MOST = 30_000  # rows, about 5 MB

_AGE = DATABASE_TIME - sign_in_failures.c.failed_at


class SharedFailures:
    """See `Failures`; for PostgreSQL. `key` returns what the hashes are made with, the same at all nodes.

    Every method raises UnavailableError where the database does not answer.
    """

    def __init__(self, database: Database, key: Callable[[], bytes]) -> None:
        self._database = database
        self._key = key

    def read(self, keys: Iterable[str]) -> dict[str, KeyFailures]:
        hashes = {self._hash(key): key for key in keys}
        query = sa.select(sign_in_failures.c.key, sign_in_failures.c.count, _AGE).where(
            sign_in_failures.c.key.in_(hashes), _AGE < FORGET_SECONDS
        )
        with self._database.read() as connection:
            return {hashes[row[0]]: KeyFailures(row[1], max(0.0, float(row[2]))) for row in connection.execute(query)}

    def add(self, keys: Sequence[str]) -> None:
        into = postgresql.insert(sign_in_failures)
        counted = sa.case((_AGE >= FORGET_SECONDS, 1), else_=sign_in_failures.c.count + 1)
        query = into.on_conflict_do_update(
            index_elements=["key"], set_={"count": counted, "failed_at": into.excluded.failed_at}
        )
        rows = [{"key": self._hash(key), "count": 1, "failed_at": DATABASE_TIME} for key in dict.fromkeys(keys)]
        with self._database.write() as connection:
            for row in rows:
                connection.execute(query.values(**row))

    def forget(self, key: str) -> None:
        query = sign_in_failures.delete().where(sign_in_failures.c.key == self._hash(key))
        with self._database.write() as connection:
            connection.execute(query)

    def delete_old(self) -> None:
        """Delete what is forgotten, and the oldest of what is too much; a transaction only where there is some."""
        newest = sa.select(sign_in_failures.c.failed_at).order_by(sign_in_failures.c.failed_at.desc())
        with self._database.read() as connection:
            limit = connection.scalar(newest.offset(MOST).limit(1))
            old = _AGE >= FORGET_SECONDS
            if limit is not None:
                old = sa.or_(old, sign_in_failures.c.failed_at <= limit)
            if connection.scalar(sa.select(sign_in_failures.c.key).where(old).limit(1)) is None:
                return
        with self._database.write() as connection:
            connection.execute(sign_in_failures.delete().where(old))

    def _hash(self, key: str) -> bytes:
        return hmac.digest(self._key(), key.encode("utf-8", "surrogatepass"), "sha256")
