"""The heading of a page (one, h1) and the browser's title, in the reader's language.

`console.app` draws the page's name. A view that shows one thing (a conversation, a document, a person) draws that
thing's name in its place; where it comes to nothing, the page's own name stands there after all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import streamlit as st

from console.navigation import PageName, page_title
from console.ui.session_state import Query, query, state_of
from console.ui.shared.formatting import escape, plain, shorten
from services.core.i18n import _

_LONGEST = 80
# Pages whose views name what they show: always, or if the address has this parameter.
_NAMED_BY_VIEWS: dict[PageName, Query | None] = {
    PageName.CHAT: None,
    PageName.DOCUMENTS: Query.DOCUMENT,
    PageName.PEOPLE: Query.PERSON,
}


@dataclass
class DrawnHeading:
    """Whether this run has drawn the page's heading."""

    drawn: bool = False


@contextmanager
def headed_page(name: PageName) -> Iterator[None]:
    """Draw the page's name above what is drawn inside, unless a view there draws a heading of its own."""
    heading = state_of(DrawnHeading)
    heading.drawn = False
    place = st.container()
    if not _named_by_view(name):
        with place:
            page_heading(page_title(name))
    yield
    if not heading.drawn:
        with place:
            page_heading(page_title(name))


def page_heading(title: str) -> None:
    """Draw the heading and give the browser its title; `title` may be foreign text."""
    state_of(DrawnHeading).drawn = True
    st.set_page_config(page_title=_("{page} - Millpond").format(page=plain(shorten(title, _LONGEST))))
    st.title(escape(shorten(title, _LONGEST)), anchor=False, width="stretch")


def _named_by_view(name: PageName) -> bool:
    parameter = _NAMED_BY_VIEWS.get(name)
    return name in _NAMED_BY_VIEWS and (parameter is None or bool(query(parameter)))
