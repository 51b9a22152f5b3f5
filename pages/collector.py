"""Garbage collection: the collector's state, and below it one part: control, release, pauses or experiment."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import streamlit as st

from console.ui.gc.effects import effects_view, reclaim_view
from console.ui.gc.pauses import pauses_view, status_view
from console.ui.gc.settings_form import settings_view
from console.ui.gc_experiment.page import experiment_view
from console.ui.runtime_access import ready_services
from console.ui.session_state import Key, Query, set_query
from console.ui.shared.view_choice import view_choice
from services.app.container import Services
from services.core.i18n import _


class GCView(StrEnum):
    """The parts of the page; their values stand in the address bar."""

    CONTROL = "control"
    RECLAIM = "reclaim"
    PAUSES = "pauses"
    EXPERIMENT = "experiment"


def collector_view(services: Services) -> None:
    """Draw the page."""
    status_view(services)
    view = _chosen_view()
    draw: dict[GCView, Callable[[Services], None]] = {
        GCView.CONTROL: settings_view,
        GCView.RECLAIM: reclaim_view,
        GCView.PAUSES: pauses_view,
        GCView.EXPERIMENT: experiment_view,
    }
    draw[view](services)
    if view in {GCView.CONTROL, GCView.RECLAIM}:
        effects_view(services)


def _chosen_view() -> GCView:
    names = {
        GCView.CONTROL: _("Control"),
        GCView.RECLAIM: _("Release memory"),
        GCView.PAUSES: _("Pauses"),
        GCView.EXPERIMENT: _("Experiment"),
    }
    return view_choice(names, Key.COLLECTOR_VIEW, _store_in_address, usual=GCView.CONTROL)


def _store_in_address() -> None:
    set_query(Query.VIEW, st.session_state[Key.COLLECTOR_VIEW])


collector_view(ready_services())
