"""Table definitions of `services.knowledge`.

A document has revisions: the active one is searched, another one may be under construction. Chunks of a revision under
construction are in `chunks` already, but only those of active revisions are in `chunk_terms` and in the vector index,
and the first `terms_indexed` ones of a large revision that is about to become active (no search shows them).
Ids of chunks are the ids of vectors; they come from `counters` and are never reused, so a citation can never point at
a chunk that took over an old id.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.types import TypeDecorator

from services.core.database import WHOLE, metadata
from services.core.kept_column import KeptText


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time; databases without time zones store it naive."""

    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.replace(tzinfo=UTC)


collections = sa.Table(
    "collections",
    metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("name", sa.String(255), nullable=False, unique=True),
    # It is being deleted, with its documents or with the answers that quote them, too (`CollectionEnd`); null means no.
    sa.Column("deleting", sa.String(20)),
    sqlite_autoincrement=True,
)

documents = sa.Table(
    "documents",
    metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("collection_id", sa.ForeignKey("collections.id"), nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False, default=True),
    # The person who added it, for display; null where it was not a person with an account.
    sa.Column("added_by", WHOLE),
    # It came only with other documents, see `attachments`, and goes with the last of them; null means no.
    sa.Column("attached", sa.Boolean),
    # The revision that is searched, and the newest one, which may be under construction or have failed.
    sa.Column("active_revision_id", WHOLE, index=True),
    sa.Column("newest_revision_id", WHOLE, index=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("collection_id", "name"),
    sqlite_autoincrement=True,
)

# A document without revisions is being deleted, and not shown any more (`left_over.py`).
PRESENT = sa.or_(documents.c.newest_revision_id.is_not(None), documents.c.active_revision_id.is_not(None))

# Which document brought which: a mail its attachments. One that came with several mails is there once.
attachments = sa.Table(
    "attachments",
    metadata,
    sa.Column("parent_id", sa.ForeignKey("documents.id"), primary_key=True),
    sa.Column("document_id", sa.ForeignKey("documents.id"), primary_key=True, index=True),
)

revisions = sa.Table(
    "revisions",
    metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("document_id", sa.ForeignKey("documents.id"), nullable=False, index=True),
    # Counts the contents that the document's name has had; re-chunking does not change it.
    sa.Column("version", WHOLE, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False, index=True),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    # Name of the original in the file store; empty when it was not kept.
    sa.Column("stored", sa.String(64), nullable=False, index=True),
    sa.Column("media_type", sa.String(200), nullable=False, default=""),
    sa.Column("pages", WHOLE, nullable=False, default=0),
    sa.Column("chunks", WHOLE, nullable=False, default=0),
    # What the parser left out or put in: (kind, count, place) of each note, see `services.knowledge.notes`.
    sa.Column("notes", sa.JSON(none_as_null=True)),
    # How sure text recognition was: count, pages, mean and least confidence, page of that; null where it read nothing.
    sa.Column("recognition", sa.JSON(none_as_null=True)),
    sa.Column("chunk_tokens", WHOLE, nullable=False),
    sa.Column("overlap", WHOLE, nullable=False),
    # So many of its first chunks are in `chunk_terms` before it is active, or still are after it was; null means none.
    sa.Column("terms_indexed", WHOLE),
    # What made the vectors: `Embedder.fingerprint`; empty until the revision is ready.
    sa.Column("fingerprint", sa.String(200), nullable=False, default=""),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

sections = sa.Table(
    "sections",
    metadata,
    sa.Column("revision_id", sa.ForeignKey("revisions.id"), primary_key=True),
    sa.Column("position", WHOLE, primary_key=True),
    sa.Column("page", WHOLE),
    sa.Column("sheet", sa.String(255), nullable=False, default=""),
    sa.Column("heading", sa.JSON, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
)

# Pages read by text recognition: how sure it was (0 to 1), and their words with their boxes, packed
# (`services.knowledge.recognition.recognized`).
recognized_pages = sa.Table(
    "recognized_pages",
    metadata,
    sa.Column("revision_id", sa.ForeignKey("revisions.id"), primary_key=True),
    sa.Column("page", WHOLE, primary_key=True, autoincrement=False),
    sa.Column("confidence", sa.Float, nullable=False),
    sa.Column("least_confidence", sa.Float, nullable=False),
    sa.Column("words", sa.LargeBinary, nullable=False),
)

chunks = sa.Table(
    "chunks",
    metadata,
    sa.Column("id", WHOLE, primary_key=True, autoincrement=False),
    sa.Column("revision_id", sa.ForeignKey("revisions.id"), nullable=False),
    sa.Column("position", WHOLE, nullable=False),
    sa.Column("tokens", WHOLE, nullable=False),
    sa.Column("page", WHOLE),
    sa.Column("sheet", sa.String(255), nullable=False, default=""),
    sa.Column("heading", sa.JSON, nullable=False),
    # float32, little-endian, normalised.
    sa.Column("vector", sa.LargeBinary, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("terms", sa.Text, nullable=False),
    # What the text looks like, see `services.knowledge.text.kinds`; null means prose.
    sa.Column("kind", sa.String(20)),
    # Only for callers with ids and metadata of their own (`services.integrations`).
    sa.Column("external_id", sa.String(255)),
    sa.Column("metadata", sa.JSON(none_as_null=True)),
    # Covers the query for the ids of a revision without reading the wide rows.
    sa.Index("ix_chunks_revision_position", "revision_id", "position"),
    sa.Index("ix_chunks_external_id", "external_id", unique=True, sqlite_where=sa.text("external_id IS NOT NULL")),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", WHOLE, primary_key=True),
    sa.Column("document_id", sa.ForeignKey("documents.id"), nullable=False, index=True),
    sa.Column("revision_id", WHOLE, index=True),
    sa.Column("kind", sa.String(20), nullable=False),
    # queued, working, ready, failed or cancelled; the progress of "working" is in `ProgressBoard`.
    sa.Column("state", sa.String(20), nullable=False, index=True),
    sa.Column("error", KeptText, nullable=False, default=""),
    sa.Column("hint", KeptText, nullable=False, default=""),
    # How often the job was claimed; a worker with an older number has lost it.
    sa.Column("run", WHOLE, nullable=False, default=0),
    # How often the process died while the job was active.
    sa.Column("crashes", WHOLE, nullable=False, default=0),
    # How often the process that read its file died with it, and whether it waits behind others for that, or for taking
    # long.
    sa.Column("deaths", WHOLE, nullable=False, server_default="0"),
    sa.Column("behind", sa.Boolean, nullable=False, server_default=sa.false()),
    # Who handed the file in, and with which others: the queue is shared among people, then among what each handed in.
    sa.Column("owner", sa.String(255), nullable=False, server_default=""),
    sa.Column("batch", sa.String(64), nullable=False, server_default=""),
    # The collections that its owner may read, whose chunks may be copied for it, as a JSON list; null means all.
    sa.Column("readable", sa.JSON(none_as_null=True)),
    # The node that works on it, or did last; null where there is one process alone.
    sa.Column("node", WHOLE),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime),
    sqlite_autoincrement=True,
)

counters = sa.Table(
    "counters",
    metadata,
    sa.Column("name", sa.String(50), primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)

# The model whose vectors answer ("serving"), and the one that the vectors are being changed to ("coming").
embedding_models = sa.Table(
    "embedding_models",
    metadata,
    sa.Column("role", sa.String(10), primary_key=True),
    sa.Column("fingerprint", sa.String(200), nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
    # The setting that it was found by: a folder, a name, or empty for the one that comes with Millpond.
    sa.Column("model", sa.Text, nullable=False),
    # Of the coming one: `ChangeState`, and who brought it there; empty: the service itself.
    sa.Column("state", sa.String(20), nullable=False, server_default=""),
    sa.Column("person", sa.String(255), nullable=False, server_default=""),
    sa.Column("error", sa.Text, nullable=False, server_default=""),
    sa.Column("hint", sa.Text, nullable=False, server_default=""),
    # As measured on this machine.
    sa.Column("chunks_per_second", sa.Float),
    sa.Column("model_bytes", sa.BigInteger),
    sa.Column("started_at", UtcDateTime),
    sa.Column("changed_at", UtcDateTime, nullable=False),
)

# Vectors of another model beside those in `chunks`, until the corpus has changed to it and they have moved there. All
# of them are of one model at a time, made in the order of ids: which are missing follows from the highest one.
chunk_vectors = sa.Table(
    "chunk_vectors",
    metadata,
    sa.Column("chunk_id", sa.ForeignKey("chunks.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    sa.Column("fingerprint", sa.String(200), nullable=False),
    # As in `chunks`.
    sa.Column("vector", sa.LargeBinary, nullable=False),
)

embedder_trust = sa.Table(
    "embedder_trust",
    metadata,
    sa.Column("fingerprint", sa.String(200), primary_key=True),
    sa.Column("script", sa.String(50), primary_key=True),
    sa.Column("trust", sa.Float, nullable=False),
    sa.Column("samples", WHOLE, nullable=False),
)

_TERMS_INDEX = (
    "CREATE VIRTUAL TABLE IF NOT EXISTS chunk_terms"
    " USING fts5(terms, content='chunks', content_rowid='id', tokenize='ascii')"
)
_VOCABULARY = "CREATE VIRTUAL TABLE IF NOT EXISTS chunk_vocabulary USING fts5vocab(chunk_terms, row)"


_POSTGRES = (
    "CREATE TABLE IF NOT EXISTS chunk_terms (chunk_id bigint PRIMARY KEY, terms tsvector NOT NULL)",
    "CREATE INDEX IF NOT EXISTS ix_chunk_terms ON chunk_terms USING gin (terms)",
    'CREATE TABLE IF NOT EXISTS chunk_vocabulary (term text COLLATE "C" PRIMARY KEY, doc bigint NOT NULL)',
    "CREATE TABLE IF NOT EXISTS chunk_terms_size (rows bigint NOT NULL, terms bigint NOT NULL)",
    "INSERT INTO chunk_terms_size SELECT 0, 0 WHERE NOT EXISTS (SELECT 1 FROM chunk_terms_size)",
)


@sa.event.listens_for(metadata, "after_create")
def _create_terms_index(_target: sa.MetaData, connection: Connection, **_: object) -> None:
    """Create the lexical index: in SQLite FTS5 over `chunks.terms`, which keeps no copy of the text.

    Source: https://www.sqlite.org/fts5.html#external_content_tables. The terms are segmented by us and separated by
    blanks: to the tokenizer "ascii" every character beyond ASCII is part of a term. A row may be deleted only while it
    and its chunk exist; `revisions.py` sees to that.
    """
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(_TERMS_INDEX)
        connection.exec_driver_sql(_VOCABULARY)
    elif connection.dialect.name == "postgresql":
        for statement in _POSTGRES:
            connection.exec_driver_sql(statement)
