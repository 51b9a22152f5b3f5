"""Chat: questions to the documents, in stored conversations."""

from __future__ import annotations

import streamlit as st

from console.ui.budget.admission import refusal_banner
from console.ui.chat.conversation_views import (
    chosen_conversation,
    conversation_bar,
    conversation_list,
    open_conversation,
)
from console.ui.chat.transcript import chat_view
from console.ui.current_actor import page_actor
from console.ui.live_answers import live_answers
from console.ui.runtime_access import ready_services
from services.chat.types import Conversation
from services.core.admission import Gate
from services.core.errors import NotFoundError
from services.core.i18n import _

services = ready_services()
conversation: Conversation | None = None
live = None
if name := chosen_conversation():
    live = live_answers.get(name)  # before anything is read: an answer that ends meanwhile redraws the page
    try:
        conversation = services.conversations.conversation(page_actor(services), name)
    except NotFoundError:
        open_conversation("")
        live = None
        st.warning(
            _("It was deleted, or the link is wrong."),
            title=_("Conversation not found"),
            icon=":material/scan_delete:",
        )
with st.sidebar:
    conversation_list(services.conversations, conversation)
conversation_bar(services, conversation)
refusal_banner(services.admission, Gate.QUESTIONS, Gate.LONG_QUESTIONS)
chat_view(services, conversation, live)
