"""Which node the page "Memory" shows: this one, or the one that the address names."""

from __future__ import annotations

import streamlit as st

from console.ui.session_state import Key, Query, query, set_query
from console.ui.shared.formatting import escape, plain
from services.app.container import Services
from services.app.listed_nodes import listed_nodes
from services.core.errors import UnavailableError
from services.core.i18n import _
from services.nodes.types import Node


def node_choice(services: Services) -> Node | None:
    """Draw the choice where there are several nodes; return the other one that is chosen, None for this one."""
    if services.nodes is None:
        return None
    try:
        found = {node.name: node for node in listed_nodes(services)}
    except UnavailableError:
        return None  # this one's memory is shown without the database, too
    wanted = query(Query.NODE)
    offered = [name for name, node in found.items() if node.alive]
    own = next(name for name, node in found.items() if node.own)
    if wanted and wanted not in offered:
        text = _("No node named {name} is running. This is the memory of {own}, which you use.")
        st.warning(escape(text.format(name=wanted[:100], own=own)), icon=":material/hub:")
    if len(offered) < 2:
        return None
    chosen = st.selectbox(
        _("Node"),
        offered,
        key=Key.MEMORY_NODE,
        index=offered.index(wanted if wanted in offered else own),
        format_func=lambda name: _("{name} (this node)").format(name=plain(name)) if name == own else plain(name),
        help=_("Each node is a process with a memory of its own."),
        width=320,
        on_change=_store_in_address,
        args=(own,),
    )
    return None if chosen == own else found[chosen]


def _store_in_address(own: str) -> None:
    chosen = st.session_state[Key.MEMORY_NODE]
    set_query(Query.NODE, None if chosen == own else chosen)
