"""`serve`: listens at once where the settings allow it, loads in the background, reports when ready, and stops within
seconds or yields to a successor.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

import click
import structlog

from console.cli.listener import BACKLOG, address_of, listen, refuse_exposure
from console.cli.supervisor_link import LinkMessage, StartMode, SupervisorLink, service_manager, systemd_listener
from console.cli.terminal import warn_of_names
from services.core.access import is_admin_token
from services.core.actor import Role
from services.core.errors import CancelledError, MillpondError
from services.core.events import EventKind
from services.core.i18n import _, use_terminal_language
from services.core.machine import MEGABYTE
from services.core.settings import Settings
from services.memory.process import fix_mmap_threshold, limit_arenas, rss_bytes
from services.memory.refusal import require_memory
from services.operations.certificate import CERTIFICATE
from services.operations.connections import ConnectionEnd
from services.operations.data_lock import DataLock
from services.operations.descriptors import raise_limit
from services.operations.drain import Successor
from services.operations.logging import configure
from services.operations.restarts import EXIT_CODE

if TYPE_CHECKING:
    import uvicorn

    from console.cli.connection_guard import ConnectionGuard
    from console.cli.server import DrainingServer
    from console.cli.tls import TlsFiles
    from services.app.startup import Application

log = structlog.get_logger(__name__)

STOP_SECONDS = 3
# Longer than proxies and clients keep an idle connection (nginx: 60 s): a server that closes first may lose a request
# that is on its way.
KEEP_ALIVE_SECONDS = 75
CERTIFICATE_SECONDS = 10.0  # a later process waits this long for a pair of files that belong together
FOLDER_SECONDS = 20.0  # a successor waits this long for the data folder
HOLD_SECONDS = 60.0  # connections wait this long for a successor; then they get the page about the start
HANGING_SECONDS = 38.0  # an end that takes longer is forced; less than a supervisor waits
# In one round of the event loop; only then do the limits of connections apply to those that were accepted.
ACCEPTED_AT_ONCE = 16
# Browsers answer by themselves, also for a tab that nobody looks at; whoever does not is gone after twice the time.
PING_SECONDS = 20
MESSAGE_BYTES = 16 * MEGABYTE  # what a page sends: states of widgets; files come by HTTP


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """How this process listens. `held`: another process holds the socket, too, so that connections wait in it."""

    listener: socket.socket
    link: SupervisorLink | None
    mode: StartMode
    held: bool
    tls: bool

    @property
    def url(self) -> str:
        return address_of(self.listener, tls=self.tls)


class _Deadline:
    """Forces the end of the process when it does not end by itself; everything acknowledged is saved by then anyway."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._begun = threading.Lock()

    def begin(self, code: int) -> None:
        """Begin to wait for the end, only once; `code` is the exit code of a forced one."""
        if self._begun.acquire(blocking=False):
            timer = threading.Timer(self._seconds, self._force, (code,))
            timer.daemon = True
            timer.start()

    def _force(self, code: int) -> None:
        log.error("the end takes too long and is forced; what the threads do follows", seconds=self._seconds)
        faulthandler.dump_traceback()
        os._exit(code)


