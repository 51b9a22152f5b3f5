"""How many browser tabs are connected."""

from __future__ import annotations

from console import streamlit_internals as streamlit


def connected() -> int:
    """Return the number of tabs with a connection; those that are waiting to come back do not count."""
    return streamlit.connected_count()
