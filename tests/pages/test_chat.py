from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Button

from console.ui.live_answers import QuestionMode, live_answers
from console.ui.session_state import Key
from services.app.container import Services
from services.chat.interruption_store import mark_all_interrupted
from services.chat.questions import question_message
from services.chat.types import (
    AnswerState,
    BackendChoice,
    BackendKind,
    Citation,
    FeedbackReason,
    Message,
    MessageRole,
)
from services.core.actor import SERVICE
from services.knowledge.types import Document
from tests.chat.model_server import model_server
from tests.chat.scripted_server import Reply, answer, event, stream
from tests.pages.conftest import finish

Add = Callable[..., Document]
MILL = "The mill's seals are inspected every twelve months. The keeper writes the water level into a red book."
ZH = "水磨坊的密封件每十二个月检查一次。看守人把水位写进一本红色的册子。"


def ask(app: AppTest, question: str) -> AppTest:
    app.chat_input(key=Key.CHAT_INPUT).set_value(question).run()
    return finish(app)


@pytest.mark.parametrize(
    ("text", "question", "words"),
    [(MILL, "How often are the seals inspected?", "twelve months"), (ZH, "密封件多久检查一次？", "每十二个月")],
)
def test_an_answer_quotes_and_names_its_source(app: AppTest, add: Add, text: str, question: str, words: str) -> None:
    """Without a chat model the sentence that answers is quoted, with a numbered source and what it cost."""
    add("mill.txt", text)
    app.run()
    ask(app, question)
    assert not app.exception
    assert any(words in element.value for element in app.markdown)
    sources = [button for button in app.button if button.key and button.key.startswith("cite-")]
    assert sources
    assert "mill" in sources[0].label
    assert any("first word" in caption.value for caption in app.caption)
    assert app.title[0].value.replace("\\", "").startswith(question[:10])


def test_an_answer_tells_which_word_was_read_instead(app: AppTest, add: Add, services: Services) -> None:
    """A typing error is forgiven, and the answer says so, also after a reload."""
    add("mill.txt", MILL)
    app.run()
    ask(app, "How often are the seals inspekcted?")
    assert any("twelve months" in element.value for element in app.markdown)
    told = "Nothing has “inspekcted”; searched for “inspected”"
    assert any(told in caption.value for caption in app.caption)
    app.run()
    assert any(told in caption.value for caption in app.caption)
    [conversation] = services.conversations.conversations(SERVICE, limit=1)
    assert services.conversations.messages(SERVICE, conversation.id)[-1].corrections == (("inspekcted", "inspected"),)


TWO = """# Mill

## Seals

The seals are inspected every twelve months by the keeper of the mill, in the first week of May.

## Water level

The keeper of the seals writes the water level into a red book, which lies beside the seals of the gate.
"""


def test_one_button_for_each_document_opens_all_its_quotes(app: AppTest, add: Add, services: Services) -> None:
    """Several buttons of one name say nothing of where each leads, and hide how many documents answer."""
    document = add(
        "mill.md", TWO.replace("\n\n## Water", " The wheel turns on its axle of ash wood." * 40 + "\n\n## Water")
    )
    quotes = ("inspected every twelve months", "water level into a red book")
    chunks = services.library.reader.chunks(SERVICE, document.id)
    chunks = [next(each for each in chunks if quote in each.text) for quote in quotes]
    assert chunks[0] != chunks[1]
    conversation = services.conversations.create(SERVICE, title="Two")
    citations = tuple(
        Citation(number, chunk.id, document.id, "mill.md", quote=quote)
        for number, (chunk, quote) in enumerate(zip(chunks, quotes, strict=True), 1)
    )
    message = Message(0, conversation.id, MessageRole.ASSISTANT, "So [1][2].", datetime.now(UTC), citations=citations)
    services.conversations.replace_from(SERVICE, None, message)
    app.query_params["conversation"] = conversation.id
    app.run()
    [source] = [button for button in app.button if button.key and button.key.startswith("cite-")]
    assert source.label.replace("\\", "") == "1, 2 mill.md"
    source.click().run()
    marked = [element.value for element in app.markdown if ":orange-background[" in element.value]
    assert len(marked) == 2
    assert all(quote in text for quote, text in zip(quotes, marked, strict=True))
    assert not app.exception

    # It lies beside: the question field is there, and the address opens it again.
    answer = services.conversations.messages(SERVICE, conversation.id)[-1]
    assert not app.chat_input(key=Key.CHAT_INPUT).disabled
    assert app.query_params["source"] == f"{answer.id}.1"
    assert app.button(key="source-previous").disabled
    app.button(key="source-next").click().run()
    assert app.query_params["source"] == f"{answer.id}.2"
    assert app.button(key="source-next").disabled
    app.button(key="source-previous").click().run()
    again = AppTest.from_file(app._script_path, default_timeout=30)
    again.query_params["conversation"], again.query_params["source"] = conversation.id, f"{answer.id}.2"
    again.run()
    assert again.button(key="source-next").disabled
    again.button(key="source-close").click().run()
    assert "source" not in again.query_params
    assert not [element for element in again.markdown if ":orange-background[" in element.value]
    assert again.query_params["conversation"] == conversation.id


