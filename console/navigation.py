"""The pages: names, titles, icons and groups, for the menu and for links."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import streamlit as st

from services.core.i18n import _

_FOLDER = Path(__file__).resolve().parent.parent / "pages"


class PageName(StrEnum):
    """The pages; a value is the file's name and the path of the URL."""

    CHAT = "chat"
    DOCUMENTS = "documents"
    RETRIEVAL = "retrieval"
    MEMORY = "memory"
    OBJECTS = "objects"
    ALLOCATIONS = "allocations"
    COLLECTOR = "collector"
    BUDGET = "budget"
    OVERVIEW = "overview"
    SETTINGS = "settings"


def page(name: PageName) -> st.Page:
    """Return a page for `st.navigation`, `st.page_link` and `st.switch_page`."""
    title, icon = {
        PageName.CHAT: (_("Chat"), ":material/forum:"),
        PageName.DOCUMENTS: (_("Documents"), ":material/folder_open:"),
        PageName.RETRIEVAL: (_("Retrieval test"), ":material/manage_search:"),
        PageName.MEMORY: (_("Memory"), ":material/memory:"),
        PageName.OBJECTS: (_("Objects"), ":material/account_tree:"),
        PageName.ALLOCATIONS: (_("Allocations"), ":material/data_object:"),
        PageName.COLLECTOR: (_("Garbage collection"), ":material/recycling:"),
        PageName.BUDGET: (_("Budget"), ":material/speed:"),
        PageName.OVERVIEW: (_("Overview"), ":material/monitoring:"),
        PageName.SETTINGS: (_("Settings"), ":material/tune:"),
    }[name]
    return st.Page(_FOLDER / f"{name}.py", title=title, icon=icon, url_path=name.value, default=name is PageName.CHAT)


def groups() -> dict[str, list[st.Page]]:
    """Return the pages by group, in the order of the menu."""
    return {
        _("Work"): [page(PageName.CHAT), page(PageName.DOCUMENTS), page(PageName.RETRIEVAL)],
        _("Memory"): [
            page(PageName.MEMORY),
            page(PageName.OBJECTS),
            page(PageName.ALLOCATIONS),
            page(PageName.COLLECTOR),
            page(PageName.BUDGET),
        ],
        _("System"): [page(PageName.OVERVIEW), page(PageName.SETTINGS)],
    }
