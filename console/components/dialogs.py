"""Dialogs: every destructive action says what goes, can be cancelled, and tells afterwards what it did."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import streamlit as st

from console.boundary import guarded
from console.components.formatting import count, escape, size
from console.state import Key, tell
from services.knowledge.types import DeletionReport
from services.texts import _, plural


def confirm(title: str, goes: Iterable[str], label: str, action: Callable[[], str]) -> None:
    """Ask before `action`; `goes` are lines that say what it removes. What `action` returns is told afterwards."""

    @guarded
    def body() -> None:
        for line in goes:
            st.markdown(escape(line))
        st.caption(_("This cannot be undone."))
        with st.container(horizontal=True, horizontal_alignment="right"):
            if st.button(_("Cancel")):
                st.rerun()
            if st.button(label, type="primary", key=Key.CONFIRM):
                tell(action())
                st.rerun()

    st.dialog(escape(title))(body)()


def ask_name(title: str, label: str, value: str, action: Callable[[str], str]) -> None:
    """Ask for a name and hand it to `action`, which returns what to tell; its failure is shown in the dialog."""

    @guarded
    def body() -> None:
        with st.form("name-form", border=False):
            name = st.text_input(label, value=value, max_chars=200, key="name-field")
            if st.form_submit_button(_("Save"), type="primary"):
                tell(action(name.strip()))
                st.rerun()

    st.dialog(escape(title))(body)()


def deletion_text(report: DeletionReport) -> str:
    """Return what a deletion has removed."""
    return _("Deleted {documents}, {chunks} and {size}.").format(
        documents=plural("{count} document", "{count} documents", report.documents),
        chunks=_("{count} chunks").format(count=count(report.chunks)),
        size=size(report.bytes),
    )
