"""Said on every page: this console was started so that anybody may use it."""

from __future__ import annotations

import streamlit as st

from services.core.i18n import _
from services.core.settings import Settings


def exposure_banner(settings: Settings) -> None:
    """Draw a line if the console listens without asking for sign-in and TLS; otherwise nothing."""
    if settings.insecure:
        st.badge(
            _("Insecure, for tests only: whoever reaches this address reads and changes everything"),
            icon=":material/lock_open:",
            color="red",
        )
