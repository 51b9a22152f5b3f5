"""Streamlit's entry point: navigation, the page within its error boundary, dialogs, the status bar."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from console.navigation import groups
from console.ui.error_boundary import boundary, show_notices
from console.ui.runtime_access import application, page_run
from console.ui.session_state import show_page
from console.ui.shared.access import access_view, startup_view
from console.ui.shared.dialogs import show_dialog
from console.ui.status_strip import status_strip
from console.ui.streamlit.memory import register_session
from services.app.startup import Ready

ASSETS = Path(__file__).resolve().parent / "assets"  # a Material icon for the tab would come from the network

st.set_page_config(page_title="Millpond", page_icon=ASSETS / "icon.svg", layout="wide")
st.logo(ASSETS / "wordmark.svg", icon_image=ASSETS / "icon.svg", size="medium")
register_session()
current = st.navigation(groups(), expanded=True)
state = application().state
if isinstance(state, Ready):
    services = state.services
    with page_run(services, current.url_path):
        show_page(current.url_path)
        show_notices()
        with boundary():
            access_view(services)
        with boundary():
            current.run()
        with boundary():
            show_dialog(current.url_path)
        with st.bottom, boundary():  # below the chat's input, always visible
            status_strip(services)
else:
    with boundary():
        startup_view(application())
