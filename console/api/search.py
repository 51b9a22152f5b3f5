"""Retrieval without a chat model."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Header

from console.api.context import ApiContext, Context
from console.api.schemas import SearchIn, SearchOut
from console.api.scoped import scoped
from services.errors import NotFoundError
from services.knowledge.types import RetrievalSettings, SearchResult
from services.scopes import Scope, ScopeKind
from services.texts import _, plural
from services.wiring.searching import search as find

router = APIRouter(prefix="/api/search", tags=["search"])


@router.post("", summary="Search the documents")
async def search(
    body: SearchIn, context: Context, cache_control: Annotated[str, Header(max_length=200)] = ""
) -> SearchOut:
    """Return the chunks that answer best, with fused, dense and lexical score.

    What was found before in the same documents comes from a cache, unless `Cache-Control` is `no-cache`.
    """
    fresh = "no-cache" in cache_control
    detail = plural("query of {count} character", "query of {count} characters", len(body.query))
    async with scoped(context, ScopeKind.SEARCH, detail) as scope:
        result = await context.threads.call(_search, context, body, scope, fresh)
    return SearchOut.model_validate(result)


def _search(context: ApiContext, body: SearchIn, scope: Scope, fresh: bool) -> SearchResult:
    missing = set(body.collections) - {collection.id for collection in context.runtime.library.collections()}
    if missing:
        raise NotFoundError(
            _("There is no collection {id}; nothing was searched.").format(id=min(missing)),
            _("GET /api/collections lists those that there are."),
        )
    given = {
        name: value
        for name in ("dense_weight", "lexical_weight", "threshold")
        if (value := getattr(body, name)) is not None
    }
    settings: RetrievalSettings | None = None
    if given:
        settings = replace(context.runtime.library.retrieval_settings(), **given)
    return find(
        context.runtime,
        body.query,
        k=body.k,
        collection_ids=body.collections,
        settings=settings,
        check=scope.check,
        fresh=fresh,
    )
