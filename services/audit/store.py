"""Tables of the audit log: `audit` with the records, `audit_heads` with the signed statements. Rows are only added.

But for two exceptions, of which the log itself says what they did: names of deleted documents are erased, and retention
removes the oldest records.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, fields, replace
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from services.audit.chain import GENESIS, AuditHead, AuditRecord, HeadKind, record_hash
from services.core.database import WHOLE, Database, metadata
from services.core.errors import StorageError
from services.core.i18n import _

_PAGE = 2000  # records that are read at once
_MOST_IDS = 500  # in one statement
_COLUMNS = tuple(field.name for field in fields(AuditRecord))

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("seq", WHOLE, primary_key=True, autoincrement=False),
    sa.Column("time", sa.BigInteger, nullable=False, index=True),  # microseconds since 1970, UTC
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("person", sa.String(64), nullable=False),
    sa.Column("role", sa.String(32), nullable=False),
    sa.Column("way", sa.String(16), nullable=False),
    sa.Column("token", sa.String(200), nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
    sa.Column("action", sa.String(40), nullable=False),
    sa.Column("target_kind", sa.String(32), nullable=False),
    sa.Column("target_id", sa.String(200), nullable=False),
    sa.Column("target_name", sa.Text),
    sa.Column("salt", sa.String(32)),
    sa.Column("name_hash", sa.String(64), nullable=False),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("request_id", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Index("ix_audit_target", "target_kind", "target_id"),
)

heads = sa.Table(
    "audit_heads",
    metadata,
    sa.Column("number", WHOLE, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("time", sa.BigInteger, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False, index=True),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("first", sa.BigInteger, nullable=False),
    sa.Column("heads_removed", sa.BigInteger, nullable=False),
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("key", sa.String(64), nullable=False),
    sa.Column("signature", sa.String(128), nullable=False),
)


class Readable(Protocol):
    """A database that can be read: the service's own, or one that another process has open."""

    def read(self) -> AbstractContextManager[Connection]:
        """Yield a connection that sees one consistent state."""


@dataclass(frozen=True, slots=True)
class AuditFilters:
    """Which records: empty fields match all. `since` and `until` in microseconds since 1970, UTC.

    `actor` is a part of the name, `target` a part of its name, or its kind and id as in `document 12`.
    """

    actor: str = ""
    actions: tuple[str, ...] = ()
    target: str = ""
    outcomes: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """Return them as SQL."""
        found: list[sa.ColumnElement[bool]] = []
        if self.actor:
            found.append(audit.c.actor.icontains(self.actor, autoescape=True))
        if self.actions:
            found.append(audit.c.action.in_(self.actions))
        if self.outcomes:
            found.append(audit.c.outcome.in_(self.outcomes))
        if self.target:
            kind, _space, number = self.target.partition(" ")
            found.append(
                sa.or_(
                    audit.c.target_name.icontains(self.target, autoescape=True),
                    audit.c.target_kind == self.target,
                    sa.and_(audit.c.target_kind == kind, audit.c.target_id == number),
                )
            )
        if self.since is not None:
            found.append(audit.c.time >= self.since)
        if self.until is not None:
            found.append(audit.c.time < self.until)
        return found


@dataclass(frozen=True, slots=True)
class Position:
    """The last record: its number and hash; of an empty log (0, GENESIS)."""

    seq: int = 0
    hash: str = GENESIS


@dataclass(frozen=True, slots=True)
class StoredState:
    """Where the chain ends, the newest signed statement, and how many records there are."""

    position: Position
    head: AuditHead | None
    records: int


@contextmanager
def writing(database: Database) -> Iterator[Connection]:
    """Yield a connection in a transaction.

    Raises:
        StorageError: nothing of it could be written.
    """
    try:
        with database.write() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise StorageError(_("The audit log could not be written.")) from error


def append(connection: Connection, records: Sequence[AuditRecord]) -> Position:
    """Add records to the end of the chain, which numbers them; within a transaction that keeps other writers out."""
    position = last_position(connection)
    rows = []
    for record in records:
        numbered = replace(record, seq=position.seq + 1)
        position = Position(numbered.seq, record_hash(numbered, position.hash))
        rows.append({name: getattr(numbered, name) for name in _COLUMNS} | {"hash": position.hash})
    connection.execute(audit.insert(), rows)
    return position


def last_position(connection: Connection) -> Position:
    """Return where the chain ends."""
    row = connection.execute(sa.select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)).first()
    if row is not None:
        return Position(row.seq, row.hash)
    removal = last_head(connection, HeadKind.REMOVAL)
    return Position() if removal is None else Position(removal.seq, removal.hash)


def last_head(connection: Connection, kind: HeadKind | None = None) -> AuditHead | None:
    """Return the newest signed statement, of one kind or of any."""
    query = sa.select(heads).order_by(heads.c.number.desc()).limit(1)
    if kind is not None:
        query = query.where(heads.c.kind == kind.value)
    row = connection.execute(query).mappings().first()
    return None if row is None else AuditHead(**row)


def add_head(connection: Connection, head: AuditHead) -> None:
    """Store a signed statement."""
    connection.execute(heads.insert().values(**asdict(head)))


