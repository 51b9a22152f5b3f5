"""Whether a request that carries a browser's cookie was made by a page of this console, and not by one of another site.

`HostGuard` refuses what names another origin. Whoever changes something by cookie has to name its own as well: every
browser of today does so.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import Scope

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def cookie_fault(scope: Scope) -> str:
    """Return why a request by cookie cannot come from a page of this console, "" if it may."""
    headers = Headers(scope=scope)
    site = headers.get("sec-fetch-site", "")
    if scope["type"] == "http" and scope["method"] in _SAFE:
        # A link to the console may stand anywhere; what other pages embed or fetch may not.
        embedded = headers.get("sec-fetch-mode", "navigate") != "navigate"
        return "embedded" if site in {"cross-site", "same-site"} and embedded else ""
    origin = headers.get("origin", "")
    if not origin and (scope["type"] == "websocket" or not site):
        return "no origin"
    own = headers.get("host", "").lower()
    if origin and origin.partition("://")[2].lower() != own:
        return "other origin"
    if origin and scope.get("scheme") in {"https", "wss"} and not origin.lower().startswith("https://"):
        return "plain origin"
    return "other site" if site not in {"", "same-origin", "none"} else ""
