"""The page "Nodes": a card for each node that shares the database, with what can be done about it."""

from __future__ import annotations

import streamlit as st

from console.navigation import PageName, page
from console.ui.current_actor import disabled_reason
from console.ui.error_boundary import guarded, rerun_for_notices
from console.ui.nodes.node_actions import (
    confirm_drain,
    confirm_forgetting,
    confirm_restart,
    confirm_take_over,
    resume,
)
from console.ui.nodes.node_words import (
    budget_text,
    condition,
    course_text,
    is_drained,
    lag_text,
    lease_text,
    memory_text,
    state_text,
    verdict_text,
)
from console.ui.nodes.own_pages import own_pages_link
from console.ui.session_state import Query
from console.ui.shared.formatting import escape, plain
from console.ui.shared.heartbeat import heartbeat
from services.app.container import Services
from services.app.listed_nodes import listed_nodes
from services.core.i18n import _
from services.nodes.types import Node, NodeState

_PERIOD_SECONDS = 2.0


@st.fragment
@guarded
def nodes_view(services: Services) -> None:
    """Draw the nodes and keep them up to date."""
    heartbeat("nodes", _PERIOD_SECONDS)  # first: while the database is away the page goes on looking
    rerun_for_notices()
    if services.nodes is None:
        st.info(
            _("Several nodes need PostgreSQL: docs/nodes.md says what they give and what each of them needs."),
            title=_("This process serves its pond alone."),
            icon=":material/hub:",
        )
        return
    nodes = listed_nodes(services)
    if len(nodes) == 1:
        st.caption(escape(_("This is the only node; docs/nodes.md tells how to start another one.")))
    for node in sorted(nodes, key=lambda each: not each.alive):
        with st.container(border=True, key=f"node-{node.number}"):
            _card(services, node)


def _card(services: Services, node: Node) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        own = f" :blue-badge[{escape(_('this node'))}]" if node.own else ""
        state = f":{condition(node).value}-badge[{escape(state_text(node))}]"
        st.markdown(f"**{escape(node.name)}** {state}{own}", width="content")
        _actions(services, node)
    if node.alive:
        facts = [
            (_("RSS"), memory_text(node)),
            (_("Verdict"), verdict_text(node)),
            (_("Memory budget"), budget_text(node)),
            (_("Index"), lag_text(node)),
            (_("Version"), plain(node.version) or "–"),
        ]
        if claimed := lease_text(node):
            facts.append((_("Does alone"), claimed))
        figure = _("{name}: {value}")
        st.markdown(" · ".join(escape(figure.format(name=name, value=value)) for name, value in facts))
    st.caption(escape(course_text(node)))


def _actions(services: Services, node: Node) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="right", width="content"):
        if not node.alive:
            if _button(services, _("Forget"), f"node-forget-{node.number}"):
                confirm_forgetting(services, node)
            return
        if not node.own:
            st.page_link(
                page(PageName.MEMORY),
                label=_("Memory"),
                icon=":material/memory:",
                query_params={Query.NODE.value: node.name},
            )
            own_pages_link(services, node, PageName.NODES)
        if is_drained(node):
            if _button(services, _("Resume"), f"node-resume-{node.number}"):
                resume(services, node)
                st.rerun(scope="fragment")
        elif node.state is NodeState.READY and _button(services, _("Drain"), f"node-drain-{node.number}"):
            confirm_drain(services, node)
        if node.own:
            st.page_link(page(PageName.BUDGET), label=_("Restart this node"), icon=":material/restart_alt:")
            return
        if _button(services, _("Restart"), f"node-restart-{node.number}"):
            confirm_restart(services, node)
        if _button(services, _("Take over"), f"node-take-over-{node.number}"):
            confirm_take_over(services, node)


def _button(services: Services, label: str, key: str) -> bool:
    why = disabled_reason(services)
    return st.button(label, key=key, type="tertiary", disabled=why is not None, help=why)
