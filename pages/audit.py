"""Audit: who did what, whether the log is whole, and its export."""

from __future__ import annotations

from console.ui.audit.chain import chain_view
from console.ui.audit.records import records_view
from console.ui.runtime_access import ready_services

chain_view(ready_services())
records_view(ready_services())
