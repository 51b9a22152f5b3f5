"""Copies the rows of one database into another of the same schema, of either kind: resumable, compared row by row.

Values go over as they are stored: no type interprets them on the way. Each batch is a transaction with a note of how
far it came, so that a copy which was interrupted goes on from there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row
from sqlalchemy.types import NullType, TypeDecorator

from services.core.database.database import Database
from services.core.errors import ConflictError, DamagedError
from services.core.i18n import _

ROWS = 500
Progress = Callable[[str, int, int], None]
"""Called with a table's name, how many of its rows are through, and how many it has."""

_notes = sa.MetaData()
_transfer = sa.Table(
    "transfer",
    _notes,
    sa.Column("name", sa.String(100), primary_key=True),
    sa.Column("last_key", sa.Text, nullable=False),  # the key of the last row, as a JSON list
    sa.Column("rows", sa.BigInteger, nullable=False),
)


def same_database(one: str, other: str) -> bool:
    """Return whether two URLs name the same database."""
    return sa.make_url(one) == sa.make_url(other)


def copy_tables(source: Database, target: Database, progress: Progress) -> None:
    """Copy all rows, parents first; the target's tables are empty, or as an interrupted copy has left them.

    Raises:
        ConflictError: the target has rows that no copy has put there; nothing was changed.
    """
    _begin(target, source.tables)
    for table in source.tables:
        stored = stored_table(table)
        total, (last, done) = count_of(source, stored), _noted(target, table.name)
        for rows in batches(source, stored, last):
            with target.write() as connection:
                connection.execute(stored.insert(), [row._asdict() for row in rows])
                done += len(rows)
                _note(connection, table.name, key_of(stored, rows[-1]), done)
            progress(table.name, done, total)
        with source.read() as connection:
            highest = highest_id(connection, table)
        with target.write() as connection:
            set_highest_id(connection, table, highest)


def compare_tables(source: Database, target: Database, progress: Progress) -> dict[str, int]:
    """Compare every row; return how many each table has.

    Raises:
        DamagedError: some are missing, others, or too many.
    """
    compared = {}
    for table in source.tables:
        stored, done = stored_table(table), 0
        total, there = count_of(source, stored), count_of(target, stored)
        for rows in batches(source, stored, None):
            keys = [key_of(stored, row) for row in rows]
            with target.read() as connection:
                copies = connection.execute(rows_of(stored, connection).where(among(stored, keys))).all()
            if sorted(map(_comparable, rows)) != sorted(map(_comparable, copies)):
                raise _differs(table.name)
            done += len(rows)
            progress(table.name, done, total)
        if done != total or there != total:
            raise _differs(table.name)
        compared[table.name] = done
    return compared


def end_transfer(target: Database) -> None:
    """Forget how far the copy came: it is complete."""
    with target.write() as connection:
        _transfer.drop(connection, checkfirst=True)


def require_empty(target: Database) -> None:
    """Return if a database has no rows, or those that a copy which was interrupted has put there.

    Raises:
        ConflictError: it has others.
    """
    with target.read() as connection:
        _require_empty(connection, target.tables)


def _begin(target: Database, tables: Sequence[sa.Table]) -> None:
    with target.write() as connection:
        _require_empty(connection, tables)
        _transfer.create(connection, checkfirst=True)


def _require_empty(connection: Connection, tables: Sequence[sa.Table]) -> None:
    if sa.inspect(connection).has_table(_transfer.name):
        return
    for table in tables:
        if connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first() is not None:
            raise ConflictError(
                _("The database that is to be copied into has data of its own; nothing was changed."),
                _("Name an empty database or schema."),
            )


def stored_table(table: sa.Table) -> sa.Table:
    """Return the table with the types that the databases store."""
    columns = [sa.Column(column.name, _plain(column.type), primary_key=column.primary_key) for column in table.columns]
    return sa.Table(table.name, sa.MetaData(), *columns)


