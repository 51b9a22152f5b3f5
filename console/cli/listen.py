"""The listening socket, and which addresses it may have."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket

from services.core.errors import BadInputError, ConflictError
from services.core.i18n import _
from services.core.settings import Settings
from services.operations.data_lock import DataLock

BACKLOG = 512


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