def test_a_source_is_read_on(app: AppTest, add: Add, services: Services) -> None:
    """What stands before and after the passage is a click away, and no more of it is offered than there is."""
    text = "The wheel turns on its axle of ash wood. " * 40
    document = add("mill.md", "\n\n".join(f"# Part {number}\n\n{text}" for number in range(3)))
    chunks = services.library.reader.chunks(SERVICE, document.id)
    assert len(chunks) > 2
    conversation = services.conversations.create(SERVICE, title="On")
    citation = Citation(1, chunks[1].id, document.id, "mill.md", quote="axle of ash wood")
    message = Message(0, conversation.id, MessageRole.ASSISTANT, "So [1].", datetime.now(UTC), citations=(citation,))
    stored = services.conversations.replace_from(SERVICE, None, message)
    app.query_params["conversation"], app.query_params["source"] = conversation.id, f"{stored.id}.1"
    app.run()
    assert not [button for button in app.button if button.key == "source-next"]  # it cites one passage
    assert [":orange-background[" in each for each in passages(app)] == [True]
    app.button(key="source-before").click().run()
    assert [":orange-background[" in each for each in passages(app)] == [False, True]
    assert not [button for button in app.button if button.key == "source-before"]
    app.button(key="source-after").click().run()
    assert [":orange-background[" in each for each in passages(app)] == [False, True, False]
    assert not app.exception


def passages(app: AppTest) -> list[str]:
    return [element.value for element in app.markdown if "axle of" in element.value]


def test_a_source_goes_with_its_conversation(app: AppTest, add: Add, services: Services) -> None:
    """Opening another one, or a link to an answer that was replaced, shows nothing of the wrong answer."""
    add("mill.txt", MILL)
    other = services.conversations.create(SERVICE, title="Other")
    app.run()
    ask(app, "How often are the seals inspected?")
    source = next(button for button in app.button if button.key and button.key.startswith("cite-"))
    source.click().run()
    opened = app.query_params["source"]
    app.button(key=f"conversation-{other.id}").click().run()
    assert "source" not in app.query_params
    app.query_params["source"] = opened
    app.run()
    assert [warning.value for warning in app.warning] == ["The answer was replaced, or the link is wrong."]
    assert not [element for element in app.markdown if ":orange-background[" in element.value]
    app.button(key="source-close").click().run()
    assert not app.warning


def test_the_button_of_an_open_source_closes_it(app: AppTest, add: Add) -> None:
    """Whoever opened it with a click closes it with the next one."""
    add("mill.txt", MILL)
    app.run()
    ask(app, "How often are the seals inspected?")
    for is_open in (True, False):
        next(button for button in app.button if button.key and button.key.startswith("cite-")).click().run()
        assert ("source" in app.query_params) is is_open


def test_that_no_model_is_connected_is_said_once(app: AppTest, add: Add, services: Services) -> None:
    """Under each answer it drowns what was asked for; with a model, or without documents, nobody needs it."""
    app.run()
    assert not said_of_model(app)
    add("mill.txt", MILL)
    app.run()
    ask(app, "How often are the seals inspected?")
    ask(app, "Who writes the water level?")
    assert len([button for button in app.button if button.key and button.key.startswith("cite-")]) == 2
    assert len(said_of_model(app)) == 1
    services.models.choose(SERVICE, BackendChoice(BackendKind.OPENAI, "http://127.0.0.1:9/v1", "tiny"))
    try:
        app.run()
        assert not said_of_model(app)
    finally:
        services.models.choose(SERVICE, BackendChoice())


def said_of_model(app: AppTest) -> list[str]:
    texts = [element.value for element in [*app.markdown, *app.caption]]
    return [text for text in texts if "language model is connected" in text.replace("\\", "")]


