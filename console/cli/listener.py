"""Where the console listens: which addresses are allowed, the socket, and its address for a browser."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Callable

from services.core.access import sign_in_is_set_up
from services.core.errors import BadInputError, ConflictError
from services.core.i18n import _
from services.core.networks import parsed_address
from services.core.settings import Settings
from services.operations.data_lock import DataLock

BACKLOG = 512


def sign_in_exists(settings: Settings) -> bool:
    """Return whether nobody gets in without signing in: there are accounts, or visitors need the token to act."""
    from services.identity.store.presence import has_accounts

    return sign_in_is_set_up(settings) or has_accounts(settings.effective_database_url)


def refuse_exposure(
    settings: Settings, host: str = "", *, has_sign_in: Callable[[Settings], bool] = sign_in_exists
) -> None:
    """Refuse to listen beyond loopback without sign-in, and without TLS here or at a named proxy.

    `host`: where it listens, "": where the settings say. `has_sign_in` returns whether nobody gets in without.

    Raises:
        BadInputError: the address is reachable from outside, or not known.
    """
    host = host or settings.host
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise BadInputError(
            _("The address {host} is not known: {reason}.").format(host=host, reason=error.strerror),
            _("Use --host 127.0.0.1, or another address of this machine."),
        ) from error
    addresses = [parsed_address(str(entry[4][0])) for entry in found]
    if settings.insecure or all(address is not None and address.is_loopback for address in addresses):
        return
    otherwise = _("Or use --host 127.0.0.1 (perhaps behind an SSH tunnel); --insecure is for tests.")
    if not has_sign_in(settings):
        raise BadInputError(
            _(
                "Millpond does not listen on {host}: there is no sign-in, so everybody who can reach it could read and "
                "delete your documents."
            ).format(host=host),
            _("Create an account first (millpond users add NAME --role admin); TLS or a reverse proxy is needed, too.")
            + f" {otherwise}",
        )
    if not (settings.tls_cert or settings.trusted_proxies):
        raise BadInputError(
            _(
                "Millpond does not listen on {host} without encryption: everybody on the way could read passwords, "
                "tokens and documents."
            ).format(host=host),
            _("Give --tls-cert and --tls-key, or name the reverse proxy that has TLS: MILLPOND_TRUSTED_PROXIES.")
            + f" {otherwise}",
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


def address_of(listener: socket.socket, *, tls: bool = False) -> str:
    """Return the URL for a browser on this machine."""
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = "127.0.0.1"
    scheme = "https" if tls else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
