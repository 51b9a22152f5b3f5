"""Answers that quote documents which were deleted: how many there are, and the button that erases them."""

from __future__ import annotations

from functools import partial

import streamlit as st

from console.ui.current_actor import page_actor
from console.ui.error_boundary import guarded
from console.ui.shared.dialogs import confirm
from services.core.i18n import _, plural
from services.knowledge.library import Library


@guarded
def deleted_quotes(library: Library) -> None:
    """Draw what is left of deleted documents; nothing where nothing is."""
    quoted = library.quotes.of_deleted(page_actor())
    if not quoted.answers:
        return
    text = _("{answers} in {conversations}.").format(
        answers=plural(
            "{count} answer quotes documents that were deleted",
            "{count} answers quote documents that were deleted",
            quoted.answers,
        ),
        conversations=plural("{count} conversation", "{count} conversations", quoted.conversations),
    )
    with st.container(horizontal=True, vertical_alignment="center", key="deleted-quotes"):
        st.caption(text, width="content")
        if st.button(_("Erase them"), type="tertiary", key="deleted-quotes-erase", icon=":material/delete_sweep:"):
            confirm(
                _("Erase these answers?"),
                [text, _("The questions stay; the answers are replaced by a sentence that says so.")],
                _("Erase"),
                partial(_erase, library),
            )


def _erase(library: Library) -> str:
    erased = library.quotes.erase_deleted(page_actor())
    return plural("{count} answer was erased.", "{count} answers were erased.", erased.answers)
