"""Streamlit's entry point: navigation, the page within its error boundary, the status strip."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from console.boundary import boundary, show_notices
from console.components.starting import starting
from console.components.status_strip import status_strip
from console.navigation import groups
from console.resources import runtime

# A Material icon as the tab's icon would be fetched from the network.
ICON = Path(__file__).resolve().parent / "assets" / "icon.svg"

st.set_page_config(page_title="Millpond", page_icon=ICON, layout="wide")
current = st.navigation(groups(), expanded=True)
services = runtime()
if services.ready:
    show_notices()
    with boundary():
        current.run()
    with st.bottom, boundary():
        status_strip(services)
else:
    with boundary():
        starting(services)
