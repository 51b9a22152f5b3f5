"""Overview: key figures, health, resources in memory, requests and caches."""

from __future__ import annotations

from console.ui.overview import caches_view, overview_view, requests_view
from console.ui.runtime_access import ready_services

overview_view(ready_services())
requests_view(ready_services())
caches_view(ready_services())
