"""The sections of the page "Memory", and the line of links to them at its top."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

import streamlit as st

from services.core.i18n import _


class MemorySection(StrEnum):
    """The sections; their values are the anchors of their headings, the same in every language."""

    VERDICT = "verdict"
    CHARTS = "charts"
    LEDGER = "ledger"
    EVENTS = "events"
    REQUESTS = "requests"


def section_links(*, besides: Collection[MemorySection] = ()) -> None:
    """Draw the heading of the first section, and beside it a link to each of the others, but for some."""
    names = {
        MemorySection.CHARTS: _("Charts"),
        MemorySection.LEDGER: _("The ledger now"),
        MemorySection.EVENTS: _("Events"),
        MemorySection.REQUESTS: _("Requests and collections"),
    }
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.subheader(_("Verdict"), anchor=MemorySection.VERDICT, width="content")
        links = " · ".join(f"[{name}](#{section})" for section, name in names.items() if section not in besides)
        st.markdown(links, width="content")
