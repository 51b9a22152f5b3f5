"""The shortcuts: one table, which the browser goes by and the list behind "?" shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NoReturn

import streamlit as st

from console.navigation import PageName, in_menu, may_open, page_titles
from console.ui.session_state import Key
from console.ui.shared.dialogs import open_dialog
from console.ui.shared.formatting import escape
from services.core.actor import Actor
from services.core.i18n import _

# Done by the browser alone, by these names.
PALETTE, FIELD, LEAVE = "palette", "field", "leave"
# Told to the console; of a page it is "page:" and the name.
NEW, LIST, PAGE = "new", "list", "page"
# Where one asks or searches; the first that is on the page gets what is typed after "/".
FIELDS = (
    Key.CHAT_INPUT,
    Key.DOCUMENT_SEARCH,
    Key.RETRIEVAL_QUERY,
    Key.OBJECTS_SEARCH,
    Key.TRACING_SEARCH,
    Key.PEOPLE_SEARCH,
    Key.AUDIT_WHO,
)
_LETTERS: Mapping[PageName, str] = MappingProxyType(
    {
        PageName.CHAT: "c",
        PageName.DOCUMENTS: "d",
        PageName.RETRIEVAL: "r",
        PageName.MEMORY: "m",
        PageName.OBJECTS: "o",
        PageName.ALLOCATIONS: "a",
        PageName.COLLECTOR: "g",
        PageName.BUDGET: "b",
        PageName.OVERVIEW: "v",
        PageName.NODES: "n",
        PageName.PEOPLE: "p",
        PageName.AUDIT: "u",
        PageName.SETTINGS: "s",
        PageName.ACCOUNT: "i",
    }
)


@dataclass(frozen=True, slots=True)
class Shortcut:
    """Keys, pressed one after the other, as the browser names them; what they do in words, and its name."""

    keys: tuple[str, ...]
    label: str
    action: str


def shortcuts(actor: Actor) -> list[Shortcut]:
    """Return the shortcuts that somebody has: those to what they may open."""
    found = [
        Shortcut(("Ctrl+k",), _("Go to a page, a document or a conversation"), PALETTE),
        Shortcut(("/",), _("Ask or search on this page"), FIELD),
    ]
    if may_open(actor, PageName.CHAT):
        found.append(Shortcut(("n",), _("New conversation"), NEW))
    found.append(Shortcut(("?",), _("Keyboard shortcuts"), LIST))
    found.append(Shortcut(("Escape",), _("Close a dialog, leave a field"), LEAVE))
    titles, go = page_titles(), _("Go to: {page}")
    return found + [
        Shortcut(("g", letter), go.format(page=titles[name]), f"{PAGE}:{name}")
        for name, letter in _LETTERS.items()
        if in_menu(actor, name)
    ]


def open_shortcuts(actor: Actor) -> NoReturn:
    """Open the list of the shortcuts."""
    known = shortcuts(actor)

    def body() -> None:
        with st.container(gap="xsmall", key="shortcuts"):
            for shortcut in known:
                with st.container(horizontal=True, horizontal_alignment="distribute", wrap=False):
                    st.markdown(escape(shortcut.label), width="content")
                    st.markdown(" ".join(f"`{_shown(key)}`" for key in shortcut.keys), width="content")
        st.caption(_("They wait while you type in a field. On a Mac, Cmd takes the place of Ctrl."))

    open_dialog(_("Keyboard shortcuts"), body)


def _shown(key: str) -> str:
    return {"Ctrl+k": "Ctrl+K", "Escape": "Esc"}.get(key, key)
