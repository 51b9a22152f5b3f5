"""The keyboard of a tab: the component that listens for shortcuts and shows the palette, and what is done for it.

The browser finds among pages and commands by itself; documents and conversations are searched here, as the person whose
tab it is. What it sends back is checked against that person's rights, like an address that somebody types.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from console.navigation import PageName, may_open, page, page_name
from console.ui.chat.conversation_views import open_conversation
from console.ui.current_actor import page_actor
from console.ui.error_boundary import guarded
from console.ui.keyboard.palette import CONVERSATION, DOCUMENT, found_entries, standing_entries
from console.ui.keyboard.shortcuts import FIELDS, LIST, NEW, PAGE, open_shortcuts, shortcuts
from console.ui.session_state import OpenPage, Query, state_of
from services.app.container import Services
from services.core.actor import Actor
from services.core.errors import MillpondError
from services.core.i18n import _

_FOLDER = Path(__file__).parent
_KEY = "keyboard"
_LONGEST = 200
_ON_ITS_WAY = 3.0  # seconds: a table waits for .15 before it tells its choice, a busy browser for longer
_component = st.components.v2.component(
    "millpond_keyboard",
    js=(_FOLDER / "keyboard.js").read_text(encoding="utf-8"),
    css=(_FOLDER / "keyboard.css").read_text(encoding="utf-8"),
)


@dataclass(frozen=True)
class Sent:
    """Where a tab was sent from a page, `left`, and when, in seconds of the monotonic clock."""

    to: PageName
    query: dict[str, str] | None
    left: PageName
    at: float


@dataclass
class TabRequests:
    """What a tab has asked for and has not got yet: the palette's search, and what a key or a line stands for.

    Kept outside the run that brings it: another request, such as a table's choice, may end that run before it is done.
    """

    text: str | None = None
    action: str | None = None
    sent: Sent | None = None


@st.fragment
@guarded
def keyboard(services: Services) -> None:
    """Listen for the shortcuts, and do what they and the palette ask for."""
    actor = page_actor(services)
    asked = state_of(TabRequests)
    text, asked.text = asked.text, None
    _component(
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
        on_act_change=_remember_action,
        on_ask_change=_remember_text,
    )
    action, asked.action = asked.action, None
    if action is not None:
        act(actor, action)


def go_on(services: Services) -> None:
    """Go where a key has sent the tab, once more, when a request from before it has brought back the page it had left.

    A table tells its choice with some delay, for the page that the browser still shows: it would undo the key.
    """
    sent = state_of(TabRequests).sent
    if sent is None or sent.left != _shown():
        return
    if time.monotonic() - sent.at < _ON_ITS_WAY and may_open(page_actor(services), sent.to):
        st.switch_page(page(sent.to), query_params=sent.query)
    state_of(TabRequests).sent = None


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
        left = _shown()
        state_of(TabRequests).sent = Sent(name, query, left, time.monotonic()) if name != left else None
        st.switch_page(page(name), query_params=query)


def _shown() -> PageName:
    return page_name(state_of(OpenPage).path or "")


def _found(services: Services, actor: Actor, text: str) -> dict[str, Any]:
    """Return what the palette's search found, or why it failed."""
    try:
        return {"text": text, "entries": found_entries(services, actor, text.strip()), "failed": ""}
    except MillpondError as error:  # the palette says so itself, and stays open
        return {"text": text, "entries": [], "failed": error.message}


def _remember_text() -> None:
    text = st.session_state[_KEY].ask
    state_of(TabRequests).text = text[:_LONGEST] if isinstance(text, str) else None


def _remember_action() -> None:
    action = st.session_state[_KEY].act
    state_of(TabRequests).action = action[:_LONGEST] if isinstance(action, str) else None
