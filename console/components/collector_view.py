"""The page of the garbage collector: its state on top, and below it one of the parts."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import streamlit as st

from console.components.collector_effects import effects_view
from console.components.collector_head import head_view
from console.components.collector_pauses import pauses_view
from console.components.collector_reclaim import reclaim_view
from console.components.collector_settings import settings_view
from console.components.experiment_view import experiment_view
from console.state import Key, Query, query, set_query
from services.runtime import Runtime
from services.texts import _


class View(StrEnum):
    """The parts of the page; the value is in the address bar."""

    CONTROL = "control"
    RECLAIM = "reclaim"
    PAUSES = "pauses"
    EXPERIMENT = "experiment"


def collector_view(runtime: Runtime) -> None:
    """Draw the page."""
    head_view(runtime)
    view = _choice()
    draw: dict[View, Callable[[Runtime], None]] = {
        View.CONTROL: settings_view,
        View.RECLAIM: reclaim_view,
        View.PAUSES: pauses_view,
        View.EXPERIMENT: experiment_view,
    }
    draw[view](runtime)
    if view in {View.CONTROL, View.RECLAIM}:
        effects_view(runtime)


def _choice() -> View:
    names = {
        View.CONTROL: _("Control"),
        View.RECLAIM: _("Give memory back"),
        View.PAUSES: _("Pauses"),
        View.EXPERIMENT: _("Experiment"),
    }
    asked = query(Query.VIEW)
    start = View(asked) if asked in set(View) else View.CONTROL
    chosen = st.segmented_control(
        _("Part"),
        list(View),
        default=start,
        required=True,
        format_func=lambda view: names[view],
        key=Key.COLLECTOR_VIEW,
        label_visibility="collapsed",
        on_change=_to_address,
    )
    return View(chosen or start)


def _to_address() -> None:
    set_query(Query.VIEW, st.session_state[Key.COLLECTOR_VIEW])
