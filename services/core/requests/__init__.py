"""Requests: concurrency limits with a visible queue, time limits, cancellation, and clean-up hooks that always run."""

from services.core.requests.concurrency import FinishedRequest, Outcome, RequestKind, RequestLimits, RunningRequest
from services.core.requests.registry import RequestRegistry
from services.core.requests.request import RequestScope

__all__ = [
    "FinishedRequest",
    "Outcome",
    "RequestKind",
    "RequestLimits",
    "RequestRegistry",
    "RequestScope",
    "RunningRequest",
]
