"""Moments as the reader's own clock shows them."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st


def moment(time: float) -> datetime:
    """Return a moment (seconds since the epoch) as the clock on the reader's wall shows it, as the charts do."""
    try:
        zone: tzinfo = ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):  # the name comes from the browser
        zone = UTC
    return datetime.fromtimestamp(time, zone).replace(tzinfo=None)
