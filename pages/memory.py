"""Memory: the verdict, charts, the ledger, and tables of what happened; of this node, or of another one."""

from __future__ import annotations

from console.ui.memory.charts import charts_view, own_range_bar
from console.ui.memory.details import details_view
from console.ui.memory.ledger import ledger_view
from console.ui.memory.marked import follow_address, marked_view
from console.ui.memory.node_choice import node_choice
from console.ui.memory.sections import section_links
from console.ui.memory.verdict import verdict_view
from console.ui.runtime_access import ready_services

services = ready_services()
node = node_choice(services)
if node is not None:  # a process that is alone never needs it
    from console.ui.memory.other_node import other_node_views

    other_node_views(services, node)
else:
    follow_address(services)
    section_links()
    verdict_view(services)
    marked_view(services)
    choice = own_range_bar(services)
    charts_view(services, choice)
    ledger_view(services)
    details_view(services, choice)
