"""Operation over HTTP: health probes, metrics, requests in progress and how to cancel them, caches, status."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from console.api.context import ApiContext, Caller, Context, bearer_token, caller_of, client_of
from console.api.middleware.cookies import is_local
from console.api.permissions import needs, open_to_everybody
from console.api.problems import Projection
from console.api.translated import TranslatedRoute
from console.rules import is_visitor
from services.app.listed_nodes import is_draining
from services.app.startup import Ready
from services.chat.types import BackendStatus
from services.core.access import is_admin_token
from services.core.actor import Actor, Permission, Role
from services.core.errors import MillpondError, NotFoundError
from services.core.i18n import _
from services.core.requests.concurrency import FinishedRequest, RequestKind, RequestLimits, RunningRequest
from services.core.requests.registry import acting_for
from services.core.shared_level import SharedCacheStatus, ShelfStats
from services.knowledge.types import LibraryCounts
from services.memory.leaks.headline import headline
from services.operations.connections import ConnectionCounts
from services.operations.health import Check, Readiness

health_router = APIRouter(route_class=TranslatedRoute, tags=["health"])
metrics_router = APIRouter(route_class=TranslatedRoute, tags=["metrics"])
requests_router = APIRouter(route_class=TranslatedRoute, prefix="/api", tags=["requests"])
status_router = APIRouter(route_class=TranslatedRoute, prefix="/api/status", tags=["status"])


class CheckOut(BaseModel):
    """The state of a component; one with a `warning` does not keep the process from being ready."""

    ok: bool
    detail: str
    warning: bool = False


class StatusAloneOut(BaseModel):
    """Whether the service is ready: what anybody may know."""

    status: Literal["ready", "not ready", "draining"]


class ReadinessOut(StatusAloneOut):
    """The checks of all components by name, for whoever operates the service."""

    checks: dict[str, CheckOut]


class RequestsOut(BaseModel):
    """Requests by state, the newest first, and the limits of each kind."""

    rss: int = Field(description="In bytes, as in `/api/memory`")
    measured_at: float = Field(description="When RSS was read")
    running: list[RunningRequest]
    recent: list[FinishedRequest]
    limits: dict[str, RequestLimits]


class CacheOut(Projection):
    """Counts of a cache since the start; bytes and entries now; its budget in bytes. `shared` is what nodes keep of it
    for each other, null where they do not.
    """

    name: str
    label: str
    hits: int
    misses: int
    evicted: int
    entries: int
    bytes: int
    budget: int
    hit_rate: float | None
    shared: ShelfStats | None


class ResourceOut(Projection):
    """A memory report without what is private: neither addresses nor folders."""

    name: str
    detail: str
    bytes: int
    loads: int
    attributes: dict[str, str]
    owner: str


class AnswerSlotsOut(BaseModel):
    """How many answers are in progress and how many wait."""

    running: int
    waiting: int


class StatusOut(BaseModel):
    """Totals, what the process holds in memory, and the state of the chat model."""

    ready: bool
    stage: str
    started_at: float
    rss_bytes: int = Field(description="As in `/api/memory`")
    measured_at: float = Field(description="When RSS was read")
    verdict: str = Field(description="On the memory: `headline` of `/api/memory`")
    counts: LibraryCounts
    resources: list[ResourceOut] = Field(description="Big things that are loaded once")
    chat_model: BackendStatus
    answers: AnswerSlotsOut
    connections: ConnectionCounts


@health_router.head("/healthz", dependencies=open_to_everybody(), include_in_schema=False)
@health_router.get("/healthz", dependencies=open_to_everybody(), summary="Alive")
async def healthz() -> dict[str, str]:
    """Answer at once, also while models are loading."""
    return {"status": "alive"}


@health_router.head("/readyz", dependencies=open_to_everybody(), include_in_schema=False)
@health_router.get(
    "/readyz",
    dependencies=open_to_everybody(),
    summary="Ready",
    response_model=ReadinessOut | StatusAloneOut,
    responses={503: {"model": ReadinessOut | StatusAloneOut, "description": "A component does not work"}},
)
async def readyz(request: Request, context: Context) -> Response:
    """Answer 200 when every component works, else 503.

    Administrators and operators get one check per component, and so does this machine while nobody has an account.
    """
    application = context.application
    readiness = await context.threads.call(application.foundation.health.ready)
    state = application.state
    if not isinstance(state, Ready):
        detail = application.stage
        readiness = Readiness((*readiness.checks, Check("start", ok=False, detail=detail)))
    body: dict[str, Any] = readiness.as_dict()
    if isinstance(state, Ready) and is_draining(state.services):
        body["status"] = "draining"
    if not await _may_see_checks(request, context):
        del body["checks"]
    return JSONResponse(body, status_code=200 if readiness.ok else 503)


async def _may_see_checks(request: Request, context: ApiContext) -> bool:
    """Return whether the caller may know which component has what fault: names of servers and files are in it."""
    settings = context.foundation.settings
    token = bearer_token(request.headers)
    if context.application.opened is None:  # nobody can be known yet
        open_here = Role(settings.visitors) is Role.ADMIN and is_local(request.scope)
        return open_here or is_admin_token(settings, token)
    try:
        actor = await caller_of(request)
    except MillpondError:
        return False
    known = actor.person_id is not None or is_admin_token(settings, token) or is_local(request.scope)
    return known and actor.may(Permission.OPERATE)


@metrics_router.get(
    "/metrics",
    dependencies=needs(Permission.OPERATE, visitors=True),
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}, "application/openmetrics-text": {}}}},
)
async def metrics(request: Request, context: Context) -> Response:
    """Return all metrics in Prometheus's text format, or in OpenMetrics if `Accept` asks for it; also at the start."""
    accept = ",".join(request.headers.getlist("accept"))
    body, content_type = await context.threads.call(context.foundation.metrics.render, accept)
    return Response(body, headers={"Content-Type": content_type})


