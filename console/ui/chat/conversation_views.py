"""Views of conversations: the bar above one (title, collections, history window, menu) and the list in the sidebar."""

from __future__ import annotations

import re
from functools import partial
from typing import NoReturn

import streamlit as st

from console.ui.chat.copy_button import copy_link_button
from console.ui.current_actor import page_actor
from console.ui.error_boundary import attempt
from console.ui.rights import as_visitor
from console.ui.session_state import ChatState, Key, OpenPage, Query, query, set_queries, state_of
from console.ui.shared.dialogs import confirm, open_dialog, prompt_for_name
from console.ui.shared.formatting import escape, plain, shorten
from console.ui.shared.page_heading import page_heading
from services.app.container import Services
from services.chat.conversations import Conversations
from services.chat.excerpts import find
from services.chat.types import Conversation, FoundConversation
from services.core.i18n import _, plural

_MOST_TURNS = 50
_SHOWN = 40
_TITLE = 44  # characters in the list


def conversation_bar(services: Services, conversation: Conversation | None) -> None:
    """Draw the bar; the choices of a conversation that is not stored yet are kept in the tab."""
    with st.container(horizontal=True, vertical_alignment="center", key="conversation-bar"):
        page_heading((conversation.title or _("Untitled")) if conversation else _("New conversation"))
        with st.popover(
            _scope(services, conversation), icon=":material/filter_alt:", type="tertiary", key="chat-scope"
        ):
            _choices(services, conversation)
        if conversation is not None:
            copy_link_button(
                f"{Query.CONVERSATION.value}={conversation.id}",
                _("Copy link"),
                key="copy-link",
                tip=_link_tip(services),
            )
            _menu(services, conversation)


def _link_tip(services: Services) -> str:
    if page_actor(services).person_id is None:
        return _("The address of this conversation")
    return _("The address of this conversation; it opens for you alone.")


def _scope(services: Services, conversation: Conversation | None) -> str:
    ids = conversation.collection_ids if conversation else state_of(ChatState).draft_collections
    if not ids:
        return _("All collections")
    names = {collection.id: collection.name for collection in services.library.collections(page_actor(services))}
    known = [names[i] for i in ids if i in names]
    if len(known) == 1:
        return escape(shorten(known[0], 30))
    return plural("{count} collection", "{count} collections", len(known))


def _choices(services: Services, conversation: Conversation | None) -> None:
    state = state_of(ChatState)
    collections = {collection.id: collection for collection in services.library.collections(page_actor(services))}
    ids = conversation.collection_ids if conversation else state.draft_collections
    name = conversation.id if conversation else "new"
    scope, window = f"chat-collections-{name}", f"chat-turns-{name}"
    chosen = st.multiselect(
        _("Collections to ask"),
        list(collections),
        default=[i for i in ids if i in collections],
        format_func=lambda i: plain(collections[i].name),
        placeholder=_("All"),
        key=scope,
        on_change=_set_collections,
        args=(services, conversation, scope),
    )
    turns = conversation.history_turns if conversation else state.draft_turns
    if turns is None:
        turns = services.settings.history_turns
    wanted = st.number_input(
        _("History turns"),
        0,
        _MOST_TURNS,
        value=min(turns, _MOST_TURNS),
        key=window,
        help=_("How many earlier questions and answers the chat model sees. All are kept on disk."),
        on_change=_set_turns,
        args=(services, conversation, window),
    )
    if conversation is None:
        state.draft_collections, state.draft_turns = tuple(chosen), int(wanted)


def _set_collections(services: Services, conversation: Conversation | None, key: str) -> None:
    if conversation is not None:
        attempt(as_visitor(services.conversations.set_collections), conversation.id, tuple(st.session_state[key]))


def _set_turns(services: Services, conversation: Conversation | None, key: str) -> None:
    if conversation is not None:
        attempt(as_visitor(services.conversations.set_history_turns), conversation.id, int(st.session_state[key]))


