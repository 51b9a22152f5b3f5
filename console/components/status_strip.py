"""One thin line on every page: is all well, memory, documents, chat model, work in progress. Each part is a link."""

from __future__ import annotations

import streamlit as st

from console.boundary import guarded
from console.components.formatting import count, escape, shorten, size
from console.components.heartbeat import heartbeat
from console.navigation import PageName, page
from services.memory.process import rss_bytes
from services.runtime import Runtime
from services.texts import _, plural

_PERIOD_SECONDS = 3.0
_MODEL_ICON = {
    "ready": ":material/smart_toy:",
    "loading": ":material/hourglass_top:",
    "down": ":material/error:",
    "off": ":material/format_quote:",
}


@st.fragment
@guarded
def status_strip(runtime: Runtime) -> None:
    """Draw the strip and keep it fresh."""
    counts = runtime.library.counts()
    model = runtime.models.status()
    trouble = [check for check in runtime.health.ready().checks if not check.ok]
    with st.container(horizontal=True, wrap=False, gap="medium", vertical_alignment="center", key="status-strip"):
        st.page_link(
            page(PageName.OVERVIEW),
            label=_("Needs attention: {part}").format(part=escape(trouble[0].name)) if trouble else _("All is well"),
            icon=":material/warning:" if trouble else ":material/check_circle:",
            help=escape(trouble[0].detail) if trouble else None,
        )
        st.page_link(
            page(PageName.OVERVIEW), label=_("RSS {size}").format(size=size(rss_bytes())), icon=":material/memory:"
        )
        documents = plural("{count} document", "{count} documents", counts.documents)
        chunks = _("{count} chunks").format(count=count(counts.chunks))
        st.page_link(page(PageName.DOCUMENTS), label=f"{documents}, {chunks}", icon=":material/folder_open:")
        if counts.jobs_unfinished:
            running = plural("{count} file being taken in", "{count} files being taken in", counts.jobs_unfinished)
            st.page_link(page(PageName.DOCUMENTS), label=running, icon=":material/sync:")
        label = _("No chat model") if model.state == "off" else escape(shorten(model.label, 40))
        words = {"down": _("not reachable"), "loading": _("loading")}.get(model.state, "")
        st.page_link(
            page(PageName.SETTINGS),
            label=f"{label}, {words}" if words else label,
            icon=_MODEL_ICON.get(model.state, ":material/smart_toy:"),
            help=escape(f"{model.message} {model.hint}".strip()) or None,
        )
    heartbeat("strip-beat", _PERIOD_SECONDS)
