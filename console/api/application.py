"""The HTTP API as one ASGI application, and the paths at which it stands beside the pages."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from console.api import (
    account,
    audit,
    backups,
    budget,
    chat,
    conversations,
    deletions,
    document_pages,
    documents,
    embedding_model,
    gc,
    gc_experiment,
    mcp,
    memory,
    nodes,
    objects,
    openapi,
    operations,
    other_nodes,
    people,
    permissions,
    problems,
    search,
    sharing,
    tracing,
)
from console.api.context import ApiContext, Threads
from services.app.startup import Application

DOCS = "/docs"
_WHOLE = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json", DOCS, "/api", mcp.MCP})
_BEGINNINGS = (f"{DOCS}/", "/api/", "/v1/")
# As the pages' answers: smaller ones are not compressed.
GZIP_BYTES = 1000
GZIP_LEVEL = 5


def create_api() -> FastAPI:
    """Return the API without its services; `provide` connects them."""
    api: FastAPI = FastAPIOffline(
        docs_url=DOCS,
        redoc_url=None,
        static_url="/docs/assets",
        swagger_ui_oauth2_redirect_url="/docs/oauth2-redirect",
        title="Millpond",
        description="Documents, search and chat. Errors are problem documents (RFC 9457).",
        version="1",
    )
    describe = api.openapi
    api.openapi = openapi.completed(describe)  # type: ignore[method-assign]  # FastAPI's documented way
    problems.install(api)
    for router in (
        search.router,  # routes are gone through in this order: the most frequent first
        operations.health_router,
        documents.router,
        document_pages.router,
        documents.imports_router,
        documents.collections_router,
        documents.jobs_router,
        deletions.router,
        embedding_model.router,
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
        audit.router,
        backups.router,
        nodes.router,
        other_nodes.router,
        account.router,
        people.router,
        people.groups_router,
        sharing.router,
        mcp.router,
    ):
        api.include_router(router)
    permissions.require_rules(api)
    return api


def provide(api: FastAPI, application: Application) -> None:
    """Connect the API to the services. Must be called in the event loop that serves it."""
    settings = application.foundation.settings
    threads = Threads(settings.answers_total + settings.answers_waiting, settings.searches_total)
    api.state.context = ApiContext(application, threads)


class ApiPaths:
    """Passes requests of the API to it, past the layers of the pages behind this one: their cookies, routes and checks
    of paths are of no use to it.

    Not a mount, which would strip its prefix from the path: the addresses in the OpenAPI document and in problem
    documents would be wrong. The API's own page and document name addresses under `base_path`.
    """

    def __init__(self, app: ASGIApp, *, api: ASGIApp, base_path: str = "") -> None:
        self._app = app
        self._api = GZipMiddleware(api, minimum_size=GZIP_BYTES, compresslevel=GZIP_LEVEL)
        self._base_path = base_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_api(scope["path"]):
            await self._app(scope, receive, send)
            return
        # The scripts of the API's page are found by their path alone.
        if self._base_path and not scope["path"].startswith(f"{DOCS}/assets/"):
            scope["root_path"] = self._base_path  # in the scope itself: `RequestContext` reads the route there
        await self._api(scope, receive, send)


def is_api(path: str) -> bool:
    """Return whether a path is one of the API's, there or not."""
    return path in _WHOLE or path.startswith(_BEGINNINGS)
