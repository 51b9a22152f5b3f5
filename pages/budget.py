"""Budget: how memory is kept within its limit, what was done and why.

The page of the memory budget: how it stands, what it does in which order, what it did and why.
"""

from __future__ import annotations

import streamlit as st

from console.ui.budget.actions import actions_view, admission_view
from console.ui.budget.control import alerts_view, control_view, restart_view
from console.ui.budget.decisions import chart_view, decisions_view
from console.ui.budget.gauge import gauge_view
from console.ui.runtime_access import runtime
from services.app.container import Runtime


def budget_view(runtime: Runtime) -> None:
    """Draw the page."""
    gauge_view(runtime)
    chart_view(runtime)
    steps, beside = st.columns([3, 2], gap="medium")
    with steps:
        actions_view(runtime)
    with beside:
        admission_view(runtime)
        control_view(runtime)
        restart_view(runtime)
        alerts_view(runtime)
    decisions_view(runtime)


budget_view(runtime())
