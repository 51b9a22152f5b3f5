"""What is being done for whom, what was done of late, and how to end one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from console.api.context import Asker, Context
from console.api.scoped import client_of
from services.errors import NotFoundError
from services.memory.process import rss_bytes
from services.scopes import ScopeKind
from services.scopes.who import acting_for
from services.texts import _

router = APIRouter(prefix="/api", tags=["requests"])


@router.get("/requests", summary="Requests that run, wait, or ended of late")
async def requests(context: Context, limit: Annotated[int, Query(ge=0, le=200)] = 50) -> dict[str, Any]:
    """Return them with the memory before and after. Times in seconds since the epoch; `position` 0 runs, others wait.

    `limits` by kind: how many of a user and in all run at once, how many may wait, and for how many seconds each.
    """
    scopes = context.runtime.scopes
    return {
        "rss": rss_bytes(),
        "running": [asdict(running) for running in scopes.running()],
        "recent": [asdict(ended) for ended in scopes.recent(limit)],
        "limits": {kind.value: asdict(scopes.policy(kind)) for kind in ScopeKind},
    }


@router.delete("/requests/{id}", status_code=202, summary="End a request")
async def cancel(
    id: Annotated[str, Path(max_length=64)],  # noqa: A002 - the parameter's public name
    request: Request,
    context: Context,
    asker: Asker,
    user: Annotated[str, Query(max_length=200, description="Whom the request is for, as it was said with it")] = "",
) -> Response:
    """Ask a request to end. An administrator may end any, everybody else their own."""
    with acting_for(client_of(request, user)):
        if not context.runtime.scopes.cancel(asker, id):
            raise NotFoundError(
                _("This request has ended, or never was."), _("GET /api/requests lists those that run.")
            )
    return Response(status_code=202)


@router.get("/caches", summary="How the caches do")
async def caches(context: Context) -> list[dict[str, Any]]:
    """Return hits, misses and bytes of each cache; `hit_rate` from 0 to 1, null before the first look-up."""
    return [{**asdict(figures), "hit_rate": figures.hit_rate} for figures in context.runtime.caches.figures()]
