"""Overview: what is held, how much, and whether every part works."""

from __future__ import annotations

from console.ui.overview.overview import caches_view, overview_view
from console.ui.overview.requests import requests_view
from console.ui.runtime_access import runtime

overview_view(runtime())
requests_view(runtime())
caches_view(runtime())
