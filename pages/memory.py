"""Memory: where every megabyte is, and whether it grows."""

from __future__ import annotations

from console.ui.memory.charts import charts, range_bar
from console.ui.memory.details import details
from console.ui.memory.ledger import ledger_view
from console.ui.memory.verdict import headline_view
from console.ui.runtime_access import runtime

services = runtime()
headline_view(services)
choice = range_bar(services)
charts(services, choice)
ledger_view(services)
details(services, choice)
