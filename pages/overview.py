"""Overview: what is held, how much, and whether every part works."""

from __future__ import annotations

from console.ui.overview.overview import caches_view, overview
from console.ui.overview.requests import running_view
from console.ui.runtime_access import runtime

overview(runtime())
running_view(runtime())
caches_view(runtime())
