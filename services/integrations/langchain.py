"""LangChain's interfaces: a collection as vector store, a conversation as chat history, the embedder as embeddings.

Texts, metadata and exact vectors of a vector store are in the database, codes in the one index; nothing is stored
twice. Searches cover the whole collection, uploaded files included; texts added here belong to one document of it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.vectorstores import VectorStore
from langchain_core.vectorstores.utils import maximal_marginal_relevance

from services.app.tables import import_tables
from services.chat.citations import sanitize
from services.chat.conversations import Conversations
from services.chat.types import Message, MessageRole
from services.core.actor import SERVICE, AccessLevel, Actor, Permission
from services.core.database import Database
from services.core.errors import BadInputError
from services.core.i18n import _
from services.core.migrations.upgrade import open_schema
from services.core.settings import Settings
from services.integrations.langchain_store import ExternalStore, ExternalText, external_id_of
from services.knowledge.embedding.embedder_protocol import EmbeddingModel
from services.knowledge.files.open_store import open_file_store
from services.knowledge.index.manager import IndexManager
from services.knowledge.index.segment import Ids, Vectors
from services.knowledge.index.snapshots import IndexSnapshotStore
from services.knowledge.index.vector_index import CANDIDATES_PER_HIT, rerank
from services.knowledge.progress import ProgressBoard
from services.knowledge.store import ChunkStore, HitRow
from services.knowledge.store.collections import CollectionStore
from services.knowledge.store.dense_index import DenseIndexManager
from services.knowledge.store.unit_of_work import DocumentWriter
from services.knowledge.text.chunks import lexical_terms
from services.knowledge.types import ChunkDraft

DEFAULT_COLLECTION = "LangChain"
DEFAULT_DOCUMENT = "Texts from LangChain"
_ROLES = {"human": MessageRole.USER, "ai": MessageRole.ASSISTANT}


class KnowledgeVectorStore(VectorStore):
    """One collection as a LangChain vector store; scores are cosines.

    `embedding` must be the model of the index. Texts added here keep the ids of their caller; other chunks have the id
    "chunk-" and a number. `actor` is whose rights on the collection count: a program in this process acts for somebody,
    or for the service itself.
    """

    def __init__(
        self,
        database: Database,
        writer: DocumentWriter,
        index: DenseIndexManager,
        embedding: Embeddings,
        *,
        collection: str = DEFAULT_COLLECTION,
        document: str = DEFAULT_DOCUMENT,
        actor: Actor = SERVICE,
    ) -> None:
        self._actor = actor
        collections = CollectionStore(database)
        known = {found.name: found.id for found in collections.all() if actor.level(found.id) >= AccessLevel.READ}
        if collection not in known:
            actor.require(Permission.WRITE, _("Create a collection"))
        self.collection_id = (
            known[collection] if collection in known else collections.create(collection, actor.readable())
        )
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
        import_tables()
        try:
            open_schema(database)
        except BaseException:
            database.close()
            raise
        dimension = len(embedding.embed_query("dimension"))
        index = IndexManager(
            ChunkStore(database),
            dimension=dimension,
            fingerprint=f"{type(embedding).__name__}-{dimension}",
            snapshots=IndexSnapshotStore(folder / "index", kept=settings.snapshots_kept),
            settings=settings,
        )
        index.start()
        files = open_file_store(settings)
        writer = DocumentWriter(database, files, index, ProgressBoard())
        store = cls(database, writer, index, embedding, collection=collection)
        store._closing.callback(database.close)
        store._closing.callback(files.close)
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
        self._require(AccessLevel.WRITE, _("Add texts"))
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
        self._require(AccessLevel.WRITE, _("Delete texts"))
        with self._writer.transaction() as unit:
            unit.removed.append(self._texts.delete(unit.connection, ids))
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Return the texts with these ids that were added here, in their order."""
        self._require(AccessLevel.READ, _("Read texts"))
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

    def _require(self, level: AccessLevel, action: str) -> None:
        self._actor.require_level(self.collection_id, level, action)

    def _nearest(self, query: Vectors, k: int, **kwargs: Any) -> list[tuple[Document, float]]:
        ids, scores, _vectors = self._candidates(query, k, **kwargs)
        hits = self._chunks.hits(ids)
        return [(_document(hits[int(i)]), float(s)) for i, s in zip(ids, scores, strict=True) if int(i) in hits]

    def _candidates(self, query: Vectors, k: int, **kwargs: Any) -> tuple[Ids, Vectors, Vectors]:
        """Return (ids, exact cosines, vectors) of the k nearest chunks, best first."""
        if kwargs.get("filter"):
            raise BadInputError(_("This vector store has no filters."), _("Use a collection for each subject."))
        self._require(AccessLevel.READ, _("Search texts"))
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
    words = lexical_terms(text, (), "")
    return ExternalText(external_id, ChunkDraft(text=text, tokens=words.count(" ") + 1, terms=words), metadata)


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


class WindowedMessageHistory(BaseChatMessageHistory):
    """The history of one conversation of `actor`: writes are stored, `messages` are those of the window of its last k
    turns.
    """

    def __init__(self, conversations: Conversations, conversation_id: str, actor: Actor = SERVICE) -> None:
        self._conversations = conversations
        self._actor = actor
        self._id = conversations.conversation(actor, conversation_id).id

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]  # the base class has an attribute and recommends a property
        """The last k turns, oldest first."""
        turns = self._conversations.turns(self._actor, self._conversations.conversation(self._actor, self._id))
        return [message for turn in turns for message in (HumanMessage(turn.question), AIMessage(turn.answer))]

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Store messages of users and models.

        Raises:
            BadInputError: a message is of another kind; nothing was stored.
        """
        if any(message.type not in _ROLES for message in messages):
            raise BadInputError(
                _("A conversation consists of questions and answers."), _("Leave out system and tool messages.")
            )
        for message in messages:
            stored = Message(0, self._id, _ROLES[message.type], sanitize(str(message.text)), datetime.now(UTC))
            if stored.role is MessageRole.USER:
                self._conversations.add_question(self._actor, stored)
            else:
                self._conversations.replace_from(self._actor, None, stored)

    def clear(self) -> None:
        """Delete all messages of the conversation."""
        self._conversations.clear(self._actor, self._id)


class LangChainEmbeddings(Embeddings):
    """LangChain's `Embeddings` over the embedder of the process."""

    def __init__(self, embedder: EmbeddingModel) -> None:
        self._embedder = embedder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return the vectors of texts; questions have priority over them."""
        return [[float(x) for x in vector] for vector in self._embedder.embed_chunks(texts)]

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a question; it has priority over texts."""
        return [float(x) for x in self._embedder.embed_query(text)]