def test_questions_to_begin_with_come_from_the_documents(app: AppTest, add: Add, services: Services) -> None:
    """One is asked by a click; none is made of what was left out of the chosen collections, or of nothing."""
    other = services.library.create_collection(SERVICE, "Other")
    app.run()
    assert not starters(app)
    add("mill.md", TWO)
    app.run()
    assert [button.label.replace("\\", "") for button in starters(app)] == [
        "Tell me about “Seals”.",
        "Tell me about “Water level”.",
    ]
    app.multiselect(key="chat-collections-new").select(other.id).run()
    app.run()
    assert not starters(app)
    app.multiselect(key="chat-collections-new").unselect(other.id).run()
    app.run()
    starters(app)[1].click().run()
    finish(app)
    [conversation] = services.conversations.conversations(SERVICE)
    question, answer = services.conversations.messages(SERVICE, conversation.id)
    assert question.text == "Tell me about “Water level”."
    assert "red book" in answer.text
    assert not starters(app)


def starters(app: AppTest) -> list[Button]:
    return [button for button in app.button if button.key and button.key.startswith("starter-")]


def test_a_search_shows_where_the_words_stand(app: AppTest, add: Add) -> None:
    """A title says what was asked first, not why the conversation is in the list."""
    add("mill.txt", MILL)
    app.run()
    ask(app, "How often are the seals inspected?")
    app.text_input(key=Key.CONVERSATION_SEARCH).set_value("TWELVE months").run()
    places = [caption.value for caption in app.sidebar.caption if "orange-background" in caption.value]
    assert len(places) == 1
    assert "every :orange-background[twelve months]" in places[0]
    app.text_input(key=Key.CONVERSATION_SEARCH).set_value("how often").run()
    assert not [caption for caption in app.sidebar.caption if "orange-background" in caption.value]


def test_a_link_opens_the_same_conversation(app: AppTest, add: Add, services: Services) -> None:
    """The address bar names the conversation; another tab with it shows the same messages."""
    add("mill.txt", MILL)
    app.run()
    ask(app, "Who writes the water level?")
    other = AppTest.from_file(app._script_path, default_timeout=30)
    other.query_params["conversation"] = app.query_params["conversation"]
    other.run()
    assert any("Who writes the water level" in element.value for element in other.markdown)


def test_a_wrong_link_says_so(app: AppTest) -> None:
    """A conversation that is gone has a face, not an error."""
    app.query_params["conversation"] = "gone"
    app.run()
    assert [warning.value for warning in app.warning] == ["It was deleted, or the link is wrong."]
    assert not app.exception


def test_nothing_relevant_looks_different(app: AppTest, add: Add) -> None:
    """An answer that no document supports is set apart and has no sources."""
    add("mill.txt", MILL)
    app.run()
    ask(app, "Which quarterback won the championship in 1987?")
    assert app.info
    assert not [button for button in app.button if button.key and button.key.startswith("cite-")]


def test_a_question_that_is_too_long_is_kept(app: AppTest, services: Services) -> None:
    """The limit is told with a hint, and what was typed is back in the field."""
    app.run()
    question = "x" * (services.settings.question_characters + 1)
    ask(app, question)
    assert len(app.error) == 1
    assert app.chat_input(key=Key.CHAT_INPUT).proto.value == question


def test_thumbs_are_stored(app: AppTest, add: Add, services: Services) -> None:
    """A thumb up is in the database and shown after a reload."""
    add("mill.txt", MILL)
    app.run()
    ask(app, "How often are the seals inspected?")
    [conversation] = services.conversations.conversations(SERVICE)
    answer = services.conversations.messages(SERVICE, conversation.id)[-1]
    app.feedback(key=f"feedback-{answer.id}").set_value(1).run()
    assert services.conversations.messages(SERVICE, conversation.id)[-1].feedback == 1
    assert not app.pills


