"""The page of the memory budget."""

from __future__ import annotations

import streamlit as st

from services.runtime import Runtime
from services.texts import _


def budget_view(runtime: Runtime) -> None:
    """Draw the page."""
    st.caption(_("Level {level}").format(level=runtime.governor.state().level.name.lower()))
