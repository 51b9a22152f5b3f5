"""PostgreSQL's extension pgvector: whether a database has it, and where its types are.

It is installed once for a database, in any schema; names of its types and operators are written with that schema, as
the search path is that of the pond alone.
"""

from __future__ import annotations

from sqlalchemy.exc import DatabaseError

from services.core.database import Database
from services.core.errors import BadInputError
from services.core.i18n import _

# Iterative scans, without which a search in few collections of many would find too little
# (https://github.com/pgvector/pgvector/blob/master/CHANGELOG.md).
LEAST_VERSION = (0, 8)
MOST_DIMENSIONS = 4000  # of an index of halfvec
_INSTALLED = (
    "SELECT nspname, extversion FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace"
    " WHERE extname = 'vector'"
)
_AVAILABLE = "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"
_HAS_PUBLIC = "SELECT has_schema_privilege('public', 'CREATE') FROM pg_namespace WHERE nspname = 'public'"


def require_pgvector(database: Database) -> str:
    """Return the schema that has pgvector's types, quoted; the extension is installed where that is possible.

    Raises:
        BadInputError: the database is not PostgreSQL, has no pgvector that this account may install, or an old one.
    """
    if not database.shared:
        raise BadInputError(
            _("MILLPOND_VECTOR_SEARCH=database needs PostgreSQL, and this pond is in SQLite; nothing was changed."),
            _("Leave it at node, or move the pond first: see docs/postgresql.md."),
        )
    found = _installed(database)
    if found is None:
        _install(database)
        found = _installed(database)
    schema, version = found or ("", "0")
    if _numbers(version) < LEAST_VERSION:
        raise BadInputError(
            _("MILLPOND_VECTOR_SEARCH=database needs pgvector 0.8, the database has {version}.").format(
                version=version
            ),
            _("Have its administrator run ALTER EXTENSION vector UPDATE, or set it to node."),
        )
    return '"' + schema.replace('"', '""') + '"'


def _installed(database: Database) -> tuple[str, str] | None:
    with database.read() as connection:
        row = connection.exec_driver_sql(_INSTALLED).one_or_none()
    return None if row is None else (str(row[0]), str(row[1]))


def _install(database: Database) -> None:
    with database.read() as connection:
        available = connection.exec_driver_sql(_AVAILABLE).scalar()
        public = connection.exec_driver_sql(_HAS_PUBLIC).scalar()
    if not available:
        raise BadInputError(
            _("MILLPOND_VECTOR_SEARCH=database needs the extension pgvector, which this PostgreSQL server lacks."),
            _("Install pgvector 0.8 or newer on the server, or set it to node."),
        )
    try:
        with database.write() as connection:
            connection.exec_driver_sql(
                "CREATE EXTENSION IF NOT EXISTS vector" + (" WITH SCHEMA public" if public else "")
            )
    except DatabaseError as error:
        raise BadInputError(
            _("The extension vector (pgvector) is not installed in the database, and this account may not do it."),
            _("Have its administrator run CREATE EXTENSION vector; in that database, or set it to node."),
        ) from error


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
