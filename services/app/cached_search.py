"""Search for clients: a result is served from the cache while documents and settings stay the same."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from services.core.actor import Actor
from services.core.cache import ByteCache, cache_key, normalised_text
from services.core.i18n import language
from services.knowledge.types import Correction, Hit, RetrievalSettings, SearchResult

if TYPE_CHECKING:
    from services.knowledge.embedding.embedder_protocol import EmbeddingModel
    from services.knowledge.ingestion import Ingestion
    from services.knowledge.library import Library
    from services.knowledge.retrieval import Retriever
    from services.knowledge.store.dense_index import DenseIndexManager

FORMAT = 2


class LibraryStamp:
    """Stands for everything that retrieval depends on: equal stamps mean equal results."""

    def __init__(
        self, ingestion: Ingestion, index: DenseIndexManager, library: Library, embedder: EmbeddingModel
    ) -> None:
        self._ingestion = ingestion
        self._index = index
        self._library = library
        self._embedder = embedder

    def __call__(self) -> str | None:
        """Return the stamp, None while documents are changing."""
        version = self._ingestion.writer.version.current() if self._index.ready else None
        if version is None:
            return None
        settings = asdict(self._library.retrieval_settings())
        return json.dumps([version, settings, self._embedder.fingerprint, language()], sort_keys=True)


class CachedSearch:
    """Searches with the retriever, or returns what was found before for the same stamp."""

    def __init__(self, retriever: Retriever, cache: ByteCache, stamp: Callable[[], str | None]) -> None:
        self._retriever = retriever
        self._cache = cache
        self._stamp = stamp

    def search(
        self,
        actor: Actor,
        query: str,
        *,
        k: int | None = None,
        collection_ids: Collection[int] = (),
        settings: RetrievalSettings | None = None,
        check: Callable[[], object] = lambda: None,
        fresh: bool = False,
    ) -> SearchResult:
        """As `Retriever.search`; from the cache where the same was found in the same documents, unless `fresh`.

        What `actor` may read is part of the key: whose rights change gets nothing from before.

        For a result from the cache, `total_ms` is what the look-up took.
        """
        began = time.perf_counter()
        cache = self._cache
        stamp = self._stamp() if cache.enabled else None
        key = cache_key(
            FORMAT,
            normalised_text(query),
            k,
            *actor.cache_scope(collection_ids),
            asdict(settings) if settings else None,
            stamp,
        )
        if stamp is not None and not fresh:
            found = _decode(cache.get(key), (time.perf_counter() - began) * 1000)
            if found is not None:
                return found
        result = self._retriever.search(
            actor, query, k=k, collection_ids=collection_ids, settings=settings, check=check
        )
        if stamp is not None and self._stamp() == stamp:
            cache.put(key, json.dumps(asdict(result), ensure_ascii=False, separators=(",", ":")).encode())
        return result


def _decode(value: bytes | None, milliseconds: float) -> SearchResult | None:
    """Return a cached result; None where there is none, or one of another format."""
    if value is None:
        return None
    try:
        document: dict[str, Any] = json.loads(value)
        hits = tuple(Hit(**{**hit, "heading": tuple(hit["heading"])}) for hit in document["hits"])
        return SearchResult(
            query=document["query"],
            hits=hits,
            relevant=document["relevant"],
            dense_trust=document["dense_trust"],
            terms=tuple(document["terms"]),
            corrections=tuple(Correction(**correction) for correction in document["corrections"]),
            total_ms=milliseconds,
        )
    except (ValueError, KeyError, TypeError):
        return None
