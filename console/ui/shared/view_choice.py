"""The choice among the parts of a page; the address names the one that is open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TypeVar

import streamlit as st

from console.ui.session_state import Query, query
from services.core.i18n import _

View = TypeVar("View", bound=StrEnum)


def view_choice(labels: Mapping[View, str], key: str, on_change: Callable[[], None], *, usual: View) -> View:
    """Draw the choice of a page's part and return it: at first the one that the address names, else `usual`.

    `labels` has every part in its order; `on_change` writes the choice, `st.session_state[key]`, into the address.
    """
    start = next((view for view in labels if view == query(Query.VIEW)), usual)
    chosen = st.segmented_control(
        _("Part"),
        list(labels),
        default=start,
        required=True,
        format_func=lambda view: labels[view],
        key=key,
        label_visibility="collapsed",
        on_change=on_change,
    )
    return type(usual)(chosen or start)
