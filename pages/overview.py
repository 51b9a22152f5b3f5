"""Overview: key figures, health, resources in memory, requests, caches and backups."""

from __future__ import annotations

from console.ui.backup_view import backup_view
from console.ui.overview import caches_view, overview_view, requests_view
from console.ui.runtime_access import ready_services

overview_view(ready_services())
requests_view(ready_services())
caches_view(ready_services())
backup_view(ready_services().backups)
