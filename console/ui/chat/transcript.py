"""The transcript of a conversation: stored messages with sources, cost and actions, the answer in progress, the input
for the next question.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Literal

import streamlit as st

from console.navigation import PageName, page
from console.ui.chat.answer_feedback import feedback_reason, thumbs
from console.ui.chat.copy_button import copy_button
from console.ui.chat.question_field import focus_question_field
from console.ui.chat.source_panel import open_source, opened_source, source_panel
from console.ui.chat.starter_questions import starter_questions
from console.ui.current_actor import page_actor, page_user
from console.ui.error_boundary import attempt, guarded
from console.ui.live_answers import LiveAnswer, LiveDraft, QuestionMode, live_answers
from console.ui.session_state import ChatState, Key, Query, query, set_query, state_of
from console.ui.shared.citations import citation_buttons
from console.ui.shared.corrections import show_corrections
from console.ui.shared.formatting import answer_markdown, count, escape, escape_block, milliseconds, signed_size
from console.ui.shared.heartbeat import heartbeat
from console.ui.shared.remedy_links import Remedy, remedies_in, remedy_links, show_problem
from services.app.container import Services
from services.chat.answer_stream import AnswerStream
from services.chat.export import as_text, cut_words
from services.chat.quoted_answer import without_hint
from services.chat.types import AnswerCost, AnswerState, BackendKind, Conversation, Message, MessageRole
from services.core.i18n import _

_SHOWN = 20  # messages at a time; older ones are read from disk on request
_STARTERS = 3
_BEAT_SECONDS = 0.3
_DRAW_SECONDS = 0.08
_DRAWS = 6  # redraws within one run of the fragment, so that text flows between two beats
# Starts a new answer, given conversation id, question, answer and how the question was asked.
StartAnswer = Callable[[str, str, AnswerStream, QuestionMode], None]


def chat_view(services: Services, conversation: Conversation | None, live: LiveAnswer | None) -> None:
    """Draw a conversation; None is a new one, which is stored with its first question.

    `live` is the answer that was in progress before the conversation was read: the page is redrawn when it ends.
    """
    with st.container(horizontal=True, key="chat-room"):
        with st.container(key="conversation"):
            _conversation(services, conversation, live)
        if conversation is not None and opened_source() is not None:
            source_panel(services, conversation.id)
    focus_question_field(conversation.id if conversation else "", ready=live is None)
    question = st.chat_input(
        _("Answering …") if live else _("Ask your documents"), key=Key.CHAT_INPUT, disabled=live is not None
    )
    if question:
        _ask(services, conversation, question)


def _conversation(services: Services, conversation: Conversation | None, live: LiveAnswer | None) -> None:
    messages = _shown(services, conversation)
    if live is not None and conversation is not None:
        messages = _with_question(messages, live, conversation.id)
    if conversation is None or not (messages or live):
        _welcome(services, conversation)
    for message in messages:
        show_message(services, message, last=message is messages[-1] and not live, start_answer=_start)
    if conversation is not None:
        if live is not None:
            _live_answer(conversation.id)
        else:
            _failure(conversation.id, messages)
    _model_hint(services, answered=bool(messages or live))


def _shown(services: Services, conversation: Conversation | None) -> Sequence[Message]:
    """Return the visible window of messages and draw the buttons that move it."""
    if conversation is None:
        return ()
    state = state_of(ChatState)
    if state.conversation != conversation.id:  # another one was opened
        state.conversation, state.before, state.editing = conversation.id, None, None
    state.source = query(Query.SOURCE)
    messages = services.conversations.messages(
        page_actor(services), conversation.id, limit=_SHOWN + 1, before=state.before
    )
    more = len(messages) > _SHOWN
    messages = messages[-_SHOWN:]
    if more or state.before is not None:
        with st.container(horizontal=True, horizontal_alignment="center"):
            if more:
                st.button(
                    _("Older messages"), key="chat-older", type="tertiary", on_click=_move, args=(messages[0].id,)
                )
            if state.before is not None:
                st.button(_("Newest messages"), key="chat-newest", type="tertiary", on_click=_move, args=(None,))
    return messages


def _with_question(messages: Sequence[Message], live: LiveAnswer, conversation_id: str) -> list[Message]:
    """Return the messages above the answer in progress, whether or not its question is stored yet."""
    messages = list(messages)
    question = live.question.strip()
    if live.mode is not QuestionMode.NEW and messages and messages[-1].role is MessageRole.ASSISTANT:
        messages.pop()
    if live.mode is QuestionMode.AGAIN:
        return messages
    stored = bool(messages) and messages[-1].role is MessageRole.USER and messages[-1].text == question
    if not stored:
        if live.mode is QuestionMode.EDITED and messages:
            messages.pop()
        messages.append(Message(0, conversation_id, MessageRole.USER, question, datetime.now(UTC)))
    return messages


def _move(before: int | None) -> None:
    state_of(ChatState).before = before


def _welcome(services: Services, conversation: Conversation | None) -> None:
    counts = services.library.counts(page_actor(services))
    with st.container(horizontal_alignment="center", key="welcome"):
        st.space("large")
        if counts.searchable:
            st.markdown(f"### {_('Ask your documents')}", text_alignment="center", anchors=False)
            st.caption(
                _("In English, Chinese or any other language they are written in. Each answer cites its sources."),
                text_alignment="center",
            )
            _starters(services, conversation)
            return
        st.markdown(f"### {_('Add documents, then ask them')}", text_alignment="center", anchors=False)
        st.caption(_("They stay on this machine."), text_alignment="center")

        st.page_link(page(PageName.DOCUMENTS), label=_("Add documents"), icon=":material/upload_file:")


def _starters(services: Services, conversation: Conversation | None) -> None:
    """Draw questions to begin with; a click asks one."""
    scope = conversation.collection_ids if conversation else state_of(ChatState).draft_collections
    topics = services.library.reader.topics(page_actor(services), scope)
    for number, question in enumerate(starter_questions(topics, _STARTERS)):
        if st.button(escape(question), key=f"starter-{number}", icon=":material/arrow_outward:"):
            _ask(services, conversation, question)


def _model_hint(services: Services, *, answered: bool) -> None:
    """Say once that no model writes the answers, and where to choose one."""
    if services.models.choice().kind is not BackendKind.NONE:
        return
    actor = page_actor(services)
    if not (answered or services.library.counts(actor).searchable):
        return
    place: Literal["left", "center"] = "left" if answered else "center"
    with st.container(
        horizontal=True, horizontal_alignment=place, vertical_alignment="center", gap="small", key="no-model"
    ):
        st.caption(_("No language model is connected: answers quote the documents."), width="content")
        remedy_links([Remedy.CONNECT_MODEL])


def _ask(services: Services, conversation: Conversation | None, question: str) -> None:
    if conversation is None:
        state = state_of(ChatState)
        conversation = services.conversations.create(
            page_actor(services), history_turns=state.draft_turns, collection_ids=state.draft_collections
        )
        set_query(Query.CONVERSATION, conversation.id)
        state.draft_collections, state.draft_turns = (), None
    _start(
        conversation.id,
        question,
        services.answers.ask(page_actor(services), conversation.id, question, user=page_user()),
        QuestionMode.NEW,
    )
    st.rerun()


def _start(conversation_id: str, question: str, answer: AnswerStream, mode: QuestionMode) -> None:
    state = state_of(ChatState)
    state.before = state.editing = None
    attempt(live_answers.start, conversation_id, question, answer, mode)


def _failure(conversation_id: str, messages: Sequence[Message]) -> None:
    """Show why the last question failed, unless its message shows that; put the question back into the input."""
    failure = live_answers.failure(conversation_id)
    if failure is None:
        return
    last = messages[-1] if messages else None
    if last is not None and last.state is AnswerState.FAILED and last.error == failure.message:
        return
    show_problem(failure.message, failure.hint)
    asked = [message.text for message in messages if message.role is MessageRole.USER]
    if failure.question.strip() not in asked[-1:]:
        st.session_state[Key.CHAT_INPUT] = failure.question


@st.fragment
@guarded
def _live_answer(conversation_id: str) -> None:
    """Draw the answer as it grows; every tab may watch or stop it."""
    live = live_answers.get(conversation_id)
    if live is None:
        st.rerun()
    with st.chat_message("assistant", avatar=":material/water:"):
        text = st.empty()
        drawn = _draw(text, live.draft(), None)
        st.button(_("Stop"), key=Key.CHAT_STOP, icon=":material/stop_circle:", on_click=live.stop)
        heartbeat("answer", _BEAT_SECONDS)
        for _turn in range(_DRAWS):
            if live.done.wait(_DRAW_SECONDS):
                st.rerun()
            drawn = _draw(text, live.draft(), drawn)


def _draw(place: st.delta_generator.DeltaGenerator, draft: LiveDraft, drawn: LiveDraft | None) -> LiveDraft:
    if draft == drawn:
        return draft
    if draft.text:
        numbers = {citation.number for citation in draft.citations}
        place.markdown(answer_markdown(without_hint(draft.text), numbers))
    elif draft.stopping:
        place.markdown(f":gray[{_('Stopping …')}]")
    elif draft.position:
        place.markdown(f":gray[{_('Waiting: number {position} in the queue').format(position=draft.position)}]")
    else:
        status = _("Writing …") if draft.retrieved else _("Searching the documents …")
        place.markdown(f":shimmer[{status}]")
    return draft


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
                        answer = services.answers.edit(
                            page_actor(services), message.conversation_id, text, user=page_user()
                        )
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
            show_problem(message.error, message.hint)
        show_corrections(message.corrections)
        said = without_hint(message.text)
        text = answer_markdown(said, {citation.number for citation in message.citations})
        if message.text and not message.citations and message.state is AnswerState.COMPLETE:
            st.info(text, title=_("Nothing in the documents answers this"), icon=":material/search_off:")
        elif message.text:
            st.markdown(text)
        if message.state is AnswerState.STOPPED:
            st.caption(_("Stopped before the end.") if message.text else _("Stopped before the first word."))
        if cut := cut_words(message.finish_reason):
            st.warning(cut, icon=":material/content_cut:")
            remedy_links(remedies_in(cut))
        opened = opened_source()
        citation_buttons(
            message.citations,
            str(message.id),
            {opened[1]} if opened is not None and opened[0] == message.id else (),
            partial(open_source, message.id),
        )
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"foot-{message.id}"):
            if message.text:
                thumbs(services, message)
                copy_button(as_text(said, message.citations), _("Copy"), key=f"copy-{message.id}")
            if last:
                _retry_actions(services, message, start_answer)
            st.caption(escape(_cost(message)), width="content")
        if message.feedback < 0:
            feedback_reason(services, message)


def _retry_actions(services: Services, message: Message, start_answer: StartAnswer) -> None:
    if st.button(_("Regenerate"), key="chat-regenerate", icon=":material/refresh:", type="tertiary"):
        answer = services.answers.regenerate(page_actor(services), message.conversation_id, user=page_user())
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
    for earlier in reversed(services.conversations.messages(page_actor(services), message.conversation_id, limit=4)):
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
