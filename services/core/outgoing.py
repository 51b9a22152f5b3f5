"""Where this server sends requests, and where not: chat servers, Ollama and the webhook have addresses that people set.

Whoever can choose an address could make the server ask what only it can reach: the metadata service of a cloud, which
gives out keys, or itself. What counts is the address that a name leads to at the moment of connecting; that very one is
connected to (`outgoing_transport.py`), so that a name cannot lead elsewhere between the check and the connection.
Loopback and private networks are where chat servers are, and stay allowed.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from services.core.errors import BadInputError
from services.core.i18n import _
from services.core.networks import Address, Network, is_host_name, listed, parsed_address, parsed_networks, within
from services.core.settings import Settings

# Metadata services lie in link-local networks, with these exceptions: Alibaba, Azure, Oracle, AWS and Google over IPv6.
_METADATA = parsed_networks(
    "169.254.0.0/16, fe80::/10, 100.100.100.200, 168.63.129.16, 192.0.0.192, fd00:ec2::254, fd20:ce::254"
)
_METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "metadata.goog", "instance-data"})
_NOWHERE = parsed_networks("0.0.0.0/8, 240.0.0.0/4, ::/128")
_MULTICAST = parsed_networks("224.0.0.0/4, ff00::/8")
# An IPv4 address is in the last 32 bits: NAT64 (RFC 6052, RFC 8215), and the old IPv4-compatible form.
_EMBEDDING = parsed_networks("64:ff9b::/96, 64:ff9b:1::/48, ::/96")


class RefusedAddressError(BadInputError):
    """Requests do not go there."""


@dataclass(frozen=True, slots=True)
class OutgoingRules:
    """Where requests may go. `own_port`: where this server listens, 0: nowhere."""

    networks: tuple[Network, ...] = ()
    names: frozenset[str] = frozenset()
    own_port: int = 0

    @classmethod
    def of(cls, settings: Settings) -> OutgoingRules:
        """Return the rules by the settings."""
        entries = listed(settings.allowed_addresses)
        names = {entry for entry in entries if is_host_name(entry)}
        networks = parsed_networks(",".join(entry for entry in entries if entry not in names))
        return cls(networks, frozenset(_name(entry) for entry in names), settings.port)

    def require(self, host: str, port: int, addresses: Sequence[str]) -> None:
        """Return if requests may go to `host`, which leads to `addresses` (none: it is not known here).

        Raises:
            RefusedAddressError: one of the addresses is refused.
        """
        name = _name(host)
        if name in self.names:
            return
        if name in _METADATA_NAMES:
            raise _refusal(host, "", _metadata())
        for text in addresses:
            address = parsed_address(text)
            if address is None:
                raise _refusal(host, text, _("it is no address"))
            for meant in _meanings(address):
                if (reason := self._reason(meant, port)) and not within(meant, self.networks):
                    raise _refusal(host, text, reason)

    def require_url(self, url: str) -> None:
        """Return if requests may go to an address as it resolves now; who cannot be resolved may come later.

        Raises:
            RefusedAddressError: it is refused.
        """
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            addresses = resolve(parts.hostname or "", port)
        except OSError:
            addresses = []
        self.require(parts.hostname or "", port, addresses)

    def _reason(self, address: Address, port: int) -> str:
        if within(address, _METADATA):
            return _metadata()
        if within(address, _NOWHERE):
            return _("nobody has that address")
        if within(address, _MULTICAST):
            return _("that is many machines at once")
        if self.own_port and port == self.own_port and _is_of_this_machine(address):
            return _("that is Millpond itself")
        return ""


USUAL_RULES = OutgoingRules()


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses that a name leads to, in the order in which they are to be tried.

    Raises:
        OSError: there are none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label that is empty or too long
        raise OSError(str(error)) from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _name(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()


def _meanings(address: Address) -> list[Address]:
    """Return an address, and the IPv4 address in it: a gateway or an old form may lead there."""
    found: list[Address] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        if within(address, _EMBEDDING) and int(address) > 1:  # :: and ::1 are addresses of their own
            found.append(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
        if address.sixtofour is not None:
            found.append(address.sixtofour)
        if address.teredo is not None:
            found.extend(address.teredo)
    return found


def _is_of_this_machine(address: Address) -> bool:
    """Return whether an address is one of this machine: only those can be bound."""
    if address.is_loopback:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True


def _metadata() -> str:
    return _("that is where clouds give out keys to their machines")


def _refusal(host: str, address: str, reason: str) -> RefusedAddressError:
    where = host if address in {"", host} else f"{host} ({address})"
    return RefusedAddressError(
        _("No request is sent to {address}: {reason}.").format(address=where[:200], reason=reason),
        _("If it is meant all the same, add it to the setting allowed_addresses (MILLPOND_ALLOWED_ADDRESSES)."),
    )
