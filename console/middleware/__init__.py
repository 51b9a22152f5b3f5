"""What every request passes on its way in and out: id, log line, host and origin checks, limits, headers.

Plain ASGI classes, because Starlette's BaseHTTPMiddleware would buffer streams and break cancellation.
"""

from console.middleware.context import RequestContext
from console.middleware.guard import HostGuard
from console.middleware.headers import SecurityHeaders
from console.middleware.leaving import LeavingConnections
from console.middleware.limits import BodyLimit
from console.middleware.room import UploadRoom

__all__ = ["BodyLimit", "HostGuard", "LeavingConnections", "RequestContext", "SecurityHeaders", "UploadRoom"]
