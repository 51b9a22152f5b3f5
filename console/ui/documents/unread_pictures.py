"""The offer to read documents again whose pages are pictures, from before text recognition could read them."""

from __future__ import annotations

import streamlit as st

from console.ui.current_actor import page_actor
from console.ui.error_boundary import attempt
from console.ui.rights import as_visitor
from console.ui.session_state import notify
from services.core.i18n import _, plural
from services.knowledge.library import Library
from services.knowledge.notes import NoteKind


def unread_pictures_banner(library: Library) -> None:
    """Draw it where there are such documents."""
    noted = dict(library.counts(page_actor()).notes)
    pages = noted.get(NoteKind.PICTURE_PAGES, 0) + noted.get(NoteKind.UNRECOGNIZED_PAGES, 0)
    if not pages or not library.jobs.recognizes_text:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            plural(
                "{count} page is a picture that nothing was read from; text recognition can read it now.",
                "{count} pages are pictures that nothing was read from; text recognition can read them now.",
                pages,
            ),
            width="content",
        )
        st.button(_("Read again"), key="reread-pictures", on_click=_reread, args=(library,))


def _reread(library: Library) -> None:
    jobs = attempt(as_visitor(library.jobs.reread_pictures))
    if jobs is not None:
        notify(plural("{count} document is read again.", "{count} documents are read again.", len(jobs)))
