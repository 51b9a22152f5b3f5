"""Budget: memory use against the limit, the actions in their order, and the decisions with their reasons."""

from __future__ import annotations

import streamlit as st

from console.ui.budget.actions import actions_view
from console.ui.budget.admission import admission_view
from console.ui.budget.control import alerts_view, control_view, restart_view
from console.ui.budget.decisions import chart_view, decisions_view
from console.ui.budget.gauge import gauge_view
from console.ui.runtime_access import ready_services
from services.app.container import Services


def budget_view(services: Services) -> None:
    """Draw the page."""
    gauge_view(services)
    chart_view(services)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        actions_view(services)
    with right:
        admission_view(services)
        control_view(services)
        restart_view(services)
        alerts_view(services)
    decisions_view(services)


budget_view(ready_services())
