"""Import of documents that are chunked already: texts, metadata and optional vectors of other knowledge bases.

Chunks are stored as they are. Vectors are kept if the embedding model would produce the same; otherwise the document
is searchable by its words at once and re-embedded in the background, as after a change of the model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from services.core.actor import AccessLevel, Actor
from services.core.admission import Admission, Gate
from services.core.database import Database
from services.core.errors import BadInputError
from services.core.events import Counter, EventKind, EventSink, NullEventSink, upload_name
from services.core.i18n import _
from services.core.requests.registry import current_user
from services.core.settings import Settings
from services.core.usage import NoUsage, UsageCounts, UsageSink
from services.knowledge.file_names import display_name
from services.knowledge.ingestion import Ingestion
from services.knowledge.library_audit import LibraryAudit
from services.knowledge.store.chunks import Vectors
from services.knowledge.store.collections import CollectionStore
from services.knowledge.store.documents import read_document
from services.knowledge.store.intake import RevisionPlan
from services.knowledge.store.prepared import PreparedRevision, admit_prepared
from services.knowledge.store.rights import first_writable, require_collection_level
from services.knowledge.text.chunks import lexical_terms
from services.knowledge.types import ChunkDraft, Document

if TYPE_CHECKING:
    from services.knowledge.embedding.embedder_protocol import EmbeddingModel

# Vectors are kept if a sample of the texts, embedded again, has this cosine with them: equal but for rounding.
MIN_COSINE = 0.99
SAMPLES = 4
_IMPORTS = "imports"  # the batch of what a person imports: files go in turn with it
_CHUNK_BYTES = 16 * 1024  # RAM of a chunk until it is stored


@dataclass(frozen=True, slots=True)
class PreparedChunk:
    """The text of a chunk with its page, counted from 1, and the source's metadata as JSON values."""

    text: str
    page: int | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PreparedDocument:
    """A chunked document; `vectors` is float32 (n, d), one row per chunk, or None."""

    name: str
    chunks: Sequence[PreparedChunk]
    vectors: Vectors | None = None


@dataclass(frozen=True, slots=True)
class ImportedDocument:
    """The outcome for a document: whether it was known already, and whether its vectors were kept."""

    document: Document
    duplicate: bool = False
    vectors_kept: bool = False


