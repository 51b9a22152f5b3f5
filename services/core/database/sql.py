"""What SQLite and PostgreSQL write differently, as expressions of SQLAlchemy that are compiled for either."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction


class joined(GenericFunction[str]):  # noqa: N801 - a function of SQL
    """All values of a group in one text, with a separator; NULL for none."""

    type = sa.Text()
    inherit_cache = True

    def __init__(self, value: sa.ColumnElement[Any], separator: str = ",") -> None:
        super().__init__(value, sa.literal(separator))


@compiles(joined, "sqlite")
def _joined_in_sqlite(element: joined, compiler: SQLCompiler, **kwargs: Any) -> str:
    return f"group_concat({compiler.process(element.clauses, **kwargs)})"


@compiles(joined, "postgresql")
def _joined_in_postgres(element: joined, compiler: SQLCompiler, **kwargs: Any) -> str:
    value, separator = element.clauses
    return f"string_agg(CAST({compiler.process(value, **kwargs)} AS text), {compiler.process(separator, **kwargs)})"


class listed_numbers(GenericFunction[int]):  # noqa: N801 - a function of SQL
    """The whole numbers of a text that has them with commas between, as rows of one column."""

    inherit_cache = True


@compiles(listed_numbers, "sqlite")
def _numbers_in_sqlite(element: listed_numbers, compiler: SQLCompiler, **kwargs: Any) -> str:
    # https://www.sqlite.org/json1.html#jeach
    return f"(SELECT value FROM json_each('[' || {compiler.process(element.clauses, **kwargs)} || ']'))"  # noqa: S608 - what SQLAlchemy has compiled


@compiles(listed_numbers, "postgresql")
def _numbers_in_postgres(element: listed_numbers, compiler: SQLCompiler, **kwargs: Any) -> str:
    text = compiler.process(element.clauses, **kwargs)
    return f"(SELECT CAST(number AS bigint) FROM unnest(string_to_array(nullif({text}, ''), ',')) AS number)"  # noqa: S608 - as above


class place_of(GenericFunction[int]):  # noqa: N801 - as above
    """Where a text begins in another one, counted from 1; 0: nowhere. `place_of(text, part)`."""

    type = sa.Integer()
    inherit_cache = True


@compiles(place_of, "sqlite")
def _place_in_sqlite(element: place_of, compiler: SQLCompiler, **kwargs: Any) -> str:
    return f"instr({compiler.process(element.clauses, **kwargs)})"


@compiles(place_of, "postgresql")
def _place_in_postgres(element: place_of, compiler: SQLCompiler, **kwargs: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **kwargs)})"


def insert_or_add(connection: Connection, table: sa.TableClause, key: Iterable[str], sums: Iterable[str]) -> sa.Insert:
    """Return an INSERT that, where there is a row with that key, adds the values of the columns `sums` to its own.

    https://www.sqlite.org/lang_upsert.html, https://www.postgresql.org/docs/18/sql-insert.html.
    """
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        into = postgresql.insert(table)
        added = {name: table.c[name] + into.excluded[name] for name in sums}
        return into.on_conflict_do_update(index_elements=list(key), set_=added)
    from sqlalchemy.dialects import sqlite

    other = sqlite.insert(table)
    added = {name: table.c[name] + other.excluded[name] for name in sums}
    return other.on_conflict_do_update(index_elements=list(key), set_=added)