def test_a_thumb_down_is_asked_why(app: AppTest, add: Add, services: Services) -> None:
    """The reason and a line are stored at once, and shown after a reload; another thumb takes them back."""
    add("mill.txt", MILL)
    app.run()
    ask(app, "How often are the seals inspected?")
    [conversation] = services.conversations.conversations(SERVICE)
    answer = services.conversations.messages(SERVICE, conversation.id)[-1]
    app.feedback(key=f"feedback-{answer.id}").set_value(0).run()
    app.pills(key=f"feedback-reason-{answer.id}").set_value(FeedbackReason.WRONG_SOURCE).run()
    app.text_input(key=f"feedback-text-{answer.id}").set_value("The *book* is blue.").run()
    stored = services.conversations.messages(SERVICE, conversation.id)[-1]
    assert (stored.feedback, stored.feedback_reason) == (-1, FeedbackReason.WRONG_SOURCE)
    assert stored.feedback_text == "The *book* is blue."
    other = AppTest.from_file(app._script_path, default_timeout=30)
    other.query_params["conversation"] = conversation.id
    other.run()
    assert other.pills(key=f"feedback-reason-{answer.id}").value == FeedbackReason.WRONG_SOURCE
    assert other.text_input(key=f"feedback-text-{answer.id}").value == "The *book* is blue."
    other.feedback(key=f"feedback-{answer.id}").set_value(1).run()
    stored = services.conversations.messages(SERVICE, conversation.id)[-1]
    assert (stored.feedback, stored.feedback_reason, stored.feedback_text) == (1, None, "")
    assert not other.pills
    assert not other.exception


def test_the_last_question_can_be_edited_and_asked_again(app: AppTest, add: Add, services: Services) -> None:
    """The edited question takes the old one's place; regenerating leaves one answer."""
    add("mill.txt", MILL)
    app.run()
    ask(app, "How often are the seals inspected?")
    app.button(key="chat-edit").click().run()
    [field] = [area for area in app.text_area if area.key and area.key.startswith("edit-text-")]
    field.set_value("Who writes the water level?")
    [again] = [button for button in app.button if button.label == "Ask again"]
    again.click().run()
    finish(app)
    [conversation] = services.conversations.conversations(SERVICE)
    texts = [(message.role, message.text) for message in services.conversations.messages(SERVICE, conversation.id)]
    assert texts[0] == (MessageRole.USER, "Who writes the water level?")
    assert len(texts) == 2
    app.button(key="chat-regenerate").click().run()
    finish(app)
    assert len(services.conversations.messages(SERVICE, conversation.id)) == 2


def test_long_conversations_are_paged(app: AppTest, services: Services) -> None:
    """Only the newest messages are on the screen; older ones come when asked for."""
    conversation = services.conversations.create(SERVICE, title="Long")
    for number in range(15):
        answer = services.answers.ask(SERVICE, conversation.id, f"Question number {number}")
        for _event in answer:
            pass
    app.query_params["conversation"] = conversation.id
    app.run()
    shown = " ".join(element.value for element in app.markdown)
    assert "Question number 14" in shown
    assert "Question number 2" not in shown
    app.button(key="chat-older").click().run()
    shown = " ".join(element.value for element in app.markdown)
    assert "Question number 2" in shown
    assert "Question number 14" not in shown
    app.button(key="chat-newest").click().run()
    assert any("Question number 14" in element.value for element in app.markdown)


def test_a_deleted_document_is_said_to_be_deleted(app: AppTest, add: Add, services: Services) -> None:
    """A source whose document is gone opens with what was quoted, and says what happened."""
    document = add("mill.txt", MILL)
    app.run()
    ask(app, "How often are the seals inspected?")
    services.library.delete(SERVICE, [document.id])
    source = next(button for button in app.button if button.key and button.key.startswith("cite-"))
    source.click().run()
    assert any("no longer stored" in warning.value for warning in app.warning)
    assert not app.exception


def test_a_source_opens_with_its_words_marked(app: AppTest, add: Add) -> None:
    """The passage is shown with the quoted sentence on a coloured ground."""
    add("mill.txt", MILL)
    app.run()
    ask(app, "How often are the seals inspected?")
    next(button for button in app.button if button.key and button.key.startswith("cite-")).click().run()
    marked = [element.value for element in app.markdown if ":orange-background[" in element.value]
    assert marked
    assert "twelve months" in marked[0]


def test_stopping_keeps_what_there_is(app: AppTest, services: Services) -> None:
    """The stop button ends the answer; its end is marked as early and the field is open again."""
    conversation = services.conversations.create(SERVICE, title="Stop")
    answer = services.answers.ask(SERVICE, conversation.id, "A question")
    live = live_answers.start(conversation.id, "A question", answer, QuestionMode.NEW)
    live.stop()
    assert live.done.wait(30)
    app.query_params["conversation"] = conversation.id
    app.run()
    assert not app.exception
    assert app.chat_input(key=Key.CHAT_INPUT).disabled is False
    states = [message.state for message in services.conversations.messages(SERVICE, conversation.id)]
    assert AnswerState.FAILED not in states