class DocumentImporter:
    """Imports chunked documents. Thread-safe; a document is on disk when `add` returns."""

    def __init__(
        self,
        database: Database,
        ingestion: Ingestion,
        embedder: EmbeddingModel,
        settings: Settings,
        *,
        reporter: EventSink | None = None,
        admission: Admission | None = None,
    ) -> None:
        self._ingestion = ingestion
        self._embedder = embedder
        self._settings = settings
        self._reporter = reporter or NullEventSink()
        self._audit = LibraryAudit(self._reporter)
        self._admission = admission or Admission()
        self._collections = CollectionStore(database)
        self.usage: UsageSink = NoUsage()

    def add(self, actor: Actor, document: PreparedDocument, collection_id: int | None = None) -> ImportedDocument:
        """Store a document; a duplicate in the collection is left as it is, another one of the same name replaced.

        Raises:
            BadInputError: it has no text.
            BusyError: too many documents wait for their vectors.
            NotFoundError: there is no such collection.
            ForbiddenError: `actor` may not add to it.
            UnavailableError: uploads are closed at present, to keep within the memory budget.
        """
        target = first_writable(actor, self._collections.all()).id if collection_id is None else collection_id
        require_collection_level(actor, target, AccessLevel.WRITE, _("Add documents"))
        if not any(chunk.text.strip() for chunk in document.chunks):
            raise BadInputError(_("The document has no text; nothing of it was kept."))
        self._admission.check(Gate.UPLOADS)
        with self._admission.reserve(_CHUNK_BYTES * len(document.chunks), _("A new document")):
            chunks = [_storable_chunk(chunk) for chunk in document.chunks]
            return self._add(actor, replace(document, chunks=chunks), target)

    def _add(self, actor: Actor, document: PreparedDocument, target: int) -> ImportedDocument:
        name = display_name(document.name)
        fingerprint, vectors = self._embedder.fingerprint, self.usable_vectors(document)
        size = sum(len(chunk.text.encode()) for chunk in document.chunks)
        settings, ingestion = self._settings, self._ingestion
        revision = PreparedRevision(
            name=name,
            sha256=content_hash(document.chunks),
            size_bytes=size,
            drafts=[self._draft(chunk, name) for chunk in document.chunks],
            vectors=vectors,
            dimension=self._embedder.dimension,
            fingerprint=fingerprint,
        )
        plan = RevisionPlan.from_settings(settings, owner=current_user(), batch=_IMPORTS, actor=actor)
        with ingestion.writer.transaction() as unit:
            if self._embedder.fingerprint != fingerprint:  # another model has taken its place meanwhile
                revision = replace(revision, vectors=None, dimension=self._embedder.dimension)
            admitted, switch = admit_prepared(unit.connection, revision, target, plan)
            if switch is not None:
                unit.switches.append(switch)
            unit.unneeded.extend(admitted.unneeded)
            stored = read_document(unit.connection, admitted.document_id, ingestion.board.live())
            chunks = len(document.chunks)
            self._audit.imported(actor, stored.id, stored.name, chunks, duplicate=admitted.duplicate)
        ingestion.abandon(admitted.ended)
        ingestion.wake()
        if not admitted.duplicate:
            self._reporter.count(Counter.BYTES_RECEIVED, size)
            self.usage.count(actor, UsageCounts(documents=1, bytes=size))
            self._reporter.event(
                EventKind.UPLOAD, upload_name(name, actor), bytes=size, documents=1, chunks=len(document.chunks)
            )
        return ImportedDocument(stored, admitted.duplicate, revision.vectors is not None)

    def usable_vectors(self, document: PreparedDocument) -> Vectors | None:
        """Return the document's vectors, normalised, if a sample embedded again shows that our model made them."""
        vectors, chunks = document.vectors, document.chunks
        if vectors is None or vectors.shape != (len(chunks), self._embedder.dimension):
            return None
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.all(np.isfinite(lengths)) or not np.all(lengths > 0):
            return None
        normalised: Vectors = np.asarray(vectors / lengths, dtype=np.float32)
        rows = np.unique(np.linspace(0, len(chunks) - 1, min(SAMPLES, len(chunks))).astype(int))
        again = self._embedder.embed_chunks([chunks[row].text for row in rows])
        cosines = np.sum(again * normalised[rows], axis=1)
        return normalised if np.all(cosines >= MIN_COSINE) else None

    def _draft(self, chunk: PreparedChunk, name: str) -> ChunkDraft:
        return ChunkDraft(
            chunk.text,
            self._embedder.token_count(chunk.text),
            lexical_terms(chunk.text, (), name),
            chunk.page,
            metadata=chunk.metadata or None,
        )


def _storable_chunk(chunk: PreparedChunk) -> PreparedChunk:
    """Return a chunk without what no database stores: NUL, lone surrogates."""
    metadata = json.loads(storable_text(json.dumps(chunk.metadata, ensure_ascii=False)))
    return PreparedChunk(storable_text(chunk.text), chunk.page, metadata)


def storable_text(text: str) -> str:
    """Return a text without what no database stores: NUL, lone surrogates."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def content_hash(chunks: Sequence[PreparedChunk]) -> str:
    """Return a sha256 of texts, pages and metadata that differs from the hash of any file."""
    content = hashlib.sha256(b"millpond prepared document 1\n")
    for chunk in chunks:
        content.update(json.dumps([chunk.text, chunk.page, chunk.metadata], sort_keys=True).encode())
        content.update(b"\n")
    return content.hexdigest()
