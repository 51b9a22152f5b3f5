"""Overview: what is held, how much, and whether every part works."""

from __future__ import annotations

from console.components.caches_view import caches_view
from console.components.overview_view import overview
from console.components.running_view import running_view
from console.resources import runtime

overview(runtime())
running_view(runtime())
caches_view(runtime())