@requests_router.get("/requests", dependencies=needs(Permission.READ), summary="Running, waiting and recent requests")
async def requests(context: Context, actor: Caller, limit: Annotated[int, Query(ge=0, le=200)] = 50) -> RequestsOut:
    """Return requests with the memory before and after. Times in seconds since the epoch; those at `position` 0 run.

    Whoever operates the service sees all of them, everybody else their own. `limits` by kind: how many of a user and in
    all run at once, how many may wait, and for how many seconds each.
    """
    registry, reading = context.foundation.requests, context.application.rss_reading()
    running, recent = registry.running(), registry.recent()
    if not actor.may(Permission.OPERATE) and not is_visitor(actor):
        running = [each for each in running if each.user == actor.name]
        recent = [each for each in recent if each.user == actor.name]
    return RequestsOut(
        rss=reading.rss,
        measured_at=reading.time,
        running=running,
        recent=recent[:limit],
        limits={kind.value: registry.limits(kind) for kind in RequestKind},
    )


@requests_router.delete(
    "/requests/{id}",
    dependencies=needs(Permission.READ),
    status_code=202,
    summary="Cancel a request",
    response_class=Response,
)
async def cancel(
    id: Annotated[str, Path(max_length=64)],  # noqa: A002 - the parameter's public name
    request: Request,
    context: Context,
    actor: Caller,
    user: Annotated[str, Query(max_length=200, description="User that was named with the request")] = "",
) -> Response:
    """Cancel a request. An administrator may cancel any, everybody else their own."""
    with acting_for(client_of(request, user)):
        if not context.foundation.requests.cancel(actor, id):
            raise NotFoundError(
                _("There is no such request, or it has ended."), _("GET /api/requests lists those that run.")
            )
    return Response(status_code=202)


@requests_router.get("/caches", dependencies=needs(Permission.OPERATE, visitors=True), summary="Figures of the caches")
async def caches(context: Context) -> list[CacheOut]:
    """Return hits, misses and bytes of each cache; `hit_rate` from 0 to 1, null before the first lookup."""
    caches = context.foundation.caches
    return [CacheOut.of(stats, shared=caches.shelf(stats.name)) for stats in caches.stats()]


@requests_router.get(
    "/caches/shared", dependencies=needs(Permission.OPERATE, visitors=True), summary="State of the shared cache"
)
async def shared_cache(context: Context) -> SharedCacheStatus | None:
    """Return how the server does in which nodes keep things for each other; null where there is none."""
    shared = context.foundation.caches.shared
    return None if shared is None else shared.status()


@status_router.post(
    "/chat-model/test", dependencies=needs(Permission.CONFIGURE), summary="Ask the chat model a test question"
)
async def test_chat_model(context: Context, actor: Caller) -> BackendStatus:
    """Ask the chosen chat server a short question; the status says what it takes of the protocol and what not."""
    actor.require(Permission.CONFIGURE, _("Test the chat model"))
    models = context.services.models
    return await context.threads.call(lambda: models.test(actor, models.choice()))


@status_router.delete(
    "/chat-model/capabilities",
    dependencies=needs(Permission.CONFIGURE),
    status_code=204,
    summary="Forget what the chat server takes",
)
async def forget_capabilities(context: Context, actor: Caller) -> Response:
    """Forget what was learnt about the chosen chat server, after an update for example; the next question learns it."""
    await context.threads.call(context.services.models.forget_capabilities, actor)
    return Response(status_code=204)


@status_router.get(
    "", dependencies=needs(Permission.OPERATE, visitors=True), summary="Counts, resources and chat model"
)
async def status(context: Context, actor: Caller) -> StatusOut:
    """Return totals, what the process holds once (bytes, load counts), and the chat model's state."""
    return await context.threads.call(_status, context, actor)


def _status(context: ApiContext, actor: Actor) -> StatusOut:
    services, reading = context.services, context.application.rss_reading()
    running, waiting = services.answers.slots()
    return StatusOut(
        ready=context.application.ready,
        stage=context.application.stage,
        started_at=services.started_at,
        rss_bytes=reading.rss,
        measured_at=reading.time,
        verdict=headline(services.memory.detector.verdict),
        counts=services.library.counts(actor),
        resources=[ResourceOut.model_validate(report) for report in services.shown_resources()],
        chat_model=services.models.status(),
        answers=AnswerSlotsOut(running=running, waiting=waiting),
        connections=context.application.hooks.connections(),
    )
