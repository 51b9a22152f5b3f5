"""Brings a copy of a database up to date, an SQLite file: its rows become those of one state of the original.

Rows that are equal stay where they are in the file, so that a file which was brought up to date differs from what it
was in a few places: whoever stores it in parts stores little anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from services.core.database.database import Database
from services.core.database.transfer import (
    ROWS,
    among,
    batches,
    bound,
    count_of,
    highest_id,
    key_of,
    rows_of,
    set_highest_id,
    stored_table,
)
from services.core.errors import DamagedError
from services.core.i18n import _

_BYTES_A_VALUE = 8
# All tables of the schema, with what belongs to them: rows may take more room in SQLite, words take none in the copy.
_SIZE = (
    "SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class"
    " WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
)


def server_bytes(database: Database) -> int:
    """Return about how many bytes the tables of a PostgreSQL schema have."""
    with database.read() as connection:
        return int(connection.exec_driver_sql(_SIZE).scalar() or 0)


def mirror_tables(source: Database, copy: Database, step: Callable[[int], None]) -> int:
    """Make the rows of `copy` those of `source`, as of one moment; return how many were written or deleted.

    Args:
        source: others may write to it meanwhile.
        copy: an SQLite database with the same tables; nobody else uses it.
        step: called again and again with how many bytes were compared since; what it raises ends the work, and the
            next one goes on from what is there.

    Raises:
        DamagedError: the copy has other rows afterwards than the original.
        MillpondError: either cannot be read or written.
    """
    changed = 0
    with source.reading():
        for table in source.tables:
            stored = stored_table(table)
            changed += _write_rows(source, copy, stored, step)
            if count_of(copy, stored) != count_of(source, stored):
                changed += _delete_rows(source, copy, stored, step)
            if count_of(copy, stored) != count_of(source, stored):
                raise DamagedError(
                    _("The copy of the table {name} differs from the original, which is as it was.").format(
                        name=table.name
                    ),
                    _("Try again; if it stays so, report it with the log."),
                )
            _count_on(source, copy, table)
    return changed


def make_standalone(copy: Database) -> None:
    """Have the file of a copy stand alone, without a log beside it; it has no open connection but that of its pool."""
    with copy.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        connection.exec_driver_sql("PRAGMA journal_mode=DELETE").fetchall()


def _write_rows(source: Database, copy: Database, table: sa.Table, step: Callable[[int], None]) -> int:
    """Write the rows that the copy does not have so."""
    # A row in the way, with a value that must be unique, is one that has it no more: it is replaced, and comes again
    # with its own key if there still is one.
    insert = table.insert().prefix_with("OR REPLACE")
    written = 0
    for rows in batches(source, table, None):
        keys = [key_of(table, row) for row in rows]
        with copy.read() as connection:
            found = connection.execute(rows_of(table, connection).where(among(table, keys))).all()
        there = {tuple(key_of(table, row)): _values(row) for row in found}
        size, new = 0, []
        for key, row in zip(keys, rows, strict=True):
            values = _values(row)
            size += sum(len(value) if isinstance(value, str | bytes) else _BYTES_A_VALUE for value in values)
            if there.get(tuple(key)) != values:
                new.append(row._asdict())
        if new:
            with copy.write() as connection:
                # As a row may come before the one that it refers to, and nothing may be deleted with another.
                connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
                connection.execute(insert, new)
            written += len(new)
        step(size)
    return written


def _delete_rows(source: Database, copy: Database, table: sa.Table, step: Callable[[int], None]) -> int:
    """Delete the rows that the source does not have."""
    key = list(table.primary_key.columns)
    deleted = 0
    for keys in _keys(copy, table):
        with source.read() as connection:
            left = {tuple(row) for row in connection.execute(sa.select(*key).where(among(table, keys)))}
        gone = [each for each in keys if each not in left]
        if gone:
            with copy.write() as connection:
                connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
                connection.execute(table.delete().where(among(table, gone)))
            deleted += len(gone)
        step(len(keys) * _BYTES_A_VALUE)
    return deleted


def _keys(database: Database, table: sa.Table) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the keys of a table, some at a time; those that were yielded may be deleted."""
    key = list(table.primary_key.columns)
    last: Sequence[Any] | None = None
    while True:
        query = sa.select(*key).order_by(*key).limit(ROWS)
        if last is not None:
            query = query.where(sa.tuple_(*key) > sa.tuple_(*map(bound, last, key)))
        with database.read() as connection:
            found = [tuple(row) for row in connection.execute(query)]
        if found:
            yield found
            last = found[-1]
        if len(found) < ROWS:
            return


def _values(row: Row[Any]) -> tuple[Any, ...]:
    return tuple(bytes(value) if isinstance(value, memoryview) else value for value in row)


def _count_on(source: Database, copy: Database, table: sa.Table) -> None:
    """Have the copy give no id again that was ever given."""
    with source.read() as connection:
        highest = highest_id(connection, table)
    with copy.read() as connection:
        there = highest_id(connection, table)
    if highest != there:
        with copy.write() as connection:
            set_highest_id(connection, table, highest)
