"""The HTTP API as one ASGI application, and the routes under which it stands beside the pages."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from console.api import (
    account,
    audit,
    budget,
    chat,
    conversations,
    deletions,
    documents,
    embedding_model,
    gc,
    gc_experiment,
    mcp,
    memory,
    objects,
    openapi,
    operations,
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
    mcp.MCP,
)


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
        operations.health_router,
        documents.router,
        documents.imports_router,
        documents.collections_router,
        documents.jobs_router,
        deletions.router,
        search.router,
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
    api.state.context = ApiContext(application, Threads(settings.answers_total + settings.answers_waiting))


def routes(api: FastAPI, base_path: str = "") -> list[BaseRoute]:
    """Return the routes that lead to the API; its own page and document name addresses under `base_path`.

    Routes and not mounts: a mount would strip its prefix from the path, and the addresses in the OpenAPI document and
    in problem documents would be wrong.
    """
    return [Route(path, endpoint=_Forward(api, base_path), include_in_schema=False) for path in PATHS]


class _Forward:
    """An endpoint that passes the request on; the scripts of the API's page are found by their path alone."""

    def __init__(self, api: FastAPI, base_path: str) -> None:
        self._api = api
        self._base_path = base_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._base_path and not scope["path"].startswith(f"{DOCS}/assets/"):
            scope = {**scope, "root_path": self._base_path}
        await self._api(scope, receive, send)
