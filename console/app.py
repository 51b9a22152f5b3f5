"""Streamlit's entry point: who visits, navigation, the page within its error boundary, dialogs, status bar, keys."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from console.navigation import groups, in_navigation, may_open, page_name
from console.ui.current_actor import visitor_of
from console.ui.error_boundary import boundary, show_notices
from console.ui.keyboard.keyboard import go_on, keyboard
from console.ui.reader import begin_run, language_frame
from console.ui.runtime_access import application, page_run
from console.ui.session_state import show_page
from console.ui.shared.access import access_view, closed_page_view, signed_out_view, startup_view
from console.ui.shared.dialogs import show_dialog
from console.ui.shared.exposure import exposure_banner
from console.ui.shared.page_heading import headed_page
from console.ui.status_strip import status_strip
from console.ui.streamlit.memory import register_session
from console.ui.streamlit.texts import translate_streamlit
from services.app.startup import Ready

ASSETS = Path(__file__).resolve().parent / "assets"  # a Material icon for the tab would come from the network

st.set_page_config(page_icon=ASSETS / "icon.svg", layout="wide")
st.logo(ASSETS / "wordmark.svg", icon_image=ASSETS / "icon.svg", size="medium")
register_session()
begin_run()
state = application().state
services = state.services if isinstance(state, Ready) else None
visitor = visitor_of(services) if services is not None else None
opened = application().opened
shared = opened is not None and opened.nodes is not None
current = st.navigation(groups(lambda name: in_navigation(visitor, name, shared=shared)), expanded=True)
exposure_banner(application().foundation.settings)
if services is None:
    st.set_page_config(page_title="Millpond")
    with boundary():
        startup_view(application())
elif visitor is None:
    signed_out_view()
else:
    with page_run(services, current.url_path):
        show_page(current.url_path)
        show_notices()
        with boundary():
            go_on(services)
            access_view(services)
        with headed_page(page_name(current.url_path)), boundary():
            if may_open(visitor, page_name(current.url_path)):
                current.run()
            else:
                closed_page_view()
        with boundary():
            show_dialog(current.url_path)
        with st.bottom, boundary():  # below the chat's input, always visible
            status_strip(services)
            keyboard(services)
language_frame()
translate_streamlit()
