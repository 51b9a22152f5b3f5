"""Which revision the schema of the main database has: one row, which a start compares with the newest one known here.

The scripts that lead from one revision to the next are in `services.core.migrations`; this module needs no Alembic. The
table with the revision is Alembic's own (https://alembic.sqlalchemy.org), `schema_history` beside it says which version
of Millpond brought the database to a revision and when, so that an older one can name it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError, ProgrammingError

# Oldest first; a new revision is added at the end. `tests/core/test_migrations.py` holds this against the scripts.
REVISIONS = (
    "0001_baseline",
    "0002_owners",
    "0003_audit",
    "0004_identity",
    "0005_usage",
    "0006_recognition",
    "0007_embedding_models",
    "0008_feedback_reasons",
    "0009_nodes",
)
HEAD = REVISIONS[-1]

bookkeeping = sa.MetaData()
# As Alembic makes it.
alembic_version = sa.Table(
    "alembic_version",
    bookkeeping,
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
schema_history = sa.Table(
    "schema_history",
    bookkeeping,
    sa.Column("revision", sa.String(32), primary_key=True),
    sa.Column("version", sa.String(50), nullable=False),  # of Millpond; empty: not installed
    sa.Column("applied_at", sa.Float, nullable=False),  # seconds since 1970, UTC
)


@dataclass(frozen=True, slots=True)
class SchemaState:
    """The revision of a database; empty: none is recorded. `has_tables`: it is not a new one."""

    revision: str
    has_tables: bool

    @property
    def known(self) -> bool:
        """Whether this version can use or upgrade it."""
        return not self.revision or self.revision in REVISIONS


def schema_state(connection: Connection) -> SchemaState:
    """Return the revision that is recorded in the database; one SELECT where one is."""
    try:
        revision = connection.scalar(sa.select(alembic_version.c.version_num))
    except (OperationalError, ProgrammingError):
        connection.rollback()
        inspector = sa.inspect(connection)
        if inspector.has_table(alembic_version.name):
            raise
        return SchemaState("", has_tables=bool(inspector.get_table_names()))
    return SchemaState(str(revision or ""), has_tables=True)


def record_created(connection: Connection) -> None:
    """Record that all tables were created as this version has them, unless a revision is recorded already."""
    bookkeeping.create_all(connection)
    if connection.scalar(sa.select(alembic_version.c.version_num)) is None:
        connection.execute(alembic_version.insert().values(version_num=HEAD))
        record_writer(connection, HEAD)


def record_writer(connection: Connection, revision: str) -> None:
    """Record that this version of Millpond has brought the database to a revision, now."""
    schema_history.create(connection, checkfirst=True)
    connection.execute(schema_history.delete().where(schema_history.c.revision == revision))
    connection.execute(
        schema_history.insert().values(revision=revision, version=this_version(), applied_at=time.time())
    )


def writer_of(connection: Connection, revision: str) -> str:
    """Return the version of Millpond that brought the database to a revision; empty where that is not known."""
    if not sa.inspect(connection).has_table(schema_history.name):
        return ""
    found = connection.scalar(sa.select(schema_history.c.version).where(schema_history.c.revision == revision))
    return str(found or "")


def this_version() -> str:
    """Return the version of Millpond that runs; empty where it was not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("millpond")
    except PackageNotFoundError:
        return ""
