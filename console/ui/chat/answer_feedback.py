"""What a person says about an answer: a thumb, and of one that points down what is wrong, as far as they say it."""

from __future__ import annotations

import streamlit as st

from console.ui.error_boundary import attempt
from console.ui.rights import as_visitor
from services.app.container import Services
from services.chat.conversations import FEEDBACK_CHARACTERS
from services.chat.types import FeedbackReason, Message
from services.core.i18n import _


def thumbs(services: Services, message: Message) -> None:
    """Draw both thumbs; a click is stored at once."""
    key = f"feedback-{message.id}"
    if key not in st.session_state and message.feedback:
        st.session_state[key] = 1 if message.feedback > 0 else 0
    st.feedback("thumbs", key=key, on_change=_rate, args=(services, message.id, key))


def _rate(services: Services, message_id: int, key: str) -> None:
    value = st.session_state[key]
    attempt(as_visitor(services.conversations.feedback), message_id, 0 if value is None else (1 if value else -1))


def feedback_reason(services: Services, message: Message) -> None:
    """Ask what is wrong with an answer that was marked down; what is chosen or written is stored at once."""
    reason, text = f"feedback-reason-{message.id}", f"feedback-text-{message.id}"
    if reason not in st.session_state:
        st.session_state[reason] = message.feedback_reason
    if text not in st.session_state:
        st.session_state[text] = message.feedback_text
    names = reason_names()
    with st.container(gap="xsmall", key=f"reason-{message.id}"):
        st.pills(
            _("What is wrong with this answer?"),
            list(FeedbackReason),
            format_func=lambda each: names[each],
            key=reason,
            on_change=_explain,
            args=(services, message.id, reason, text),
        )
        st.text_input(
            _("In your own words"),
            placeholder=_("In your own words, if you like"),
            label_visibility="collapsed",
            max_chars=FEEDBACK_CHARACTERS,
            key=text,
            on_change=_explain,
            args=(services, message.id, reason, text),
        )


def _explain(services: Services, message_id: int, reason: str, text: str) -> None:
    why, words = st.session_state.get(reason), st.session_state.get(text) or ""
    attempt(as_visitor(services.conversations.feedback), message_id, -1, why, words)


def reason_names() -> dict[FeedbackReason, str]:
    """Return what the reasons are called."""
    return {
        FeedbackReason.WRONG: _("Wrong"),
        FeedbackReason.NOT_IN_DOCUMENTS: _("Not in the documents"),
        FeedbackReason.WRONG_SOURCE: _("Wrong source"),
        FeedbackReason.INCOMPLETE: _("Incomplete"),
        FeedbackReason.OTHER: _("Something else"),
    }