def serve(settings: Settings) -> int:
    """Serve pages and API until a signal; returns the exit code, `EXIT_CODE` when it is to be started again.

    Raises:
        MillpondError: it cannot be started with these settings.
    """
    if settings.malloc_arenas:
        limit_arenas(settings.malloc_arenas)  # before anything starts a thread
        fix_mmap_threshold()
    use_terminal_language(settings.language)
    refuse_exposure(settings)
    require_memory(settings.data_dir)
    endpoint = _open(settings)
    tls = _tls_files(settings, endpoint.mode)
    running: list[Application] = []
    # Lines tell the RSS that pages and API show at that moment.
    configure(
        level=settings.log_level,
        style=settings.log_format,
        rss_bytes=lambda: running[0].rss_reading().rss if running else rss_bytes(),
    )
    warn_of_names()
    if settings.insecure:
        log.warning("--insecure: whoever reaches this address reads and changes everything; for tests only")
    if tls is not None and tls.is_key_open():
        log.warning("the TLS key can be read by every user of this machine", path=settings.tls_key or settings.tls_cert)
    descriptors = raise_limit()
    log.info("descriptors", limit=descriptors.soft, found=descriptors.found)

    gc.disable()  # what is imported stays: looking for garbage in it meanwhile is a sixth of the start
    from console.asgi import create_app
    from console.cli.connection_guard import ConnectionGuard, ConnectionRules
    from console.cli.server import DrainingServer
    from console.cli.tls import TlsWatch
    from console.ui import runtime_access

    gc.enable()
    guard = ConnectionGuard(ConnectionRules.of(settings, descriptors))

    server: DrainingServer | None = None
    stopped = threading.Event()

    def stop() -> None:
        stopped.set()
        if server is not None:
            server.stop()

    settings = settings.model_copy(update={"port": int(endpoint.listener.getsockname()[1])})
    runtime_access.configure(
        settings,
        url=endpoint.url,
        on_failure=stop,
        before=_wait_for_turn(settings, endpoint.link, stopped) if endpoint.mode is StartMode.STANDBY else None,
        patience=0.0 if endpoint.mode is StartMode.FIRST else FOLDER_SECONDS,
    )
    server = DrainingServer(
        _config(settings, create_app(settings, has_room=guard.has_room), guard, tls),
        guard,
        backlog=BACKLOG,
        tls=None if tls is None else TlsWatch(tls, partial(_report_certificate, runtime_access.application)),
        hold=_hold_connections(endpoint.mode, stopped, runtime_access.application),
        on_end=_Deadline(HANGING_SECONDS).begin,
    )
    _handle_signals(stop)
    application = runtime_access.application()
    running.append(application)
    if tls is not None:
        application.foundation.health.set_check(CERTIFICATE, tls.check)
    application.hooks.count_connections_by(guard.counts)
    application.hooks.set_successor(_successor(settings, server, endpoint))
    announcer = threading.Thread(
        target=copy_context().run, args=(_announce, application, endpoint), name="millpond-announcer", daemon=True
    )
    announcer.start()
    if endpoint.link is not None:
        endpoint.link.start(stop)
    server.run(sockets=[endpoint.listener])
    return _exit_code(application, server)


def _exit_code(application: Application, server: DrainingServer) -> int:
    """Say how it ended, and return that as an exit code; raises why it could not start."""
    if application.failure is not None and not isinstance(application.failure, CancelledError):
        raise application.failure
    if server.restarting:
        click.echo(_("Millpond ends for its successor; everything is saved"))
        return EXIT_CODE
    click.echo(_("Millpond has stopped; everything is saved"))
    return 0


def _open(settings: Settings) -> _Endpoint:
    """Use the listening socket that a supervisor or service manager holds, else open one."""
    link = SupervisorLink.from_environment()
    mode = link.mode if link is not None else StartMode.FIRST
    opened = link.listener if link is not None else systemd_listener()
    if opened is not None:  # whoever opened it may have chosen another address than the settings
        refuse_exposure(settings, str(opened.getsockname()[0]))
    listener = opened or listen(settings)
    listener.setblocking(False)
    held = opened is not None or link is not None
    endpoint = _Endpoint(listener, link, mode, held=held, tls=bool(settings.tls_cert))
    if mode is StartMode.FIRST:
        DataLock(settings.data_dir).require_free()
        if link is not None:
            link.send_listener(listener)
        text = _("Millpond is starting at {url}; its data is in {path}")
        click.echo(text.format(url=endpoint.url, path=settings.data_dir))
    return endpoint


def _tls_files(settings: Settings, mode: StartMode) -> TlsFiles | None:
    """Return the certificate of the settings; a later process waits a little for files that are being replaced."""
    from console.cli.tls import TlsFiles, limit_buffers

    files = TlsFiles.of(settings, patience=0.0 if mode is StartMode.FIRST else CERTIFICATE_SECONDS)
    if files is not None:
        limit_buffers()
    return files


def _report_certificate(application: Callable[[], Application], text: str) -> bool:
    """Record an event about the certificate; return whether there is a time line already."""
    platform = application().opened
    if platform is None:
        return False
    platform.reporter.event(EventKind.CERTIFICATE, text)
    return True


