"""The page of the garbage collector."""

from __future__ import annotations

import streamlit as st

from services.runtime import Runtime
from services.texts import _


def collector_view(runtime: Runtime) -> None:
    """Draw the page."""
    st.caption(_("{count} collections").format(count=len(runtime.memory.pauses.recent())))
