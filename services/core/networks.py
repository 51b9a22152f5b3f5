"""Lists of addresses, networks and host names, as settings have them, and what an address is in them."""

from __future__ import annotations

import ipaddress
import re

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?"
# With a letter: what consists of digits is an address.
_HOST_NAME = re.compile(rf"(?=[^:/]*[A-Za-z]){_LABEL}(\.{_LABEL})*")


def listed(value: str) -> list[str]:
    """Return the entries of a list separated by commas."""
    return [entry.strip() for entry in value.split(",") if entry.strip()]


def parsed_networks(value: str) -> tuple[Network, ...]:
    """Return the addresses and networks of a list separated by commas.

    Raises:
        ValueError: an entry is neither.
    """
    networks = []
    for entry in listed(value):
        try:
            networks.append(ipaddress.ip_network(entry.strip("[]"), strict=False))
        except ValueError as error:
            raise ValueError(f"{entry[:60]} is neither an address nor a network such as 10.0.0.0/8") from error
    return tuple(networks)


def is_host_name(entry: str) -> bool:
    """Return whether an entry is the name of a host."""
    return _HOST_NAME.fullmatch(entry) is not None


def parsed_address(text: str) -> Address | None:
    """Return the address that a text is (brackets and a zone may be there), None if it is none.

    An IPv4 address in the form of an IPv6 one (`::ffff:10.0.0.1`) is the IPv4 address.
    """
    try:
        address = ipaddress.ip_address(text.strip().strip("[]").partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def within(address: Address, networks: tuple[Network, ...]) -> bool:
    """Return whether an address lies in one of the networks."""
    return any(address.version == network.version and address in network for network in networks)