def head_before(connection: Connection, time: int) -> AuditHead | None:
    """Return the newest head up to whose record all records are older than `time`; None: there is none to remove."""
    first_kept = connection.scalar(sa.select(sa.func.min(audit.c.seq)).where(audit.c.time >= time))
    query = sa.select(heads).where(heads.c.kind == HeadKind.HEAD.value).order_by(heads.c.seq.desc()).limit(1)
    if first_kept is not None:
        query = query.where(heads.c.seq < first_kept)
    row = connection.execute(query).mappings().first()
    return None if row is None else AuditHead(**row)


def first_seq(connection: Connection) -> int | None:
    """Return the number of the oldest record, None in an empty log."""
    found: int | None = connection.scalar(sa.select(sa.func.min(audit.c.seq)))
    return found


def removable(connection: Connection, time: int) -> tuple[AuditHead, int] | None:
    """Return the head up to which records older than `time` can be removed, and the number of the first of them."""
    anchor, first = head_before(connection, time), first_seq(connection)
    return None if anchor is None or first is None or anchor.seq < first else (anchor, first)


def remove_until(connection: Connection, head: AuditHead) -> None:
    """Delete the records up to the one of a head, and the heads up to it."""
    connection.execute(audit.delete().where(audit.c.seq <= head.seq))
    connection.execute(heads.delete().where(heads.c.number <= head.number))


def named_ids(connection: Connection, kind: str) -> list[str]:
    """Return the ids of targets of a kind whose names are in records."""
    query = sa.select(audit.c.target_id).where(audit.c.target_kind == kind, audit.c.target_name.is_not(None))
    return list(connection.scalars(query.distinct()))


def named(connection: Connection, kind: str, ids: Sequence[str]) -> list[int]:
    """Return the numbers of the records that have the name of a target of this kind, by the targets' ids; in order."""
    found: list[int] = []
    for at in range(0, len(ids), _MOST_IDS):
        query = sa.select(audit.c.seq).where(
            audit.c.target_kind == kind,
            audit.c.target_id.in_(ids[at : at + _MOST_IDS]),
            audit.c.target_name.is_not(None),
        )
        found += connection.scalars(query)
    return sorted(found)


def erase_names(connection: Connection, numbers: Sequence[int]) -> None:
    """Erase the names of targets in records."""
    for at in range(0, len(numbers), _MOST_IDS):
        some = audit.c.seq.in_(numbers[at : at + _MOST_IDS])
        connection.execute(audit.update().where(some).values(target_name=None, salt=None))


class AuditStore:
    """Reads the audit log."""

    def __init__(self, database: Readable) -> None:
        self._database = database

    def page(self, filters: AuditFilters, before: int | None, limit: int) -> list[AuditRecord]:
        """Return the newest `limit` records that match, of those before number `before`; newest first."""
        query = sa.select(audit).where(*filters.conditions()).order_by(audit.c.seq.desc()).limit(limit)
        if before is not None:
            query = query.where(audit.c.seq < before)
        with self._database.read() as connection:
            return [AuditRecord(**row) for row in connection.execute(query).mappings()]

    def count(self, filters: AuditFilters) -> int:
        """Return how many records match."""
        query = sa.select(sa.func.count()).select_from(audit).where(*filters.conditions())
        with self._database.read() as connection:
            return int(connection.scalar(query) or 0)

    def records(self, filters: AuditFilters | None = None, *, after: int = 0) -> Iterator[AuditRecord]:
        """Yield all records that match, oldest first, in portions: one long read would keep deleted text in the log."""
        conditions = (filters or AuditFilters()).conditions()
        while True:
            query = sa.select(audit).where(audit.c.seq > after, *conditions).order_by(audit.c.seq).limit(_PAGE)
            with self._database.read() as connection:
                rows = [AuditRecord(**row) for row in connection.execute(query).mappings()]
            yield from rows
            if len(rows) < _PAGE:
                return
            after = rows[-1].seq

    def heads(self, *, after: int = 0) -> Iterator[AuditHead]:
        """Yield all signed statements, oldest first."""
        while True:
            query = sa.select(heads).where(heads.c.number > after).order_by(heads.c.number).limit(_PAGE)
            with self._database.read() as connection:
                rows = [AuditHead(**row) for row in connection.execute(query).mappings()]
            yield from rows
            if len(rows) < _PAGE:
                return
            after = rows[-1].number

    def last_removal(self) -> AuditHead | None:
        """Return the newest statement of what retention has removed."""
        with self._database.read() as connection:
            return last_head(connection, HeadKind.REMOVAL)

    def state(self) -> StoredState:
        """Return how far the log goes."""
        with self._database.read() as connection:
            position, first = last_position(connection), first_seq(connection)
            # The numbers have no gaps: counting millions of rows would take a second.
            count = 0 if first is None else position.seq - first + 1
            return StoredState(position, last_head(connection), count)

    def has_tables(self) -> bool:
        """Whether there is an audit log in the database."""
        with self._database.read() as connection:
            return sa.inspect(connection).has_table(audit.name)
