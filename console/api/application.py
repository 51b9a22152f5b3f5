"""The HTTP API as one application: every route with its full path, mounted beside the pages."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from console.api import (
    budget,
    chat,
    conversations,
    documents,
    gc,
    gc_experiment,
    memory,
    objects,
    operations,
    problems,
    search,
    tracing,
)
from console.api.context import ApiContext, Threads
from services.app.container import Runtime

DOCS = "/docs"
PATHS = (
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    DOCS,
    "/docs/{rest:path}",
    "/api",
    "/api/{rest:path}",
    "/v1/{rest:path}",
)


def create_api() -> FastAPI:
    """Build the API; `provide` gives it its services."""
    api = FastAPIOffline(
        docs_url=DOCS,
        redoc_url=None,
        static_url="/docs/assets",
        swagger_ui_oauth2_redirect_url="/docs/oauth2-redirect",
        title="Millpond",
        description="Documents, search and chat. Errors are problem documents (RFC 9457).",
        version="1",
    )
    problems.install(api)
    for router in (
        operations.health_router,
        documents.router,
        documents.collections_router,
        documents.jobs_router,
        search.router,
        operations.requests_router,
        operations.status_router,
        chat.router,
        conversations.router,
        memory.router,
        budget.router,
        objects.router,
        tracing.router,
        gc.router,
        gc.reclaim_router,
        operations.metrics_router,
        gc_experiment.router,
    ):
        api.include_router(router)
    return api


def provide(api: FastAPI, runtime: Runtime) -> None:
    """Connect the API to the services; called inside of the event loop that serves it."""
    settings = runtime.settings
    api.state.context = ApiContext(runtime, Threads(settings.answers_total + settings.answers_waiting))


def routes(api: FastAPI) -> list[BaseRoute]:
    """Return the routes that lead to the API.

    Routes rather than mounts: a mount would cut its prefix off the path, and the addresses in the API's description
    and in its problem documents would no longer be the real ones.
    """
    return [Route(path, endpoint=_Through(api), include_in_schema=False) for path in PATHS]


class _Through:
    """An endpoint that hands the request on as it is."""

    def __init__(self, api: FastAPI) -> None:
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._api(scope, receive, send)
