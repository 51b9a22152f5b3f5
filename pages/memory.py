"""Memory: the verdict, charts, the ledger, and tables of what happened."""

from __future__ import annotations

from console.ui.memory.charts import charts_view, range_bar
from console.ui.memory.details import details_view
from console.ui.memory.ledger import ledger_view
from console.ui.memory.marked import follow_address, marked_view
from console.ui.memory.sections import section_links
from console.ui.memory.verdict import verdict_view
from console.ui.runtime_access import ready_services

services = ready_services()
follow_address(services)
section_links()
verdict_view(services)
marked_view(services)
choice = range_bar(services)
charts_view(services, choice)
ledger_view(services)
details_view(services, choice)
