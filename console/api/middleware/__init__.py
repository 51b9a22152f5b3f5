"""Middleware of every request: id, log line, host and origin checks, who asks, limits, headers.

Plain ASGI classes, because Starlette's BaseHTTPMiddleware would buffer streams and break cancellation.
"""

from console.api.middleware.authentication import Authentication
from console.api.middleware.base_path import BasePath, UnknownApiPath
from console.api.middleware.body_progress import BodyProgress
from console.api.middleware.forwarded import Forwarded
from console.api.middleware.headers import ResponseHeaders, holds_content
from console.api.middleware.host_guard import HostGuard
from console.api.middleware.language import ReaderLanguage
from console.api.middleware.limits import BodyLimit, UploadLimit
from console.api.middleware.request_context import RequestContext
from console.api.middleware.reserve import Reserve

__all__ = [
    "Authentication",
    "BasePath",
    "BodyLimit",
    "BodyProgress",
    "Forwarded",
    "HostGuard",
    "ReaderLanguage",
    "RequestContext",
    "Reserve",
    "ResponseHeaders",
    "UnknownApiPath",
    "UploadLimit",
    "holds_content",
]
