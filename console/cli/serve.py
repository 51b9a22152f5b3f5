"""`serve`: listen at once, load in the background, say so when ready, stop within seconds or make room for another."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

import click

from console.cli.listen import address_of, listen, refuse_exposure
from console.cli.supervisor_link import LinkMessage, StartMode, SupervisorLink, service_manager, systemd_listener
from console.cli.terminal import warn_of_old_names
from services.core.errors import CancelledError
from services.core.i18n import _, use_language
from services.core.settings import MEGABYTE, Settings
from services.memory.process import fix_mmap_threshold, limit_arenas, rss_bytes
from services.operations.data_lock import DataLock
from services.operations.drain import Successor
from services.operations.logging import configure
from services.operations.restarts import EXIT_CODE

if TYPE_CHECKING:
    import uvicorn

    from console.cli.server import DrainingServer
    from services.app.startup import Application

STOP_SECONDS = 3
# Longer than proxies and clients keep a connection that is idle (nginx: 60 s): whoever closes first must not be the one
# to whom a request may be on its way.
KEEP_ALIVE_SECONDS = 75
FOLDER_SECONDS = 20.0  # a successor waits so long for the data folder
HOLD_SECONDS = 60.0  # connections wait so long for a successor to be ready; then they are told that it is starting
HANGING_SECONDS = 45.0  # an end that takes longer is no longer waited for


@dataclass(frozen=True, slots=True)
class _Opening:
    """How this process comes to listen. `held`: somebody else holds the socket, too, so connections wait in it."""

    listener: socket.socket
    handover: SupervisorLink | None
    how: StartMode
    held: bool

    @property
    def url(self) -> str:
        return address_of(self.listener)


def serve(settings: Settings) -> int:
    """Serve pages and API until a signal comes; returns the exit code, `EXIT_CODE` when it is to be started again.

    Raises:
        MillpondError: it cannot be started like this.
    """
    if settings.malloc_arenas:
        limit_arenas(settings.malloc_arenas)  # before anything starts a thread
        fix_mmap_threshold()
    use_language(settings.language)
    refuse_exposure(settings)
    opening = _open(settings)
    configure(level=settings.log_level, style=settings.log_format, rss_bytes=rss_bytes)
    warn_of_old_names()

    from console.asgi import create_app
    from console.cli.server import DrainingServer
    from console.ui import runtime_access

    server: DrainingServer | None = None
    stopped = threading.Event()

    def stop() -> None:
        stopped.set()
        if server is not None:
            server.should_exit = True

    settings = settings.model_copy(update={"port": int(opening.listener.getsockname()[1])})
    runtime_access.configure(
        settings,
        url=opening.url,
        on_failure=stop,
        before=_stand_by(settings, opening.handover, stopped) if opening.how is StartMode.STANDBY else None,
        patience=0.0 if opening.how is StartMode.FIRST else FOLDER_SECONDS,
    )
    server = DrainingServer(
        _config(settings, create_app(settings)), hold=_hold(opening.how, stopped, runtime_access.application)
    )
    _end_by_signals(stop)
    application = runtime_access.application()
    application.hooks.set_successor(_successor(settings, server, opening))
    announcer = threading.Thread(target=_announce, args=(application, opening), name="millpond-announcer", daemon=True)
    announcer.start()
    if opening.handover is not None:
        opening.handover.watch(stop)
    server.run(sockets=[opening.listener])
    if application.failure is not None and not isinstance(application.failure, CancelledError):
        raise application.failure
    if server.restarting:
        click.echo(_("Millpond makes room for its successor; everything is saved"))
        return EXIT_CODE
    click.echo(_("Millpond has stopped; everything is saved"))
    return 0


def _open(settings: Settings) -> _Opening:
    """Take the listening socket that a supervisor or service manager holds, else open one."""
    handover = SupervisorLink.from_environment()
    how = handover.how if handover is not None else StartMode.FIRST
    opened = handover.listener if handover is not None else systemd_listener()
    listener = opened or listen(settings)
    listener.setblocking(False)
    opening = _Opening(listener, handover, how, held=opened is not None or handover is not None)
    if how is StartMode.FIRST:
        DataLock(settings.data_dir).require_free()
        if handover is not None:
            handover.listening(listener)
        told = _("Millpond is starting at {url}; its data is in {path}")
        click.echo(told.format(url=opening.url, path=settings.data_dir))
    return opening


def _config(settings: Settings, app: object) -> uvicorn.Config:
    import streamlit as st
    import uvicorn

    return uvicorn.Config(
        app,  # type: ignore[arg-type] # Streamlit's class is an ASGI application without saying so
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="websockets-sansio",
        ws_max_size=int(st.get_option("server.maxMessageSize")) * MEGABYTE,
        ws_ping_interval=30,
        ws_ping_timeout=30,
        ws_per_message_deflate=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )


def _end_by_signals(stop: Callable[[], None]) -> None:
    """Have signals end the start.

    The server then takes them over. It hands one that it took on to these when it has stopped; by then there is nothing
    left to end.
    """

    def end(_number: int, _frame: FrameType | None) -> None:
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


def _stand_by(
    settings: Settings, handover: SupervisorLink | None, stopped: threading.Event
) -> Callable[[Application], None]:
    """Return what a standby does before it opens the data folder: it waits for the process before to let go of it."""

    def wait(application: Application) -> None:
        application.prepare()
        if handover is not None:
            handover.say(LinkMessage.LOADED)
        lock = DataLock(settings.data_dir)
        while lock.holder() is not None:
            if stopped.wait(0.01):
                raise CancelledError(_("Millpond was stopped before its turn came."))

    return wait


def _successor(settings: Settings, server: DrainingServer, opening: _Opening) -> Successor | None:
    """Return who starts the next process, None for nobody."""

    def end() -> None:
        hanging = threading.Timer(HANGING_SECONDS, os._exit, (EXIT_CODE,))
        hanging.daemon = True
        hanging.start()
        server.stop_for_successor()

    handover = opening.handover
    if handover is not None:
        return Successor(
            _("the supervisor"),
            holds_connections=True,
            prepare=handover.prepare,
            stop_accepting=server.stop_accepting,
            end=end,
        )
    if name := service_manager(settings.restarted_by):
        return Successor(
            name,
            holds_connections=opening.held,
            prepare=lambda _seconds: False,
            stop_accepting=server.stop_accepting,
            end=end,
        )
    return None


def _hold(how: StartMode, stopped: threading.Event, application: Callable[[], Application]) -> Callable[[], bool]:
    """Return what tells whether connections are still left in the queue: until the services are ready.

    The first process takes them at once and shows what its start is doing. A later one does so when it takes long; a
    standby has no such limit, as its turn comes when the process before has ended.
    """
    deadline = time.monotonic() + HOLD_SECONDS

    def hold() -> bool:
        if how is StartMode.FIRST or stopped.is_set() or (how is StartMode.NEXT and time.monotonic() > deadline):
            return False
        return application().starting

    return hold


def _announce(application: Application, opening: _Opening) -> None:
    """Say on standard output what the start is doing, until it is done; of a later one only that it is ready."""
    printed = ""
    url = opening.url  # asked now: when the server stops before it is ready, the socket is gone
    waiting = threading.Event()
    while application.starting:
        stage = application.stage
        if stage != printed:
            printed = stage
            if opening.how is StartMode.FIRST:
                click.echo(f"  {stage}")
        waiting.wait(0.1)
    if application.ready:
        if opening.handover is not None:
            opening.handover.say(LinkMessage.READY)
        click.echo(_("Millpond is ready at {url}").format(url=url))
