"""Searches as clients ask for them: what was found before is not searched again while the documents stay the same."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from services.app.build_chat import library_stamp
from services.core.cache import cache_key, normalised_text
from services.knowledge.types import Hit, RetrievalSettings, SearchResult

if TYPE_CHECKING:
    from services.app.container import Runtime

FORMAT = 1


def search(
    runtime: Runtime,
    query: str,
    *,
    k: int | None = None,
    collection_ids: Collection[int] = (),
    settings: RetrievalSettings | None = None,
    check: Callable[[], object] = lambda: None,
    fresh: bool = False,
) -> SearchResult:
    """As `Retriever.search`; from the cache where the same was found in the same documents, unless `fresh`.

    From the cache, the result says for its times what this look-up took.
    """
    began = time.perf_counter()
    cache = runtime.caches.searches
    stamp = library_stamp(runtime) if cache.enabled else None
    key = cache_key(
        FORMAT, normalised_text(query), k, sorted(collection_ids), asdict(settings) if settings else None, stamp
    )
    if stamp is not None and not fresh:
        found = _read(cache.get(key), (time.perf_counter() - began) * 1000)
        if found is not None:
            return found
    result = runtime.retriever.search(query, k=k, collection_ids=collection_ids, settings=settings, check=check)
    if stamp is not None and library_stamp(runtime) == stamp:
        cache.put(key, json.dumps(asdict(result), ensure_ascii=False, separators=(",", ":")).encode())
    return result


def _read(value: bytes | None, milliseconds: float) -> SearchResult | None:
    """Return what was kept; None where there is nothing, or something that nobody here wrote."""
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
            total_ms=milliseconds,
        )
    except (ValueError, KeyError, TypeError):
        return None
