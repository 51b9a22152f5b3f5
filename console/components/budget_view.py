"""The page of the memory budget: how it stands, what it does in which order, what it did and why."""

from __future__ import annotations

import streamlit as st

from console.components.budget_control import alerts_view, control_view, restart_view
from console.components.budget_decisions import chart_view, decisions_view
from console.components.budget_doors import doors_view
from console.components.budget_head import head_view
from console.components.budget_steps import steps_view
from services.runtime import Runtime


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
