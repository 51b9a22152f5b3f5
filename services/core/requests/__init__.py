"""Request scopes: slots with a visible queue, a time limit, cancellation, and hooks that really run.

Shared by every room: it knows none of them.
"""

from services.core.requests.registry import Scopes
from services.core.requests.request import Scope
from services.core.requests.types import Ended, Outcome, Policy, Running, ScopeKind

__all__ = ["Ended", "Outcome", "Policy", "Running", "Scope", "ScopeKind", "Scopes"]