def _plain(kind: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
    if isinstance(kind, TypeDecorator):
        return _plain(kind.impl_instance)
    return NullType() if isinstance(kind, sa.JSON) else kind  # a text that either database takes as it is


def rows_of(table: sa.Table, connection: Connection) -> sa.Select[Any]:
    """Return the query for all columns; PostgreSQL's driver would decode JSON."""
    plain = connection.dialect.name == "sqlite"
    return sa.select(
        *(
            column if plain or not isinstance(column.type, NullType) else sa.cast(column, sa.Text).label(column.name)
            for column in table.columns
        )
    )


def batches(database: Database, table: sa.Table, last: list[Any] | None) -> Iterator[Sequence[Row[Any]]]:
    """Yield the rows of a stored table behind a key in the order of their keys, `ROWS` at a time."""
    key = list(table.primary_key.columns)
    while True:
        with database.read() as connection:
            query = rows_of(table, connection).order_by(*key).limit(ROWS)
            if last is not None:
                query = query.where(sa.tuple_(*key) > sa.tuple_(*map(bound, last, key)))
            rows = connection.execute(query).all()
        if rows:
            yield rows
            last = key_of(table, rows[-1])
        if len(rows) < ROWS:
            return


def bound(value: Any, column: sa.Column[Any]) -> sa.BindParameter[Any]:
    """Return a value as one of a column."""
    return sa.bindparam(None, value, type_=column.type)


def among(table: sa.Table, keys: Sequence[Sequence[Any]]) -> sa.ColumnElement[bool]:
    """Return the condition for the rows with these keys."""
    key = list(table.primary_key.columns)
    if len(key) == 1:
        return key[0].in_([value for (value,) in keys])
    return sa.tuple_(*key).in_([tuple(each) for each in keys])


def key_of(table: sa.Table, row: Row[Any]) -> list[Any]:
    """Return the values of the primary key."""
    return [getattr(row, column.name) for column in table.primary_key.columns]


def _comparable(row: Row[Any]) -> str:
    return repr([bytes(value) if isinstance(value, memoryview) else value for value in row])


def count_of(database: Database, table: sa.Table) -> int:
    """Return how many rows a table has."""
    with database.read() as connection:
        return int(connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0)


def _noted(target: Database, name: str) -> tuple[list[Any] | None, int]:
    """Return the last key that was copied, None before the first, and how many rows were."""
    query = sa.select(_transfer.c.last_key, _transfer.c.rows).where(_transfer.c.name == name)
    with target.read() as connection:
        found = connection.execute(query).one_or_none()
    return (None, 0) if found is None else (json.loads(found.last_key), int(found.rows))


def _note(connection: Connection, name: str, key: list[Any], rows: int) -> None:
    connection.execute(_transfer.delete().where(_transfer.c.name == name))
    connection.execute(_transfer.insert().values(name=name, last_key=json.dumps(key), rows=rows))


def _numbered(table: sa.Table) -> str:
    """Return the column whose values the database counts up, empty for none."""
    column = table.autoincrement_column
    return column.name if column is not None and isinstance(column.type, sa.Integer) else ""


def highest_id(connection: Connection, table: sa.Table) -> int:
    """Return the highest id that was ever given, 0 for none: those of deleted rows are never given again."""
    name = _numbered(table)
    if not name:
        return 0
    if connection.dialect.name == "sqlite":
        if not table.dialect_options["sqlite"]["autoincrement"]:
            return int(connection.scalar(sa.select(sa.func.max(table.c[name]))) or 0)
        query = sa.text("SELECT seq FROM sqlite_sequence WHERE name = :table")
        return int(connection.scalar(query, {"table": table.name}) or 0)
    sequence = connection.scalar(sa.func.pg_get_serial_sequence(table.name, name))
    if sequence is None:
        return 0
    last, called = connection.execute(sa.text(f"SELECT last_value, is_called FROM {sequence}")).one()  # noqa: S608 - the database's own name
    return int(last) if called else 0


def set_highest_id(connection: Connection, table: sa.Table, highest: int) -> None:
    """Have the database count on behind `highest`; 0: nothing is changed."""
    name = _numbered(table)
    if not name or not highest:
        return
    if connection.dialect.name == "sqlite":
        if table.dialect_options["sqlite"]["autoincrement"]:
            values = {"table": table.name, "highest": highest}
            connection.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = :table"), values)
            connection.execute(sa.text("INSERT INTO sqlite_sequence(name, seq) VALUES (:table, :highest)"), values)
        return
    sequence = sa.func.pg_get_serial_sequence(table.name, name)
    connection.execute(sa.select(sa.func.setval(sequence, highest)))


def _differs(name: str) -> DamagedError:
    return DamagedError(
        _("The copy of the table {name} differs from the original, which is as it was.").format(name=name),
        _("End what else writes to either database, empty the copy, and begin anew."),
    )
