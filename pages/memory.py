"""Memory: where every megabyte is, and whether it grows."""

from __future__ import annotations

from console.components.memory_charts import charts, range_bar
from console.components.memory_details import details
from console.components.memory_headline import headline_view
from console.components.memory_ledger import ledger_view
from console.resources import runtime

services = runtime()
headline_view(services)
choice = range_bar(services)
charts(services, choice)
ledger_view(services)
details(services, choice)