def test_conversations_are_searched_and_chosen(app: AppTest, services: Services) -> None:
    """The list narrows while typing, and a click opens what it names."""
    wanted = services.conversations.create(SERVICE, title="Seals of the mill")
    services.conversations.create(SERVICE, title="Something else")
    app.run()
    app.text_input(key=Key.CONVERSATION_SEARCH).set_value("seals").run()
    entries = [button for button in app.button if button.key and button.key == f"conversation-{wanted.id}"]
    others = [button.label for button in app.button if "Something else" in button.label]
    assert entries
    assert not others
    entries[0].click().run()
    assert app.query_params["conversation"] == wanted.id


def test_the_scope_of_a_new_conversation_is_kept(app: AppTest, add: Add, services: Services) -> None:
    """Collections and window chosen before the first question belong to the conversation it begins."""
    other = services.library.create_collection(SERVICE, "Other")
    add("mill.txt", MILL)
    app.run()
    app.multiselect(key="chat-collections-new").select(other.id).run()
    app.number_input(key="chat-turns-new").set_value(2).run()
    ask(app, "How often are the seals inspected?")
    [conversation] = services.conversations.conversations(SERVICE)
    assert (conversation.collection_ids, conversation.history_turns) == ((other.id,), 2)


def test_the_scope_of_a_conversation_is_changed(app: AppTest, services: Services) -> None:
    """Collections and window of a conversation that exists are stored as soon as they are chosen."""
    other = services.library.create_collection(SERVICE, "Other")
    conversation = services.conversations.create(SERVICE, title="Scope")
    app.query_params["conversation"] = conversation.id
    app.run()
    app.multiselect(key=f"chat-collections-{conversation.id}").select(other.id).run()
    app.number_input(key=f"chat-turns-{conversation.id}").set_value(1).run()
    changed = services.conversations.conversation(SERVICE, conversation.id)
    assert (changed.collection_ids, changed.history_turns) == ((other.id,), 1)


CUT = {
    "length": (lambda body: answer(body, finish="length"), "the answer is cut"),
    "filter": (lambda body: answer(body, finish="content_filter"), "content filter cut the answer"),
}


@pytest.mark.parametrize("case", CUT)
def test_an_answer_that_is_cut_says_so(app: AppTest, add: Add, services: Services, case: str) -> None:
    """And why, and what to do; asked again it is asked of the model, not taken from the cache."""
    script, words = CUT[case]
    add("mill.txt", MILL)
    with model_server() as server:
        server.script = script
        services.models.choose(SERVICE, BackendChoice(BackendKind.OPENAI, server.openai("good"), "tiny"))
        try:
            app.run()
            ask(app, "How often are the seals inspected?")
            assert any("Seals are covered" in element.value for element in app.markdown)
            assert any(words in each.value for each in app.warning)
            assert not app.exception
            asked = len([body for _path, _headers, body in server.requests if body])
            app.chat_input(key=Key.CHAT_INPUT).set_value("How often are the seals inspected?").run()
            finish(app)
            assert len([body for _path, _headers, body in server.requests if body]) == asked + 1
        finally:
            services.models.choose(SERVICE, BackendChoice())


def test_an_answer_that_breaks_off_says_so(app: AppTest, add: Add, services: Services) -> None:
    """What had come is kept and shown with the reason."""

    def broken(_body: object) -> Reply:
        return stream(event({"content": "Seals are"}), done=False)

    add("mill.txt", MILL)
    with model_server() as server:
        server.script = broken
        services.models.choose(SERVICE, BackendChoice(BackendKind.OPENAI, server.openai("good"), "tiny"))
        try:
            app.run()
            ask(app, "How often are the seals inspected?")
            assert any("Seals are" in element.value for element in app.markdown)
            assert any("broke off" in str(each.proto) for each in app.error)
        finally:
            services.models.choose(SERVICE, BackendChoice())


def test_an_interrupted_answer_says_so_and_is_asked_again(app: AppTest, add: Add, services: Services) -> None:
    """After a kill a question would stand there in silence."""
    add("mill.txt", MILL)
    conversation = services.conversations.create(SERVICE)
    question = question_message(conversation.id, "How often are the seals inspected?")
    services.conversations.add_question(SERVICE, question)
    assert mark_all_interrupted(services.database) == 1
    app.query_params["conversation"] = conversation.id
    app.run()
    assert any("interrupted" in element.proto.title for element in app.error)
    app.button(key="chat-regenerate").click().run()
    finish(app)
    assert any("twelve months" in element.value for element in app.markdown)
    assert not app.error
