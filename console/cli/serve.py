"""`serve`: listen at once, load in the background, say so when ready, stop within seconds."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import signal
import socket
import threading
from types import FrameType
from typing import TYPE_CHECKING

import click

from services.errors import BadInputError, ConflictError
from services.memory.process import rss_bytes
from services.operations.data_lock import DataLock
from services.operations.logging import configure
from services.settings import MEGABYTE, Settings
from services.texts import _, use_language

if TYPE_CHECKING:
    import uvicorn

    from services.runtime import Runtime

BACKLOG = 512
STOP_SECONDS = 3


def serve(settings: Settings) -> int:
    """Serve pages and API until a signal comes; returns the exit code.

    Raises:
        MillpondError: it cannot be started like this.
    """
    use_language(settings.language)
    refuse_exposure(settings)
    listener = listen(settings)
    url = address_of(listener)
    DataLock(settings.data_dir).refuse()
    configure(level=settings.log_level, style=settings.log_format, rss_bytes=rss_bytes)
    click.echo(_("Millpond is starting at {url}; its data is in {path}").format(url=url, path=settings.data_dir))

    import streamlit as st
    import uvicorn

    from console import resources
    from console.asgi import create_app

    server: uvicorn.Server | None = None

    def give_up() -> None:
        if server is not None:
            server.should_exit = True

    port = int(listener.getsockname()[1])
    settings = settings.model_copy(update={"port": port})
    resources.configure(settings, url=url, on_failure=give_up)
    app = create_app(settings)
    server = stopping_server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            ws="websockets-sansio",
            ws_max_size=int(st.get_option("server.maxMessageSize")) * MEGABYTE,
            ws_ping_interval=30,
            ws_ping_timeout=30,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
    )
    # uvicorn hands the signal on to these when it has stopped; by then there is nothing left to end.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ignore)
    runtime = resources.runtime()
    announcer = threading.Thread(target=_announce, args=(runtime, url), name="millpond-announcer", daemon=True)
    announcer.start()
    server.run(sockets=[listener])
    if runtime.failure is not None:
        raise runtime.failure
    click.echo(_("Millpond has stopped; everything is saved"))
    return 0


def stopping_server(config: uvicorn.Config) -> uvicorn.Server:
    """Return a server that, when it is told to stop, first lets answers in progress come to an end."""
    import uvicorn

    from console import resources

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            ending = asyncio.create_task(asyncio.to_thread(resources.stop_answers))
            await super().shutdown(sockets)
            await ending

    return Server(config)


def refuse_exposure(settings: Settings) -> None:
    """Refuse to listen beyond loopback unless that was asked for in so many words.

    Raises:
        BadInputError: the address is reachable from outside, or is none.
    """
    try:
        found = socket.getaddrinfo(settings.host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise BadInputError(
            _("The address {host} is not known: {reason}.").format(host=settings.host, reason=error.strerror),
            _("Use --host 127.0.0.1, or another address of this machine."),
        ) from error
    if settings.insecure or all(ipaddress.ip_address(entry[4][0]).is_loopback for entry in found):
        return
    raise BadInputError(
        _(
            "Millpond does not listen on {host}: there is no sign-in yet, so everybody who can reach it could read and "
            "delete your documents."
        ).format(host=settings.host),
        _("Use --host 127.0.0.1 (perhaps behind an SSH tunnel), or say --insecure if the network is yours alone."),
    )


def listen(settings: Settings) -> socket.socket:
    """Return a socket that listens on the configured address.

    Raises:
        ConflictError: the port is taken.
        BadInputError: the address is not one of this machine, or the port is reserved.
    """
    family, kind, protocol, _name, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[
        0
    ]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            DataLock(settings.data_dir).refuse()  # if it is our own other start, that is the better explanation
            raise ConflictError(
                _("Port {port} on {host} is taken by another program.").format(port=settings.port, host=settings.host),
                _("Choose another with --port, or --port 0 for any free one."),
            ) from error
        raise BadInputError(
            _("Millpond cannot listen on {host} port {port}: {reason}.").format(
                host=settings.host, port=settings.port, reason=os.strerror(error.errno or 0)
            ),
            _("Choose another with --host and --port."),
        ) from error
    listener.setblocking(False)
    return listener


def address_of(listener: socket.socket) -> str:
    """Return the address for a browser on this machine."""
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _announce(runtime: Runtime, url: str) -> None:
    """Say on standard output what the start is doing, until it is done."""
    told = ""
    waiting = threading.Event()
    while not runtime.ready and runtime.failure is None:
        stage = runtime.stage
        if stage != told:
            told = stage
            click.echo(f"  {stage}")
        waiting.wait(0.1)
    if runtime.ready:
        click.echo(_("Millpond is ready at {url}").format(url=url))


def _ignore(_number: int, _frame: FrameType | None) -> None:
    pass
