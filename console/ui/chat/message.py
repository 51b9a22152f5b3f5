"""One stored message: question or answer with its sources, cost and actions."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from console.ui.current_actor import page_user
from console.ui.error_boundary import attempt
from console.ui.live_answers import QuestionMode
from console.ui.session_state import ChatState, state_of
from console.ui.shared.citations import citation_buttons
from console.ui.shared.formatting import answer_markdown, count, escape, escape_block, milliseconds, signed_size
from services.app.container import Services
from services.chat.answer_stream import AnswerStream
from services.chat.types import AnswerCost, AnswerState, Message, MessageRole
from services.core.i18n import _

# Starts a new answer, given conversation id, question, answer and how the question was asked.
StartAnswer = Callable[[str, str, AnswerStream, QuestionMode], None]


def show_message(services: Services, message: Message, *, last: bool, start_answer: StartAnswer) -> None:
    """Draw a message; the `last` of a conversation can be asked again and edited."""
    if message.role is MessageRole.USER:
        _question(services, message, last=last, start_answer=start_answer)
    else:
        _answer(services, message, last=last, start_answer=start_answer)


def _question(services: Services, message: Message, *, last: bool, start_answer: StartAnswer) -> None:
    state = state_of(ChatState)
    with st.chat_message("user", avatar=":material/person:"):
        if state.editing == message.id:
            with st.form(f"edit-{message.id}", border=False):
                text = st.text_area(
                    _("Question"), value=message.text, label_visibility="collapsed", key=f"edit-text-{message.id}"
                )
                with st.container(horizontal=True):
                    if st.form_submit_button(_("Ask again"), type="primary"):
                        answer = services.answers.edit(message.conversation_id, text, user=page_user())
                        start_answer(message.conversation_id, text, answer, QuestionMode.EDITED)
                        st.rerun()
                    if st.form_submit_button(_("Cancel")):
                        state.editing = None
                        st.rerun()
            return
        st.markdown(escape_block(message.text))
        if last:  # a question without an answer, after a crash
            _retry_actions(services, message, start_answer)


def _answer(services: Services, message: Message, *, last: bool, start_answer: StartAnswer) -> None:
    with st.chat_message("assistant", avatar=":material/water:"):
        if message.error:
            st.error(escape(message.hint) or " ", title=escape(message.error), icon=":material/error:")
        text = answer_markdown(message.text, {citation.number for citation in message.citations})
        if message.text and not message.citations and message.state is AnswerState.COMPLETE:
            st.info(text, title=_("Nothing in the documents answers this"), icon=":material/search_off:")
        elif message.text:
            st.markdown(text)
        if message.state is AnswerState.STOPPED:
            st.caption(_("Stopped before the end.") if message.text else _("Stopped before the first word."))
        citation_buttons(services.library, message.citations, str(message.id))
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"foot-{message.id}"):
            if message.text:
                _thumbs(services, message)
            if last:
                _retry_actions(services, message, start_answer)
            st.caption(escape(_cost(message)), width="content")


def _thumbs(services: Services, message: Message) -> None:
    key = f"feedback-{message.id}"
    if key not in st.session_state and message.feedback:
        st.session_state[key] = 1 if message.feedback > 0 else 0
    st.feedback("thumbs", key=key, on_change=_rate, args=(services, message.id, key))


def _rate(services: Services, message_id: int, key: str) -> None:
    value = st.session_state[key]
    attempt(services.conversations.feedback, message_id, 0 if value is None else (1 if value else -1))


def _retry_actions(services: Services, message: Message, start_answer: StartAnswer) -> None:
    if st.button(_("Regenerate"), key="chat-regenerate", icon=":material/refresh:", type="tertiary"):
        answer = services.answers.regenerate(message.conversation_id, user=page_user())
        start_answer(message.conversation_id, "", answer, QuestionMode.AGAIN)
        st.rerun()
    st.button(
        _("Edit question"),
        key="chat-edit",
        icon=":material/edit:",
        type="tertiary",
        on_click=_edit,
        args=(services, message),
    )


def _edit(services: Services, message: Message) -> None:
    """Open the conversation's last question for editing."""
    for earlier in reversed(services.conversations.messages(message.conversation_id, limit=4)):
        if earlier.role is MessageRole.USER:
            state_of(ChatState).editing = earlier.id
            return


def _cost(message: Message) -> str:
    """Return model, times, tokens and memory of the answer on one line, as far as they are known."""
    cost: AnswerCost = message.cost
    parts = [message.model, _("from the cache") if cost.cached else ""]
    if cost.first_token_ms is not None:
        parts.append(_("first word {time}").format(time=milliseconds(cost.first_token_ms)))
    if cost.retrieval_ms is not None:
        parts.append(_("retrieval {time}").format(time=milliseconds(cost.retrieval_ms)))
    if cost.total_ms is not None:
        parts.append(_("total {time}").format(time=milliseconds(cost.total_ms)))
    if cost.prompt_tokens is not None and cost.answer_tokens is not None:
        parts.append(
            _("{prompt} + {answer} tokens").format(prompt=count(cost.prompt_tokens), answer=count(cost.answer_tokens))
        )
    if cost.rss_change_bytes is not None:
        parts.append(_("RSS {change}").format(change=signed_size(cost.rss_change_bytes)))
    return " · ".join(part for part in parts if part)
