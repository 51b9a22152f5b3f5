"""Middleware of every request: id, log line, host and origin checks, limits, headers.

Plain ASGI classes, because Starlette's BaseHTTPMiddleware would buffer streams and break cancellation.
"""

from console.api.middleware.base_path import BasePath, UnknownApiPath
from console.api.middleware.headers import CloseConnections, SecurityHeaders
from console.api.middleware.host_guard import HostGuard
from console.api.middleware.limits import BodyLimit, UploadLimit
from console.api.middleware.request_context import RequestContext

__all__ = [
    "BasePath",
    "BodyLimit",
    "CloseConnections",
    "HostGuard",
    "RequestContext",
    "SecurityHeaders",
    "UnknownApiPath",
    "UploadLimit",
]
