"""Search over HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Header
from pydantic import Field

from console.api.context import ApiContext, Caller, Context, request_scope
from console.api.inputs import WORDS, Id, JsonBody
from console.api.permissions import needs
from console.api.problems import Projection
from console.api.translated import TranslatedRoute
from services.core.actor import Actor, Permission
from services.core.errors import NotFoundError
from services.core.i18n import _, plural
from services.core.requests import RequestKind, RequestScope
from services.knowledge.types import Correction, EmbedderTrust, Hit, RetrievalSettings, SearchResult

router = APIRouter(route_class=TranslatedRoute, prefix="/api/search", tags=["search"])


class SearchIn(JsonBody):
    """A query. Weights and threshold default to those that are applied to chat."""

    query: str = Field(json_schema_extra=WORDS)
    k: int | None = Field(None, ge=1, le=200, description="Most hits")
    collections: list[Id] = Field(default_factory=list, description="Ids of the collections to search; empty: all")
    dense_weight: float | None = Field(None, ge=0)
    lexical_weight: float | None = Field(None, ge=0)
    threshold: float | None = Field(None, ge=0, le=1, description="Least fused score")


class SearchOut(Projection):
    """The hits, best first; `relevant` is false when the best is no better than chance would give. Times in ms.

    `dense_trust` is what the embedding counts for this question, 0 to 1; `corrections` are words that no document has,
    with the words that were searched for instead.
    """

    query: str
    hits: list[Hit]
    relevant: bool
    dense_trust: float
    corrections: list[Correction]
    embed_ms: float
    dense_ms: float
    lexical_ms: float
    total_ms: float


@router.post("", dependencies=needs(Permission.READ), summary="Search the documents", response_model=SearchOut)
async def search(
    body: SearchIn, context: Context, actor: Caller, cache_control: Annotated[str, Header(max_length=200)] = ""
) -> SearchResult:
    """Return the chunks that answer best, with fused, dense and lexical score.

    Repeated queries over unchanged documents come from a cache, unless `Cache-Control` is `no-cache`.
    """
    fresh = "no-cache" in cache_control
    detail = plural("query of {count} character", "query of {count} characters", len(body.query))
    async with request_scope(context, RequestKind.SEARCH, detail) as scope:
        return await context.threads.search(_search, context, actor, body, scope, fresh)


class TrustOut(Projection):
    """What the embedding model's scores count, by script and kind of text, as measured on the documents."""

    measured: list[EmbedderTrust]


@router.get(
    "/trust", dependencies=needs(Permission.READ), summary="Trust in the embedding model", response_model=TrustOut
)
async def trust(context: Context) -> dict[str, list[EmbedderTrust]]:
    """Return how well the embedding model knows the scripts and kinds of text of the documents.

    It is measured after documents were added or deleted; what there is too little of is not in the list.
    """
    return {"measured": await context.threads.call(context.services.retriever.measured_trust)}


def _search(context: ApiContext, actor: Actor, body: SearchIn, scope: RequestScope, fresh: bool) -> SearchResult:
    known = context.services.library.collections(actor) if body.collections else ()
    missing = set(body.collections) - {collection.id for collection in known}
    if missing:
        raise NotFoundError(
            _("There is no collection {id}; nothing was searched.").format(id=min(missing)),
            _("GET /api/collections lists them."),
        )
    given = {
        name: value
        for name in ("dense_weight", "lexical_weight", "threshold")
        if (value := getattr(body, name)) is not None
    }
    settings: RetrievalSettings | None = None
    if given:
        settings = replace(context.services.library.retrieval_settings(), **given)
    return context.services.searches.search(
        actor,
        body.query,
        k=body.k,
        collection_ids=body.collections,
        settings=settings,
        check=scope.check,
        fresh=fresh,
    )
