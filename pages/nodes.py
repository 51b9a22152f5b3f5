"""Nodes: the processes that share the database, how each of them is, and what can be done about one."""

from __future__ import annotations

from console.ui.nodes.nodes_view import nodes_view
from console.ui.runtime_access import ready_services

nodes_view(ready_services())
