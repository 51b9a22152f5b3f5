"""Budget: how memory is kept within its limit, what was done and why."""

from __future__ import annotations

from console.components.budget_view import budget_view
from console.resources import runtime

budget_view(runtime())
