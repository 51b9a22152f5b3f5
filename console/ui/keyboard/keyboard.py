"""The keyboard of a tab: the component that listens for shortcuts and shows the palette, and what is done for it.

The browser finds among pages and commands by itself; documents and conversations are searched here, as the person whose
tab it is. What it sends back is checked against that person's rights, like an address that somebody types.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from console.navigation import PageName, may_open, page
from console.ui.chat.conversation_views import open_conversation
from console.ui.current_actor import page_actor
from console.ui.error_boundary import guarded
from console.ui.keyboard.palette import CONVERSATION, DOCUMENT, found_entries, standing_entries
from console.ui.keyboard.shortcuts import FIELDS, LIST, NEW, PAGE, open_shortcuts, shortcuts
from console.ui.session_state import Query, state_of
from services.app.container import Services
from services.core.actor import Actor
from services.core.errors import MillpondError
from services.core.i18n import _

_FOLDER = Path(__file__).parent
_KEY = "keyboard"
_LONGEST = 200
_component = st.components.v2.component(
    "millpond_keyboard",
    js=(_FOLDER / "keyboard.js").read_text(encoding="utf-8"),
    css=(_FOLDER / "keyboard.css").read_text(encoding="utf-8"),
)


@dataclass
class PaletteSearch:
    """What this tab's palette searches for, None where it has asked for nothing since the last run."""

    text: str | None = None


@st.fragment
@guarded
def keyboard(services: Services) -> None:
    """Listen for the shortcuts, and do what they and the palette ask for."""
    actor = page_actor(services)
    search = state_of(PaletteSearch)
    text, search.text = search.text, None
    told = _component(
        key=_KEY,
        data={
            "shortcuts": [{"keys": each.keys, "action": each.action} for each in shortcuts(actor)],
            "fields": FIELDS,
            "standing": standing_entries(actor),
            "found": None if text is None else _found(services, actor, text),
            "words": {
                "title": _("Go to a page, a document or a conversation"),
                "searching": _("Searching …"),
                "nothing": _("Nothing is called that."),
            },
        },
        height=1,
        on_act_change=_ignore,
        on_ask_change=_remember,
    )
    if isinstance(told.act, str):
        act(actor, told.act)


def act(actor: Actor, action: str) -> None:
    """Do what a shortcut or a line of the palette stands for; nothing where it stands for nothing that one may open."""
    kind, _colon, target = action.partition(":")
    if action == LIST:
        open_shortcuts(actor)
    elif kind == PAGE and target in set(PageName):
        _go(actor, PageName(target))
    elif action == NEW:
        open_conversation("")
        _go(actor, PageName.CHAT)
    elif kind == DOCUMENT:
        _go(actor, PageName.DOCUMENTS, {Query.DOCUMENT.value: target})
    elif kind == CONVERSATION:
        open_conversation(target)
        _go(actor, PageName.CHAT, {Query.CONVERSATION.value: target})


def _go(actor: Actor, name: PageName, query: dict[str, str] | None = None) -> None:
    if may_open(actor, name):
        st.switch_page(page(name), query_params=query)


def _found(services: Services, actor: Actor, text: str) -> dict[str, Any]:
    """Return what the palette's search found, or why it failed."""
    try:
        return {"text": text, "entries": found_entries(services, actor, text.strip()), "failed": ""}
    except MillpondError as error:  # the palette says so itself, and stays open
        return {"text": text, "entries": [], "failed": error.message}


def _remember() -> None:
    text = st.session_state[_KEY].ask
    state_of(PaletteSearch).text = text[:_LONGEST] if isinstance(text, str) else None


def _ignore() -> None:
    """Do nothing: the value is read where the component is drawn."""
