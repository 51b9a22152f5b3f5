"""The ASGI application: Streamlit's pages, the API beside them, one set of services for both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import Route

from console.api.application import ApiPaths, create_api, provide
from console.api.context import ACTOR
from console.api.middleware import (
    Authentication,
    BasePath,
    BodyLimit,
    BodyProgress,
    Forwarded,
    HostGuard,
    ReaderLanguage,
    RequestContext,
    ResponseHeaders,
    UnknownApiPath,
    UploadLimit,
    holds_content,
)
from console.api.middleware.open_requests import AdmittedRequests, watching
from console.api.middleware.paths import SIGN_IN, SIGN_OUT
from console.api.oidc_sign_in import OidcSignIn
from console.api.sign_in import SignIn
from console.navigation import PageName
from console.ui import allocations, live_answers, runtime_access
from console.ui.charts import chart
from console.ui.error_boundary import show_error
from console.ui.shared.heartbeat import tick_memory
from console.ui.streamlit import internals, memory, owners, tab_owner
from console.ui.streamlit.memory import StreamlitMemory, session_parts
from console.ui.streamlit.page_frame import PageFrame
from console.ui.streamlit.reaper import reap
from console.ui.streamlit.tab_socket import TabSocket
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.core.memory_report import Owner
from services.core.networks import parsed_address
from services.core.settings import Settings
from services.memory.tracing.source import register_machinery

ENTRY_POINT = Path(__file__).resolve().parent / "app.py"
BODY_LIMIT_BYTES = 4 * MEGABYTE
# These count for themselves: files are taken in there.
UPLOADS = ("/api/documents", "/_stcore/upload_file")


def create_app(settings: Settings, *, has_room: Callable[[], bool] = lambda: True) -> st.App:
    """Build the application. `runtime_access.configure` comes before, so that the services get these settings.

    `has_room`: whether one more page may be opened.
    """
    api = create_api()
    provider = OidcSignIn(settings, runtime_access.existing_platform) if settings.oidc_issuer else None
    sign_in = SignIn(runtime_access.existing_platform, lambda: provider)
    requests = AdmittedRequests(_cancel, tab_owner.end_tabs, tab_owner.redraw_tabs)
    internals.patch_fragment_targets()

    @asynccontextmanager
    async def lifespan(_app: st.App) -> AsyncIterator[dict[str, Any]]:
        application = runtime_access.application()
        streamlit_memory = StreamlitMemory(application.service_types)
        application.hooks.count_sessions_by(memory.connected_tabs)
        application.hooks.add_memory_reporter(streamlit_memory)
        application.hooks.add_memory_reporter(tick_memory)
        application.hooks.add_owner("sessions", session_parts, _("Browser tabs"))
        owners.register_owners(application.hooks)
        application.hooks.add_owner_rule(live_answers, Owner.CONVERSATIONS)
        register_machinery(allocations)
        provide(api, application)
        try:
            async with (
                watching(runtime_access.existing_platform, requests),
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(reap, application, streamlit_memory)
                yield {"application": application}
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(runtime_access.close)

    app = st.App(
        ENTRY_POINT,
        lifespan=lifespan,
        routes=[
            Route(f"/{PageName.CHAT}", _first_page),
            *chart.routes(),
            *sign_in.routes(),
        ],
        middleware=[
            Middleware(
                Forwarded,
                proxies=settings.trusted_proxies,
                proxies_only=bool(settings.trusted_proxies) and not (settings.tls_cert or settings.insecure),
            ),
            *([Middleware(BasePath, path=settings.base_path)] if settings.base_path else []),
            Middleware(ReaderLanguage, setting=settings.language),
            Middleware(RequestContext, foundation=runtime_access.existing_foundation),
            Middleware(ResponseHeaders, tls=bool(settings.tls_cert), closing=_restarting),
            Middleware(HostGuard, hosts=known_hosts(settings), any_address=settings.insecure),
            Middleware(
                Authentication,
                platform=runtime_access.existing_platform,
                requests=requests,
                owns=tab_owner.owns,
                local_only=is_local_only(settings),
            ),
            Middleware(UnknownApiPath),
            Middleware(
                BodyProgress,
                stall_seconds=settings.stall_seconds,
                bytes_per_second=settings.body_bytes_per_second,
            ),
            Middleware(BodyLimit, limit_bytes=BODY_LIMIT_BYTES, exempt=UPLOADS),
            # Requests of the API do not come further than this; what follows is for the pages.
            Middleware(ApiPaths, api=api, base_path=settings.base_path),
            Middleware(
                TabSocket,
                first_seconds=settings.header_seconds,
                has_room=has_room,
                actor_of=lambda scope: scope.get(ACTOR),
            ),
            Middleware(PageFrame, is_other=_is_no_page),
            Middleware(
                UploadLimit,
                path=UPLOADS[1],
                limit_bytes=settings.upload_limit_bytes,
                foundation=runtime_access.existing_foundation,
            ),
        ],
        on_script_error=show_error,
    )
    # st.App finds .streamlit/config.toml beside the entry point, wherever the process was started. What follows from
    # our own settings is laid over it.
    internals.load_config_options(
        {
            "server.address": settings.host,
            "server.port": settings.port,
            "server.maxUploadSize": settings.upload_limit_mb,
            "logger.level": settings.log_level,
            "server.trustedUserHeaders": tab_owner.TRUSTED_HEADERS,
        }
    )
    return app


async def _first_page(request: Request) -> RedirectResponse:
    """The chat is the first page and so lies at the root; whoever types its name as that of the others gets there."""
    query = request.url.query
    return RedirectResponse(f"./?{query}" if query else "./")


def _is_no_page(path: str) -> bool:
    return holds_content(path) or path in {SIGN_IN, SIGN_OUT}


def _cancel(users: frozenset[str], sessions: frozenset[str]) -> None:
    foundation = runtime_access.existing_foundation()
    if foundation is not None:
        foundation.requests.cancel_all(users=users, sessions=sessions)


def _restarting() -> bool:
    """Whether a restart is under way; before the restarts exist there is none."""
    application = runtime_access.existing_application()
    platform = application.opened if application is not None else None
    return platform is not None and platform.restarts.requested is not None


def known_hosts(settings: Settings) -> list[str]:
    """Return the names under which the console may be reached, beside those of loopback."""
    own = urlsplit(settings.node_url).hostname or ""
    names = [settings.host, own, *(name.strip() for name in settings.allowed_hosts.split(","))]
    if settings.insecure:
        import socket

        names += [socket.gethostname(), socket.getfqdn()]
    return [name for name in names if name and name not in {"0.0.0.0", "::"}]  # noqa: S104 - compared, not bound


def is_local_only(settings: Settings) -> bool:
    """Return whether the server listens on this machine alone, and no proxy publishes it."""
    host = parsed_address(settings.host.strip("[]"))
    return not settings.trusted_proxies and (settings.host == "localhost" or (host is not None and host.is_loopback))
