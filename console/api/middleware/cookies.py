"""The cookie of a session: under which name it comes, how it is set and taken away, and that nothing behind the door
sees it.

With https it is `__Host-millpond`: browsers take that name only with Secure, for the whole host and from this host
alone, so that no neighbouring host can plant one. Without https there is a plain name, on this machine alone.
"""

from __future__ import annotations

from http.cookies import SimpleCookie

from starlette.datastructures import Headers
from starlette.types import Scope

from console.api.middleware.forwarded import DIRECT
from console.api.middleware.host_guard import host_name
from services.core.networks import parsed_address

SECURE_NAME = "__Host-millpond"
PLAIN_NAME = "millpond-session"
# By which a browser shows that somebody signed in with it before; it signs nobody in.
_DEVICE = {SECURE_NAME: "__Host-millpond-device", PLAIN_NAME: "millpond-device"}
DEVICE_SECONDS = 365 * 86_400
# Of sign-ins that are under way at a provider; what follows is different in each tab.
_FLOW = {SECURE_NAME: "__Host-millpond-oidc-", PLAIN_NAME: "millpond-oidc-"}
_LONGEST_FLOW = 3900
_NAMES = frozenset({SECURE_NAME, PLAIN_NAME, *_DEVICE.values()})
_LONGEST = 200  # characters of a token


def is_https(scope: Scope) -> bool:
    """Return whether the client came by https, also where a named proxy says so."""
    return scope.get("scheme") in {"https", "wss"}


def is_local(scope: Scope) -> bool:
    """Return whether the client is on this machine and speaks to this server itself under a name of loopback."""
    client = scope.get("client")
    address = parsed_address(client[0]) if client else None
    if address is None or not address.is_loopback or not scope.get(DIRECT, False):
        return False
    name = host_name(Headers(scope=scope).get("host", ""))
    called = parsed_address(name)
    return name == "localhost" or (called is not None and called.is_loopback)


def cookie_name(scope: Scope) -> str:
    """Return the name of the cookie for this connection, "" where a session cannot be kept safely."""
    if is_https(scope):
        return SECURE_NAME
    return PLAIN_NAME if is_local(scope) else ""


def session_token(scope: Scope) -> str:
    """Return the token of the session, "" for none; of two that differ none is believed."""
    return _value(scope, cookie_name(scope))


def known_device(scope: Scope) -> str:
    """Return what an earlier sign-in gave this browser to show, "" for nothing."""
    return _value(scope, _DEVICE.get(cookie_name(scope), ""))


def flow(scope: Scope, suffix: str) -> str:
    """Return what a sign-in that is under way at a provider left in this browser, "" for nothing."""
    name = cookie_name(scope)
    return _value(scope, _FLOW[name] + suffix, _LONGEST_FLOW) if name else ""


def flow_cookie(scope: Scope, suffix: str, value: str, seconds: int) -> str:
    """Return the header that leaves something in the browser while it is at a provider; "" takes it away."""
    return _cookie(_FLOW[cookie_name(scope)] + suffix, value, seconds)


def _value(scope: Scope, name: str, longest: int = _LONGEST) -> str:
    if not name:
        return ""
    found = {value for each, value in _pairs(scope) if each == name}
    token = found.pop() if len(found) == 1 else ""
    return token if 0 < len(token) <= longest and token.isascii() and token.isprintable() else ""


def without_session_cookies(scope: Scope) -> list[tuple[bytes, bytes]]:
    """Return the headers of a request without any session's cookie."""
    headers = []
    for name, value in scope["headers"]:
        if name == b"cookie":
            kept = [part for part in value.split(b";") if not _is_own(_name(part))]
            value = b";".join(kept).strip()  # noqa: PLW2901 - the header as it goes on
            if not value:
                continue
        headers.append((name, value))
    return headers


def session_cookies(scope: Scope, token: str, seconds: int, device: str = "") -> list[str]:
    """Return the headers that give a browser a session, for at most so many seconds, and the proof of a device."""
    name = cookie_name(scope)
    return [_cookie(name, token, seconds), *([_cookie(_DEVICE[name], device, DEVICE_SECONDS)] if device else [])]


def drop_session(scope: Scope) -> list[str]:
    """Return the headers that make a browser forget its session."""
    name = cookie_name(scope)
    return [_cookie(name, "", 0)] if name else []


def _cookie(name: str, token: str, seconds: int) -> str:
    cookie: SimpleCookie = SimpleCookie()
    cookie[name] = token
    morsel = cookie[name]
    morsel["path"], morsel["httponly"], morsel["samesite"] = "/", True, "Lax"
    morsel["max-age"] = str(max(0, seconds))
    if name.startswith("__Host-"):
        morsel["secure"] = True
    return morsel.OutputString()


def _is_own(name: str) -> bool:
    return name in _NAMES or name.startswith(tuple(_FLOW.values()))


def _name(part: bytes) -> str:
    return part.partition(b"=")[0].strip().decode("latin-1")


def _pairs(scope: Scope) -> list[tuple[str, str]]:
    pairs = []
    for name, value in scope["headers"]:
        if name == b"cookie":
            for part in value.decode("latin-1").split(";"):
                key, _equals, content = part.partition("=")
                pairs.append((key.strip(), content.strip().strip('"')))
    return pairs
