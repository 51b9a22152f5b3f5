"""Sessions and API tokens in the database: found by the SHA-256 of their secret, which is stored nowhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from services.core.database import Database
from services.identity.store.identity_tables import api_tokens, sessions
from services.identity.store.told_revocations import record_revocations
from services.identity.types import Revocation


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A row of the table of sessions."""

    id: int
    sha256: bytes
    person_id: int
    created_at: float
    last_seen: float
    device: str
    address: str
    way: str


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A row of the table of API tokens."""

    id: int
    sha256: bytes
    person_id: int
    name: str
    last_four: str
    scopes: str
    created_at: float
    expires: float | None
    last_used: float | None
    revoked_at: float | None


class SessionStore:
    """Reads and writes sessions. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, sha256: bytes) -> StoredSession | None:
        with self._database.read() as connection:
            row = connection.execute(_SESSION.where(sessions.c.sha256 == sha256)).first()
        return _as_session(row) if row else None

    def of_person(self, person_id: int) -> list[StoredSession]:
        """Return the sessions of a person, the newest first."""
        query = _SESSION.where(sessions.c.person_id == person_id).order_by(sessions.c.id.desc())
        with self._database.read() as connection:
            return [_as_session(row) for row in connection.execute(query)]

    def get(self, session_id: int) -> StoredSession | None:
        with self._database.read() as connection:
            row = connection.execute(_SESSION.where(sessions.c.id == session_id)).first()
        return _as_session(row) if row else None

    def insert(self, **values: Any) -> StoredSession:
        with self._database.write() as connection:
            row = connection.execute(sessions.insert().values(**values).returning(*_SESSION.selected_columns)).one()
        return _as_session(row)

    def delete(self, ids: Sequence[int], ended: Iterable[Revocation]) -> None:
        """Delete sessions; the other nodes are told what that ends."""
        if ids:
            with self._database.write() as connection:
                connection.execute(sessions.delete().where(sessions.c.id.in_(ids)))
                record_revocations(self._database, connection, ended)

    def expired(self, created_before: float, seen_before: float) -> list[StoredSession]:
        """Return the sessions that were opened, or last seen, before these times."""
        query = _SESSION.where(
            sa.or_(sessions.c.created_at <= created_before, sessions.c.last_seen <= seen_before)
        ).limit(1000)
        with self._database.read() as connection:
            return [_as_session(row) for row in connection.execute(query)]

    def places(self, person_id: int) -> list[str]:
        """Return the addresses of a person's sessions."""
        query = sa.select(sessions.c.address).where(sessions.c.person_id == person_id).distinct()
        with self._database.read() as connection:
            return list(connection.scalars(query))

    def write_last_seen(self, times: Mapping[int, float]) -> None:
        """Record when sessions were last seen."""
        _write_times(self._database, sessions, sessions.c.last_seen, times)


class TokenStore:
    """Reads and writes API tokens. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, sha256: bytes) -> StoredToken | None:
        with self._database.read() as connection:
            row = connection.execute(_TOKEN.where(api_tokens.c.sha256 == sha256)).first()
        return _as_token(row) if row else None

    def get(self, token_id: int) -> StoredToken | None:
        with self._database.read() as connection:
            row = connection.execute(_TOKEN.where(api_tokens.c.id == token_id)).first()
        return _as_token(row) if row else None

    def all(self, person_id: int | None = None) -> list[StoredToken]:
        """Return the tokens of a person, or everybody's, the newest first."""
        query = _TOKEN.order_by(api_tokens.c.id.desc())
        if person_id is not None:
            query = query.where(api_tokens.c.person_id == person_id)
        with self._database.read() as connection:
            return [_as_token(row) for row in connection.execute(query)]

    def insert(self, **values: Any) -> StoredToken:
        with self._database.write() as connection:
            row = connection.execute(api_tokens.insert().values(**values).returning(*_TOKEN.selected_columns)).one()
        return _as_token(row)

    def revoke(self, token_id: int, now: float, ended: Revocation) -> bool:
        """Mark a token as revoked, and tell the other nodes; return False if it was already, or does not exist."""
        query = api_tokens.update().where(api_tokens.c.id == token_id, api_tokens.c.revoked_at.is_(None))
        with self._database.write() as connection:
            revoked = connection.execute(query.values(revoked_at=now)).rowcount > 0
            if revoked:
                record_revocations(self._database, connection, [ended])
            return revoked

    def write_last_used(self, times: Mapping[int, float]) -> None:
        """Record when tokens were last used."""
        _write_times(self._database, api_tokens, api_tokens.c.last_used, times)


_SESSION = sa.select(
    sessions.c.id,
    sessions.c.sha256,
    sessions.c.person_id,
    sessions.c.created_at,
    sessions.c.last_seen,
    sessions.c.device,
    sessions.c.address,
    sessions.c.way,
)
_TOKEN = sa.select(
    api_tokens.c.id,
    api_tokens.c.sha256,
    api_tokens.c.person_id,
    api_tokens.c.name,
    api_tokens.c.last_four,
    api_tokens.c.scopes,
    api_tokens.c.created_at,
    api_tokens.c.expires,
    api_tokens.c.last_used,
    api_tokens.c.revoked_at,
)


def _write_times(database: Database, table: sa.Table, column: sa.Column[Any], times: Mapping[int, float]) -> None:
    if not times:
        return
    # Another node may have seen it later.
    later = sa.or_(column.is_(None), column < sa.bindparam("time"))
    statement = table.update().where(table.c.id == sa.bindparam("row"), later).values({column: sa.bindparam("time")})
    with database.write() as connection:
        connection.execute(statement, [{"row": row, "time": time} for row, time in times.items()])


def _as_session(row: Sequence[Any]) -> StoredSession:
    return StoredSession(*row)


def _as_token(row: Sequence[Any]) -> StoredToken:
    return StoredToken(*row)
