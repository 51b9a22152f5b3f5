"""Memory: where every megabyte is, and whether it grows."""

from __future__ import annotations

from console.ui.memory.charts import charts_view, range_bar
from console.ui.memory.details import details_view
from console.ui.memory.ledger import ledger_view
from console.ui.memory.verdict import verdict_view
from console.ui.runtime_access import runtime

services = runtime()
verdict_view(services)
choice = range_bar(services)
charts_view(services, choice)
ledger_view(services)
details_view(services, choice)