def _menu(services: Services, conversation: Conversation) -> None:
    rename, markdown, json, delete = _("Rename"), _("Export Markdown"), _("Export JSON"), _("Delete")
    chosen = st.menu_button(
        _("More"),
        [rename, markdown, json, delete],
        key="conversation-menu",
        type="tertiary",
        icon=":material/more_horiz:",
    )
    if chosen == rename:
        prompt_for_name(
            _("Rename conversation"), _("Title"), conversation.title, partial(_rename, services, conversation.id)
        )
    elif chosen in {markdown, json}:
        _export(services, conversation, as_json=chosen == json)
    elif chosen == delete:
        confirm(
            _("Delete this conversation?"),
            [
                shorten(conversation.title, 80),
                plural(
                    "This deletes its {count} message.", "This deletes its {count} messages.", conversation.messages
                ),
                _("The documents are kept."),
            ],
            _("Delete"),
            partial(_delete, services, conversation.id),
        )


def _rename(services: Services, conversation_id: str, title: str) -> str:
    services.conversations.rename(page_actor(services), conversation_id, title)
    return _("Renamed.")


def _delete(services: Services, conversation_id: str) -> str:
    actor = page_actor(services)
    services.answers.stop(actor, conversation_id)
    services.conversations.delete(actor, conversation_id)
    open_conversation("")
    return _("The conversation was deleted.")


def _export(services: Services, conversation: Conversation, *, as_json: bool) -> NoReturn:
    def body() -> None:
        text = services.conversations.export(page_actor(services), conversation.id, "json" if as_json else "markdown")
        stem = re.sub(r"[^\w\-]+", "-", conversation.title).strip("-")[:60] or "conversation"
        st.markdown(
            plural(
                "The conversation with its {count} message.",
                "The conversation with its {count} messages.",
                conversation.messages,
            )
        )
        st.download_button(
            _("Download"),
            data=text,
            file_name=f"{stem}.json" if as_json else f"{stem}.md",
            mime="application/json" if as_json else "text/markdown",
            type="primary",
            icon=":material/download:",
            on_click="ignore",
        )

    open_dialog(_("Export as JSON") if as_json else _("Export as Markdown"), body)


def conversation_list(conversations: Conversations, current: Conversation | None) -> None:
    """Draw the list in the sidebar; choosing one puts it into the address bar."""
    st.button(
        _("New conversation"),
        key=Key.CONVERSATION_NEW,
        icon=":material/add:",
        width="stretch",
        on_click=open_conversation,
        args=("",),
    )
    text = st.text_input(
        _("Search conversations"),
        key=Key.CONVERSATION_SEARCH,
        type="search",
        placeholder=_("Search conversations"),
        label_visibility="collapsed",
        live=True,
    )
    found = conversations.found_conversations(page_actor(), query=text or "", limit=_SHOWN + 1)
    if not found:
        st.caption(_("No conversation contains this text.") if text else _("No conversations yet."))
    with st.container(gap=None, key="conversation-list"):
        for conversation in found[:_SHOWN]:
            title = escape(shorten(conversation.title, _TITLE)) or _("Untitled")
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
            if where := _where(conversation, text or ""):
                st.caption(where)
    if len(found) > _SHOWN:
        st.caption(_("Search to find older ones."))


def _where(conversation: FoundConversation, searched: str) -> str:
    """Return where a message has the words that were searched for, with them marked; "" where the title shows them."""
    place = find(conversation.excerpt, searched)
    if place is None or find(shorten(conversation.title, _TITLE), searched):
        return ""
    before, after = conversation.excerpt[: place.start()], conversation.excerpt[place.end() :]
    gap_before, gap_after = " " * before.endswith(" "), " " * after.startswith(" ")
    return f"{escape(before)}{gap_before}:orange-background[{escape(place[0])}]{gap_after}{escape(after)}"


def open_conversation(conversation_id: str) -> None:
    """Open a conversation; "" opens a new one."""
    set_queries({Query.CONVERSATION: conversation_id, Query.SOURCE: None})
    state = state_of(ChatState)
    state.conversation, state.source = conversation_id, ""
    state.before = state.editing = None


def chosen_conversation() -> str:
    """Return the id of the conversation in the address bar; on the way back from another page the one shown before,
    with its open source.
    """
    name, state = query(Query.CONVERSATION), state_of(ChatState)
    if not name and state.conversation and state_of(OpenPage).entered:
        name = state.conversation
        set_queries({Query.CONVERSATION: name, Query.SOURCE: state.source})
    return name
