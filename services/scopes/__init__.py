"""Request scopes: slots with a visible queue, a time limit, cancellation, and hooks that really run.

Shared by every room: it knows none of them.
"""

from services.scopes.scope import Scope
from services.scopes.scopes import Scopes
from services.scopes.types import Ended, Outcome, Policy, Running, ScopeKind

__all__ = ["Ended", "Outcome", "Policy", "Running", "Scope", "ScopeKind", "Scopes"]
