"""Retrieval without a chat model.

Requests of the API within scopes: waiting for a slot holds no thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Annotated, NoReturn

import anyio
from fastapi import APIRouter, Header, Request

from console.api.context import ApiContext, Context
from console.api.schemas import SearchIn, SearchOut
from services.app.cached_search import search as find
from services.core.errors import CancelledError, NotFoundError
from services.core.i18n import _, plural
from services.core.requests import RequestKind, RequestScope
from services.knowledge.types import RetrievalSettings, SearchResult

router = APIRouter(prefix="/api/search", tags=["search"])
_LOOK_SECONDS = 0.02


@router.post("", summary="Search the documents")
async def search(
    body: SearchIn, context: Context, cache_control: Annotated[str, Header(max_length=200)] = ""
) -> SearchOut:
    """Return the chunks that answer best, with fused, dense and lexical score.

    What was found before in the same documents comes from a cache, unless `Cache-Control` is `no-cache`.
    """
    fresh = "no-cache" in cache_control
    detail = plural("query of {count} character", "query of {count} characters", len(body.query))
    async with scoped(context, RequestKind.SEARCH, detail) as scope:
        result = await context.threads.call(_search, context, body, scope, fresh)
    return SearchOut.model_validate(result)


def _search(context: ApiContext, body: SearchIn, scope: RequestScope, fresh: bool) -> SearchResult:
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


def client_of(request: Request, user: str = "") -> str:
    """Return whose request it is: where it comes from, and whom it is for if the client says so."""
    host = request.client.host if request.client else "unknown"
    return f"{host}/{user}" if user else host


@asynccontextmanager
async def scoped(context: ApiContext, kind: RequestKind, detail: str) -> AsyncIterator[RequestScope]:
    """Wait for a slot, then run what is inside; whatever ends that gives the slot back.

    Awaiting ends with the scope's cancellation and time limit. A thread that is awaited is not left behind: it should
    ask `check` itself.

    Raises:
        BusyError: the queue is full.
        CancelledError, TimedOutError: it was ended.
    """
    scope = context.runtime.scopes.open(kind, detail)
    loop = asyncio.get_running_loop()
    try:
        with anyio.CancelScope() as ending:
            scope.on_cancel(partial(loop.call_soon_threadsafe, ending.cancel))
            while not scope.begin():
                await anyio.sleep(_LOOK_SECONDS)
            ending.deadline = anyio.current_time() + scope.remaining()
            yield scope
        if ending.cancelled_caught:
            _raise_reason(scope)
    except BaseException as error:
        if isinstance(error, anyio.get_cancelled_exc_class()):
            scope.cancel()
        scope.close(error)
        raise
    scope.close()


def _raise_reason(scope: RequestScope) -> NoReturn:
    """Say why a scope was ended.

    Raises:
        CancelledError, TimedOutError: that is why.
    """
    scope.check()
    raise CancelledError(_("The request was cancelled; nothing of it was kept."))
