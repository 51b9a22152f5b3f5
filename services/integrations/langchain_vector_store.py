"""A collection as LangChain's `VectorStore`.

Texts, metadata and exact vectors are in the database, codes in the one index; nothing is stored twice. Searches cover
the whole collection, uploaded files included; texts added here belong to one document of it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore
from langchain_core.vectorstores.utils import maximal_marginal_relevance

from services.core.database import Database
from services.core.errors import BadInputError
from services.core.i18n import _
from services.core.settings import Settings
from services.integrations.langchain_store import ExternalStore, ExternalText, external_id_of
from services.knowledge.file_store import FileStore
from services.knowledge.index.manager import IndexManager
from services.knowledge.index.segment import Ids, Vectors
from services.knowledge.index.snapshots import IndexSnapshotStore
from services.knowledge.index.vector_index import CANDIDATES_PER_HIT, rerank
from services.knowledge.progress import ProgressBoard
from services.knowledge.store import ChunkStore, HitRow
from services.knowledge.store.collections import CollectionStore
from services.knowledge.store.unit_of_work import DocumentWriter
from services.knowledge.text.terms import terms
from services.knowledge.types import ChunkDraft

DEFAULT_COLLECTION = "LangChain"
DEFAULT_DOCUMENT = "Texts from LangChain"


class KnowledgeVectorStore(VectorStore):
    """One collection as a LangChain vector store; scores are cosines.

    `embedding` must be the model of the index. Texts added here keep the ids of their caller; other chunks have the id
    "chunk-" and a number.
    """

    def __init__(
        self,
        database: Database,
        writer: DocumentWriter,
        index: IndexManager,
        embedding: Embeddings,
        *,
        collection: str = DEFAULT_COLLECTION,
        document: str = DEFAULT_DOCUMENT,
    ) -> None:
        collections = CollectionStore(database)
        known = {found.name: found.id for found in collections.all()}
        self.collection_id = known[collection] if collection in known else collections.create(collection)
        self._chunks = ChunkStore(database)
        self._texts = ExternalStore(database, self.collection_id, document, index.fingerprint)
        self._writer = writer
        self._index = index
        self._embedding = embedding
        self._closing = ExitStack()

    @classmethod
    def open(cls, folder: Path, embedding: Embeddings, *, collection: str = DEFAULT_COLLECTION) -> Self:
        """Open a store with its own database and index in `folder`; call `close` at the end."""
        settings = Settings(data_dir=folder)
        folder.mkdir(parents=True, exist_ok=True)
        database = Database(settings.effective_database_url)
        database.create_tables()
        dimension = len(embedding.embed_query("dimension"))
        index = IndexManager(
            ChunkStore(database),
            dimension=dimension,
            fingerprint=f"{type(embedding).__name__}-{dimension}",
            snapshots=IndexSnapshotStore(folder / "index", kept=settings.snapshots_kept),
            settings=settings,
        )
        index.start()
        writer = DocumentWriter(database, FileStore(folder / "files", settings), index, ProgressBoard())
        store = cls(database, writer, index, embedding, collection=collection)
        store._closing.callback(database.close)
        store._closing.callback(index.close)
        return store

    def close(self) -> None:
        """Save and close the database and index that `open` opened."""
        self._closing.close()

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        folder: str | Path | None = None,
        collection: str = DEFAULT_COLLECTION,
        **_kwargs: Any,
    ) -> Self:
        """Open a store in `folder` and add texts to it.

        Raises:
            BadInputError: no folder is given.
        """
        if folder is None:
            raise BadInputError(_("The vector store needs a folder for its texts."), _("Pass its path as folder=."))
        store = cls.open(Path(folder), embedding, collection=collection)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    @property
    def embeddings(self) -> Embeddings:
        return self._embedding

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **_kwargs: Any,
    ) -> list[str]:
        """Embed and store texts; a text with a known id replaces that one. Return their ids.

        Raises:
            BadInputError: the lists differ in length, or metadata cannot be written as JSON.
        """
        contents = list(texts)
        given_ids: Sequence[str | None] = ids if ids is not None else [None] * len(contents)
        metadata: Sequence[dict[str, Any]] = metadatas if metadatas is not None else [{}] * len(contents)
        if len(given_ids) != len(contents) or len(metadata) != len(contents):
            raise BadInputError(_("There must be as many ids and metadata as texts; nothing was added."))
        chosen = [external_id or str(uuid.uuid4()) for external_id in given_ids]
        # Of several texts with one id the last is stored.
        places = {external_id: place for place, external_id in enumerate(chosen)}
        items = [_text(external_id, contents[place], metadata[place]) for external_id, place in places.items()]
        if items:
            vectors = _normalised(self._embedding.embed_documents([item.draft.text for item in items]))
            with self._writer.transaction() as unit:
                unit.switches.append(self._texts.upsert(unit.connection, items, vectors))
        return chosen

    def delete(self, ids: list[str] | None = None, **_kwargs: Any) -> bool | None:
        """Delete texts that were added here (None: all of them); unknown ids are ignored."""
        with self._writer.transaction() as unit:
            unit.removed.append(self._texts.delete(unit.connection, ids))
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Return the texts with these ids that were added here, in their order."""
        return [
            Document(id=chunk.external_id, page_content=chunk.text, metadata=chunk.metadata)
            for chunk in self._texts.get(ids)
        ]

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """Return the k best documents of the collection."""
        return [document for document, _score in self.similarity_search_with_score(query, k, **kwargs)]

    def similarity_search_by_vector(self, embedding: list[float], k: int = 4, **kwargs: Any) -> list[Document]:
        """Return the k documents nearest to a vector."""
        return [document for document, _score in self._nearest(_normalised([embedding])[0], k, **kwargs)]

    def similarity_search_with_score(self, query: str, k: int = 4, **kwargs: Any) -> list[tuple[Document, float]]:
        """Return the k best documents with their cosines, best first."""
        return self._nearest(_normalised([self._embedding.embed_query(query)])[0], k, **kwargs)

    def max_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """Return k relevant documents that differ from each other."""
        vector = self._embedding.embed_query(query)
        return self.max_marginal_relevance_search_by_vector(vector, k, fetch_k, lambda_mult, **kwargs)

    def max_marginal_relevance_search_by_vector(
        self, embedding: list[float], k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """Return k documents that differ from each other among the `fetch_k` nearest to a vector."""
        query = _normalised([embedding])[0]
        ids, _scores, vectors = self._candidates(query, fetch_k, **kwargs)
        picked = maximal_marginal_relevance(query, list(vectors), lambda_mult=lambda_mult, k=k)
        hits = self._chunks.hits(ids[picked])
        return [_document(hits[int(i)]) for i in ids[picked] if int(i) in hits]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return lambda cosine: (1.0 + cosine) / 2.0

    def _nearest(self, query: Vectors, k: int, **kwargs: Any) -> list[tuple[Document, float]]:
        ids, scores, _vectors = self._candidates(query, k, **kwargs)
        hits = self._chunks.hits(ids)
        return [(_document(hits[int(i)]), float(s)) for i, s in zip(ids, scores, strict=True) if int(i) in hits]

    def _candidates(self, query: Vectors, k: int, **kwargs: Any) -> tuple[Ids, Vectors, Vectors]:
        """Return (ids, exact cosines, vectors) of the k nearest chunks, best first."""
        if kwargs.get("filter"):
            raise BadInputError(_("This vector store has no filters."), _("Use a collection for each subject."))
        found, _scores = self._index.index.search(query, CANDIDATES_PER_HIT * k, [self.collection_id])
        ids, vectors = self._chunks.vectors(found)
        if not len(ids):
            return ids, np.empty(0, np.float32), vectors
        ordered, scores = rerank(query, ids, vectors)
        rows = {int(number): row for row, number in enumerate(ids)}
        return ordered[:k], scores[:k], vectors[[rows[int(number)] for number in ordered[:k]]]


def _text(external_id: str, text: str, metadata: dict[str, Any]) -> ExternalText:
    try:
        json.dumps(metadata)
    except (TypeError, ValueError) as error:
        raise BadInputError(
            _("The metadata of “{id}” cannot be written as JSON; nothing was added.").format(id=external_id)
        ) from error
    words = terms(text)
    return ExternalText(external_id, ChunkDraft(text=text, tokens=len(words), terms=" ".join(words)), metadata)


def _document(row: HitRow) -> Document:
    external_id = external_id_of(row.external_id)
    if external_id is not None:
        return Document(id=external_id, page_content=row.text, metadata=row.metadata or {})
    # Imported chunks have metadata of their own; their place in the document counts before it.
    metadata = {**(row.metadata or {}), "document": row.document, "document_id": row.document_id}
    metadata["heading"] = list(row.heading)
    if row.page is not None:
        metadata["page"] = row.page
    if row.sheet:
        metadata["sheet"] = row.sheet
    return Document(id=f"chunk-{row.chunk_id}", page_content=row.text, metadata=metadata)


def _normalised(vectors: Sequence[Sequence[float]]) -> Vectors:
    array = np.asarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(array, axis=1, keepdims=True)
    normalised: Vectors = (array / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)
    return normalised
