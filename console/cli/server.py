"""The HTTP server: which addresses it may listen on, and how it stops, at once on a signal or unnoticed before a
planned restart.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
import threading
from collections.abc import Callable
from typing import Any

import uvicorn

from console.ui import runtime_access
from services.core.errors import BadInputError, ConflictError
from services.core.i18n import _
from services.core.settings import Settings
from services.operations.data_lock import DataLock

# For connections that have been accepted but sent no request yet; browsers also open some that they never use.
PENDING_SECONDS = 0.5
_CLOSE_SECONDS = 5.0
_POLL_SECONDS = 0.02
_HOLD_POLL_SECONDS = 0.005
BACKLOG = 512


class DrainingServer(uvicorn.Server):
    """Finishes answers in progress before it stops."""

    def __init__(self, config: uvicorn.Config, *, hold: Callable[[], bool] = lambda: False) -> None:
        """`hold` returns whether connections are to be left in the socket's queue for the time being."""
        super().__init__(config)
        self.restarting = False
        self._hold = hold
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, wait while it is held, and only then accept connections."""
        self._loop = asyncio.get_running_loop()
        begin = self.lifespan.startup

        async def begin_and_hold() -> None:
            await begin()
            while self._hold() and not self.should_exit:
                await asyncio.sleep(_HOLD_POLL_SECONDS)

        self.lifespan.startup = begin_and_hold  # between the two steps of uvicorn's start
        await super().startup(sockets)

    def stop_accepting(self) -> None:
        """Accept no more connections: they wait in the socket's queue while another process holds it. Any thread."""
        if self._loop is None:
            return
        done = threading.Event()

        def close() -> None:
            for server in self.servers:
                server.close()
            done.set()

        self._loop.call_soon_threadsafe(close)
        done.wait(_CLOSE_SECONDS)

    def stop_for_successor(self) -> None:
        """Stop for a successor. Any thread."""
        self.restarting = True
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; before a planned restart, finish the requests of open connections first."""
        if self.restarting:
            for server in self.servers:
                server.close()
            loop = asyncio.get_running_loop()
            deadline = loop.time() + PENDING_SECONDS
            while loop.time() < deadline and any(
                _is_pending(connection) for connection in self.server_state.connections
            ):
                await asyncio.sleep(_POLL_SECONDS)
        ending = asyncio.create_task(asyncio.to_thread(runtime_access.stop_answers))
        await super().shutdown(sockets)
        await ending


def _is_pending(connection: Any) -> bool:
    """Return whether a connection has sent no request yet, or awaits a response; those of browser tabs do neither."""
    if not hasattr(connection, "cycle"):
        return False
    return connection.cycle is None or not connection.cycle.response_complete


def refuse_exposure(settings: Settings) -> None:
    """Refuse to listen beyond loopback unless the settings allow it explicitly.

    Raises:
        BadInputError: the address is reachable from outside, or not known.
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
        _("Use --host 127.0.0.1 (perhaps behind an SSH tunnel), or add --insecure if the network is yours alone."),
    )


def listen(settings: Settings) -> socket.socket:
    """Return a socket that listens on the configured address.

    Raises:
        ConflictError: the port is in use.
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
            DataLock(settings.data_dir).require_free()  # if it is Millpond itself, that is the better explanation
            raise ConflictError(
                _("Port {port} on {host} is used by another program.").format(port=settings.port, host=settings.host),
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
    """Return the URL for a browser on this machine."""
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
