"""Budget: how memory is kept within its limit, what was done and why.

The page of the memory budget: how it stands, what it does in which order, what it did and why.
"""

from __future__ import annotations

import streamlit as st

from console.ui.budget.actions import doors_view, steps_view
from console.ui.budget.control import alerts_view, control_view, restart_view
from console.ui.budget.decisions import chart_view, decisions_view
from console.ui.budget.gauge import head_view
from console.ui.runtime_access import runtime
from services.app.container import Runtime


def budget_view(runtime: Runtime) -> None:
    """Draw the page."""
    head_view(runtime)
    chart_view(runtime)
    steps, beside = st.columns([3, 2], gap="medium")
    with steps:
        steps_view(runtime)
    with beside:
        doors_view(runtime)
        control_view(runtime)
        restart_view(runtime)
        alerts_view(runtime)
    decisions_view(runtime)


budget_view(runtime())