def _config(settings: Settings, app: object, guard: ConnectionGuard, tls: TlsFiles | None) -> uvicorn.Config:
    import uvicorn

    from console.api.middleware import Reserve
    from console.cli.protocols import protocol_classes

    http, websocket = protocol_classes(
        guard,
        partial(
            Reserve,
            is_admin_token=partial(_is_administrator, settings),
            base_path=settings.base_path,
            on_refusal=partial(guard.count, ConnectionEnd.REFUSED),
        ),
        None if tls is None else lambda: tls.context,
    )
    return uvicorn.Config(
        app,  # type: ignore[arg-type] # Streamlit's class is an ASGI application without saying so
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # it would believe everybody on this machine; see console/api/middleware/forwarded.py
        backlog=ACCEPTED_AT_ONCE,
        # Not uvloop, where it happens to be installed: it accepts all that wait at once, and takes a listening socket
        # back only by closing it. It was not faster here: what takes time is behind the event loop.
        loop="asyncio",
        http=http,
        ws=websocket,
        ws_max_size=MESSAGE_BYTES,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PING_SECONDS,
        ws_per_message_deflate=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )


def _is_administrator(settings: Settings, token: str) -> bool:
    """Return whether a token is an administrator's: an API token where there are accounts."""
    from console.ui import runtime_access

    platform = runtime_access.existing_platform()
    if platform is None or platform.identity.open_mode:
        return is_admin_token(settings, token)
    try:
        return bool(token) and platform.identity.by_api_token(token, "").role is Role.ADMIN
    except MillpondError:
        return False


def _handle_signals(stop: Callable[[], None]) -> None:
    """Install handlers that end the start.

    The server then replaces them. When it has stopped, it raises the signal again; by then nothing is left to end.
    """

    def end(_number: int, _frame: FrameType | None) -> None:
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


def _wait_for_turn(
    settings: Settings, link: SupervisorLink | None, stopped: threading.Event
) -> Callable[[Application], None]:
    """Return what a standby does before it opens the data folder: it waits for the previous process to release it."""

    def wait(application: Application) -> None:
        application.prepare()
        if link is not None:
            link.send(LinkMessage.LOADED)
        lock = DataLock(settings.data_dir)
        while lock.holder() is not None:
            if stopped.wait(0.01):
                raise CancelledError(_("Millpond was stopped before its turn came."))

    return wait


def _successor(settings: Settings, server: DrainingServer, endpoint: _Endpoint) -> Successor | None:
    """Return what starts the next process, None for nothing."""

    link = endpoint.link
    if link is not None:
        return Successor(
            _("the supervisor"),
            holds_connections=True,
            prepare=link.prepare,
            stop_accepting=server.stop_accepting,
            end=server.stop_for_successor,
        )
    if name := service_manager(settings.restarted_by):
        return Successor(
            name,
            holds_connections=endpoint.held,
            prepare=lambda _seconds: False,
            stop_accepting=server.stop_accepting,
            end=server.stop_for_successor,
        )
    return None


def _hold_connections(
    mode: StartMode, stopped: threading.Event, application: Callable[[], Application]
) -> Callable[[], bool]:
    """Return whether connections are still to be left in the queue: until the services are ready.

    The first process accepts them at once and shows the progress of its start. A later one does so when it takes long;
    a standby has no such limit, as its turn comes when the previous process has ended.
    """
    deadline = time.monotonic() + HOLD_SECONDS

    def hold() -> bool:
        if mode is StartMode.FIRST or stopped.is_set() or (mode is StartMode.NEXT and time.monotonic() > deadline):
            return False
        return application().starting

    return hold


def _announce(application: Application, endpoint: _Endpoint) -> None:
    """Print the progress of the first start; of a later one, only that it is ready."""
    printed = ""
    url = endpoint.url  # read now: when the server stops before it is ready, the socket is gone
    waiting = threading.Event()
    while application.starting:
        stage = application.stage
        if stage != printed:
            printed = stage
            if endpoint.mode is StartMode.FIRST:
                click.echo(f"  {stage}")
        waiting.wait(0.1)
    if application.ready:
        if endpoint.link is not None:
            endpoint.link.send(LinkMessage.READY)
        click.echo(_("Millpond is ready at {url}").format(url=url))
