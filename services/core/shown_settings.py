"""Settings as people may see them: secrets by their last four characters, addresses without what may be a secret."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from pydantic import SecretStr

from services.core.known_secrets import register_secret, secret_end
from services.core.settings import Settings

HIDDEN = "…"
# Whoever knows the path of such an address can use it: chat services put their token there.
_SECRET_PATHS = frozenset({"webhook_url"})
_PLAIN_QUERIES = frozenset({"files_url"})  # endpoint and region, neither of which takes a password
_USERS = frozenset({"database_url"})  # elsewhere a name without a password may be a token


@dataclass(frozen=True, slots=True)
class _Address:
    """An address in parts. A password may hold any character, so all before the last @ is taken for the login."""

    scheme: str
    login: str
    host: str
    path: str
    query: str

    @classmethod
    def of(cls, text: str) -> _Address | None:
        scheme, separator, rest = text.partition("://")
        if not separator:
            return None
        login, _at, place = rest.rpartition("@")
        found = re.match(r"([^/?#]*)([^?#]*)(.*)", place, re.DOTALL)
        assert found is not None  # noqa: S101 - it matches any text
        return cls(scheme, login, found[1], found[2], found[3][1:])


def shown_setting(settings: Settings, name: str) -> str:
    """Return the value of a setting for display."""
    value = getattr(settings, name)
    if isinstance(value, SecretStr):
        return secret_end(value.get_secret_value())
    return shown_address(value, name) if isinstance(value, str) else str(value)


def shown_address(text: str, name: str = "") -> str:
    """Return an address without password, query and fragment; `name` is that of the setting, which may hide more.

    What is no address is returned as it is.
    """
    address = _Address.of(text)
    if address is None:
        return text
    shown = f"{address.scheme}://"
    if address.login:
        user, colon, _password = address.login.partition(":")
        shown += f"{user}:{HIDDEN}@" if name in _USERS and colon else f"{HIDDEN}@"
    shown += address.host
    if name in _SECRET_PATHS and (address.path.strip("/") or address.query):
        return f"{shown}/{HIDDEN}"
    query = address.query if name in _PLAIN_QUERIES else HIDDEN
    return shown + address.path + (f"?{query}" if address.query else "")


def register_settings(settings: Settings) -> None:
    """Have the secrets of the settings masked wherever texts leave the process."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            register_secret(value.get_secret_value())
        elif isinstance(value, str) and name not in _PLAIN_QUERIES and (address := _Address.of(value)) is not None:
            password = address.login.partition(":")[2]
            found = [password, unquote(password), address.query]
            found += [pair.partition("=")[2] for pair in address.query.split("&")]
            if name in _SECRET_PATHS:
                found += [address.path.strip("/"), *(piece for piece in address.path.split("/") if not piece.isalpha())]
            for each in found:
                register_secret(each)
