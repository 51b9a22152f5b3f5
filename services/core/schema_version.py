"""Which revision the schema of the main database has: one row, which a start compares with the newest one known here.

The scripts that lead from one revision to the next are in `services.core.migrations`; this module needs no Alembic. The
table with the revision is Alembic's own (https://alembic.sqlalchemy.org), `schema_history` beside it says which version
of Millpond brought the database to a revision and when, so that an older one can name it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

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
    "0010_rolling_upgrade",
)
HEAD = REVISIONS[-1]
# The oldest revision whose version can still work on a database of the newest one, beside a node of this version. What
# only expands the schema leaves it at the newest revision of the release before; what contracts it raises it.
OLDEST_AT_WORK = "0009_nodes"

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
# One row: down to which revision nodes may work on a database that has this one.
schema_compatibility = sa.Table(
    "schema_compatibility",
    bookkeeping,
    sa.Column("revision", sa.String(32), primary_key=True),
    sa.Column("oldest_at_work", sa.String(32), nullable=False),
)


@dataclass(frozen=True, slots=True)
class SchemaState:
    """The revision of a database; empty: none is recorded. `has_tables`: it is not a new one.

    `oldest_at_work` is down to which revision nodes may work on it, empty where its writer did not say.
    """

    revision: str
    has_tables: bool
    oldest_at_work: str = ""

    @property
    def known(self) -> bool:
        """Whether this version can use or upgrade it."""
        return not self.revision or self.revision in REVISIONS

    @property
    def is_ahead(self) -> bool:
        """Whether a newer version has written it, and has said that nodes of this one go on beside its own."""
        return not self.known and self.oldest_at_work in REVISIONS


def schema_state(connection: Connection) -> SchemaState:
    """Return the revision that is recorded in the database; one SELECT where one is that this version knows."""
    try:
        revision = connection.scalar(sa.select(alembic_version.c.version_num))
    except (OperationalError, ProgrammingError):
        connection.rollback()
        inspector = sa.inspect(connection)
        if inspector.has_table(alembic_version.name):
            raise
        return SchemaState("", has_tables=bool(inspector.get_table_names()))
    state = SchemaState(str(revision or ""), has_tables=True)
    return state if state.known else replace(state, oldest_at_work=_oldest_at_work(connection, state.revision))


def record_created(connection: Connection) -> None:
    """Record that all tables were created as this version has them, unless a revision is recorded already."""
    bookkeeping.create_all(connection)
    if connection.scalar(sa.select(alembic_version.c.version_num)) is None:
        connection.execute(alembic_version.insert().values(version_num=HEAD))
        record_writer(connection, HEAD)
        record_compatibility(connection)


def record_writer(connection: Connection, revision: str) -> None:
    """Record that this version of Millpond has brought the database to a revision, now."""
    schema_history.create(connection, checkfirst=True)
    connection.execute(schema_history.delete().where(schema_history.c.revision == revision))
    connection.execute(
        schema_history.insert().values(revision=revision, version=this_version(), applied_at=time.time())
    )


def record_compatibility(connection: Connection) -> None:
    """Record down to which revision nodes may work on a database of the newest one."""
    schema_compatibility.create(connection, checkfirst=True)
    connection.execute(schema_compatibility.delete())
    connection.execute(schema_compatibility.insert().values(revision=HEAD, oldest_at_work=OLDEST_AT_WORK))


def _oldest_at_work(connection: Connection, revision: str) -> str:
    if not sa.inspect(connection).has_table(schema_compatibility.name):
        return ""
    query = sa.select(schema_compatibility.c.oldest_at_work).where(schema_compatibility.c.revision == revision)
    return str(connection.scalar(query) or "")


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
