"""Is it alive, is it ready: for probes and fronts.

The exposition for Prometheus.

What is being done for whom, what was done of late, and how to end one.

One look at the whole: counts, big things held in memory, chat model.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import JSONResponse, Response

from console.api.context import ApiContext, Caller, Context, client_of
from services.app.startup import Ready
from services.core.errors import NotFoundError
from services.core.i18n import _
from services.core.memory_report import MemoryReport
from services.core.requests import RequestKind
from services.core.requests.registry import acting_for
from services.memory.process import rss_bytes
from services.operations.health import Check, Readiness

health_router = APIRouter(tags=["health"])
metrics_router = APIRouter(tags=["metrics"])
requests_router = APIRouter(prefix="/api", tags=["requests"])
status_router = APIRouter(prefix="/api/status", tags=["status"])


@health_router.head("/healthz", include_in_schema=False)
@health_router.get("/healthz", summary="Alive")
async def healthz() -> dict[str, str]:
    """Answer at once, also while models are loading."""
    return {"status": "alive"}


@health_router.head("/readyz", include_in_schema=False)
@health_router.get("/readyz", summary="Ready", responses={503: {"description": "A part is missing; see its check"}})
async def readyz(context: Context) -> Response:
    """Answer 200 when every part can do its work, else 503; one check per part."""
    application = context.application
    readiness = await context.threads.call(application.foundation.health.ready)
    state = application.state
    if not isinstance(state, Ready):
        detail = application.stage
        readiness = Readiness((*readiness.checks, Check("start", ok=False, detail=detail)))
    body: dict[str, Any] = readiness.as_dict()
    if isinstance(state, Ready) and state.services.restarts.draining:
        body["status"] = "draining"
    return JSONResponse(body, status_code=200 if readiness.ok else 503, headers={"Cache-Control": "no-store"})


@metrics_router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}, "application/openmetrics-text": {}}}},
)
async def metrics(request: Request, context: Context) -> Response:
    """Return all metrics in Prometheus's text format, or in OpenMetrics if `Accept` asks for it; also at the start."""
    accept = ",".join(request.headers.getlist("accept"))
    body, content_type = await context.threads.call(context.foundation.metrics.render, accept)
    return Response(body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})


@requests_router.get("/requests", summary="Requests that run, wait, or ended of late")
async def requests(context: Context, limit: Annotated[int, Query(ge=0, le=200)] = 50) -> dict[str, Any]:
    """Return them with the memory before and after. Times in seconds since the epoch; `position` 0 runs, others wait.

    `limits` by kind: how many of a user and in all run at once, how many may wait, and for how many seconds each.
    """
    scopes = context.foundation.requests
    return {
        "rss": rss_bytes(),
        "running": [asdict(running) for running in scopes.running()],
        "recent": [asdict(ended) for ended in scopes.recent(limit)],
        "limits": {kind.value: asdict(scopes.limits(kind)) for kind in RequestKind},
    }


@requests_router.delete("/requests/{id}", status_code=202, summary="End a request")
async def cancel(
    id: Annotated[str, Path(max_length=64)],  # noqa: A002 - the parameter's public name
    request: Request,
    context: Context,
    actor: Caller,
    user: Annotated[str, Query(max_length=200, description="Whom the request is for, as it was said with it")] = "",
) -> Response:
    """Ask a request to end. An administrator may end any, everybody else their own."""
    with acting_for(client_of(request, user)):
        if not context.foundation.requests.cancel(actor, id):
            raise NotFoundError(
                _("This request has ended, or never was."), _("GET /api/requests lists those that run.")
            )
    return Response(status_code=202)


@requests_router.get("/caches", summary="How the caches do")
async def caches(context: Context) -> list[dict[str, Any]]:
    """Return hits, misses and bytes of each cache; `hit_rate` from 0 to 1, null before the first look-up."""
    return [{**asdict(stats), "hit_rate": stats.hit_rate} for stats in context.foundation.caches.stats()]


@status_router.get("", summary="Counts, resources and chat model")
async def status(context: Context) -> dict[str, Any]:
    """Return totals, what the process holds once (bytes, load counts), and the chat model's state."""
    return await context.threads.call(_status, context)


def _status(context: ApiContext) -> dict[str, Any]:
    services = context.services
    running, waiting = services.answers.slots()
    return {
        "ready": context.application.ready,
        "stage": context.application.stage,
        "started_at": services.started_at,
        "rss_bytes": rss_bytes(),
        "counts": asdict(services.library.counts()),
        "resources": [_shown(held) for held in services.resources()],
        "chat_model": asdict(services.models.status()),
        "answers": {"running": running, "waiting": waiting},
    }


def _shown(held: MemoryReport) -> dict[str, Any]:
    """Return what may be shown of a report: not where in memory things lie, nor in which folder."""
    return {
        "name": held.name,
        "detail": held.detail,
        "bytes": held.bytes,
        "loads": held.loads,
        "attributes": held.attributes,
        "owner": held.owner,
    }
