"""What a request is called in metrics: the template of its route, never the path that a client sent."""

from __future__ import annotations

from starlette.types import Scope

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OURS = ("/api", "/v1", "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs")
_WORK = ("/api/", "/v1/")
_ANYTHING = "/{rest:path}"
UNKNOWN = "(unknown)"
PAGES = "(pages)"


def does_work(scope: Scope) -> bool:
    """Return whether a request is one that the count of work takes in: a call of the API."""
    return str(scope["path"]).startswith(_WORK)


def method_of(scope: Scope) -> str:
    """Return the request's method, "OTHER" for one that nobody knows."""
    method = str(scope["method"])
    return method if method in _METHODS else "OTHER"


def route_of(scope: Scope) -> str:
    """Return the template of the API's route that has answered (after the call), "(pages)" for what Streamlit serves,
    "(unknown)" for paths of ours that do not exist."""
    template = str(getattr(scope.get("route"), "path", ""))
    if template and not template.endswith(_ANYTHING):
        return template
    path = str(scope["path"])
    if path.startswith("/docs/assets/"):
        return "/docs/assets"
    return UNKNOWN if path.startswith(_OURS) else PAGES
