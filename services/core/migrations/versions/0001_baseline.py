"""The schema before there were migrations.

Databases of that time have these tables, or those of an earlier version among them, without a recorded revision: what
is missing of tables, columns and indexes is made, what is there stays. This is a copy of what the modules declared
then; it never changes.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.engine import Connection

revision = "0001_baseline"
down_revision = None
branch_labels = None
depends_on = None

_schema = sa.MetaData()

_preferences = sa.Table(
    "preferences",
    _schema,
    sa.Column("key", sa.String(200), primary_key=True),
    sa.Column("value", sa.JSON, nullable=False),
)

_events = sa.Table(
    "events",
    _schema,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("time", sa.Float, nullable=False, index=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("figures", sa.JSON, nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
)

_conversations = sa.Table(
    "conversations",
    _schema,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("updated_at", sa.Float, nullable=False, index=True),
    sa.Column("history_turns", sa.Integer, nullable=False),
    sa.Column("collection_ids", sa.JSON, nullable=False),
)

_messages = sa.Table(
    "messages",
    _schema,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("conversation_id", sa.String(32), sa.ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("citations", sa.Text, nullable=False),
    sa.Column("cost", sa.Text, nullable=False),
    sa.Column("feedback", sa.Integer, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("hint", sa.Text, nullable=False),
    sa.Column("finish_reason", sa.String(20), nullable=False, server_default="stop"),
    sa.Column("corrections", sa.Text, nullable=False, server_default="[]"),
    sa.Index("messages_of_conversation", "conversation_id", "id"),
    sqlite_autoincrement=True,
)

_citations_of = sa.Table(
    "citations_of",
    _schema,
    sa.Column("document_id", sa.Integer, primary_key=True),
    sa.Column("message_id", sa.ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True, index=True),
    sa.Column("deleted", sa.Boolean, nullable=False),
)

_collections = sa.Table(
    "collections",
    _schema,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(255), nullable=False, unique=True),
    sa.Column("deleting", sa.String(20)),
    sqlite_autoincrement=True,
)

_documents = sa.Table(
    "documents",
    _schema,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("collection_id", sa.ForeignKey("collections.id"), nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("attached", sa.Boolean),
    sa.Column("active_revision_id", sa.Integer, index=True),
    sa.Column("newest_revision_id", sa.Integer, index=True),
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.Column("updated_at", sa.DateTime, nullable=False),
    sa.UniqueConstraint("collection_id", "name"),
    sqlite_autoincrement=True,
)

_attachments = sa.Table(
    "attachments",
    _schema,
    sa.Column("parent_id", sa.ForeignKey("documents.id"), primary_key=True),
    sa.Column("document_id", sa.ForeignKey("documents.id"), primary_key=True, index=True),
)

_revisions = sa.Table(
    "revisions",
    _schema,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("document_id", sa.ForeignKey("documents.id"), nullable=False, index=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False, index=True),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("stored", sa.String(64), nullable=False, index=True),
    sa.Column("media_type", sa.String(200), nullable=False),
    sa.Column("pages", sa.Integer, nullable=False),
    sa.Column("chunks", sa.Integer, nullable=False),
    sa.Column("notes", sa.JSON),
    sa.Column("chunk_tokens", sa.Integer, nullable=False),
    sa.Column("overlap", sa.Integer, nullable=False),
    sa.Column("terms_indexed", sa.Integer),
    sa.Column("fingerprint", sa.String(200), nullable=False),
    sa.Column("created_at", sa.DateTime, nullable=False),
    sqlite_autoincrement=True,
)

_sections = sa.Table(
    "sections",
    _schema,
    sa.Column("revision_id", sa.ForeignKey("revisions.id"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("page", sa.Integer),
    sa.Column("sheet", sa.String(255), nullable=False),
    sa.Column("heading", sa.JSON, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
)

_chunks = sa.Table(
    "chunks",
    _schema,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("revision_id", sa.ForeignKey("revisions.id"), nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("tokens", sa.Integer, nullable=False),
    sa.Column("page", sa.Integer),
    sa.Column("sheet", sa.String(255), nullable=False),
    sa.Column("heading", sa.JSON, nullable=False),
    sa.Column("vector", sa.LargeBinary, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("terms", sa.Text, nullable=False),
    sa.Column("kind", sa.String(20)),
    sa.Column("external_id", sa.String(255)),
    sa.Column("metadata", sa.JSON),
    sa.Index("ix_chunks_revision_position", "revision_id", "position"),
    sa.Index("ix_chunks_external_id", "external_id", unique=True, sqlite_where=sa.text("external_id IS NOT NULL")),
)

_jobs = sa.Table(
    "jobs",
    _schema,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("document_id", sa.ForeignKey("documents.id"), nullable=False, index=True),
    sa.Column("revision_id", sa.Integer, index=True),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("state", sa.String(20), nullable=False, index=True),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("hint", sa.Text, nullable=False),
    sa.Column("run", sa.Integer, nullable=False),
    sa.Column("crashes", sa.Integer, nullable=False),
    sa.Column("deaths", sa.Integer, nullable=False, server_default="0"),
    sa.Column("behind", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("owner", sa.String(255), nullable=False, server_default=""),
    sa.Column("batch", sa.String(64), nullable=False, server_default=""),
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.Column("finished_at", sa.DateTime),
    sqlite_autoincrement=True,
)

_counters = sa.Table(
    "counters",
    _schema,
    sa.Column("name", sa.String(50), primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)

_embedder_trust = sa.Table(
    "embedder_trust",
    _schema,
    sa.Column("fingerprint", sa.String(200), primary_key=True),
    sa.Column("script", sa.String(50), primary_key=True),
    sa.Column("trust", sa.Float, nullable=False),
    sa.Column("samples", sa.Integer, nullable=False),
)

_TERMS_INDEX = (
    "CREATE VIRTUAL TABLE IF NOT EXISTS chunk_terms"
    " USING fts5(terms, content='chunks', content_rowid='id', tokenize='ascii')"
)
_VOCABULARY = "CREATE VIRTUAL TABLE IF NOT EXISTS chunk_vocabulary USING fts5vocab(chunk_terms, row)"
_CITATIONS = (
    "INSERT OR IGNORE INTO citations_of(document_id, message_id, deleted)"
    " SELECT json_extract(citation.value, '$.document_id'), messages.id, 0"
    " FROM messages, json_each(messages.citations) AS citation"
    " WHERE messages.citations != '[]' AND json_valid(messages.citations)"
)


def upgrade() -> None:
    """Make what is missing."""
    connection = op.get_bind()
    is_new = not sa.inspect(connection).has_table(_citations_of.name)
    _schema.create_all(connection)
    _add_missing_columns(connection)
    for table in _schema.sorted_tables:
        for index in table.indexes:
            index.create(connection, checkfirst=True)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(_TERMS_INDEX)
        connection.exec_driver_sql(_VOCABULARY)
        if is_new:
            connection.exec_driver_sql(_CITATIONS)


def _add_missing_columns(connection: Connection) -> None:
    inspector = sa.inspect(connection)
    for table in _schema.sorted_tables:
        there = {column["name"] for column in inspector.get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                definition = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {definition}")
