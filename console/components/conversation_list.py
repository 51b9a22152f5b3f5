"""The conversations in the sidebar: search, start, choose."""

from __future__ import annotations

import streamlit as st

from console.components.formatting import escape, shorten
from console.state import ChatState, Key, Query, set_query, state_of
from services.chat.conversations import Conversations
from services.chat.types import Conversation
from services.texts import _

_SHOWN = 40


def conversation_list(conversations: Conversations, current: Conversation | None) -> None:
    """Draw the list; choosing one puts it into the address bar."""
    st.button(
        _("New conversation"),
        key=Key.CONVERSATION_NEW,
        icon=":material/add:",
        width="stretch",
        on_click=open_conversation,
        args=("",),
    )
    words = st.text_input(
        _("Search conversations"),
        key=Key.CONVERSATION_SEARCH,
        type="search",
        placeholder=_("Search conversations"),
        label_visibility="collapsed",
        live=True,
    )
    found = conversations.conversations(query=words or "", limit=_SHOWN + 1)
    if not found:
        st.caption(_("No conversation contains that.") if words else _("No conversations yet."))
    with st.container(gap=None, key="conversation-list"):
        for conversation in found[:_SHOWN]:
            title = escape(shorten(conversation.title, 44)) or _("Untitled")
            here = current is not None and conversation.id == current.id
            st.button(
                f"**{title}**" if here else title,
                key=f"conversation-{conversation.id}",
                type="tertiary",
                icon=":material/chat:" if here else ":material/chat_bubble_outline:",
                on_click=open_conversation,
                args=(conversation.id,),
                wrap=False,
            )
    if len(found) > _SHOWN:
        st.caption(_("Search to find older ones."))


def open_conversation(conversation_id: str) -> None:
    """Go to a conversation; "" is a new one."""
    set_query(Query.CONVERSATION, conversation_id)
    state = state_of(ChatState)
    state.before = state.editing = None
