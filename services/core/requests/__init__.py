"""Request scopes: slots with a visible queue, a time limit, cancellation, and hooks that really run.

Shared by every room: it knows none of them.
"""

from services.core.requests.registry import RequestRegistry
from services.core.requests.request import RequestScope
from services.core.requests.types import FinishedRequest, Outcome, RequestKind, RequestLimits, RunningRequest

__all__ = [
    "FinishedRequest",
    "Outcome",
    "RequestKind",
    "RequestLimits",
    "RequestRegistry",
    "RequestScope",
    "RunningRequest",
]
