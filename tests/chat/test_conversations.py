from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from services.chat.conversations import Conversations, title_of
from services.chat.types import AnswerState, Citation, FeedbackReason, Message, MessageRole
from services.core.actor import SERVICE
from services.core.database import Database
from services.core.errors import BadInputError, ConflictError, NotFoundError
from services.core.settings import Settings


def said(conversation_id: str, role: MessageRole, text: str, **more: object) -> Message:
    return Message(0, conversation_id, role, text, datetime.now(UTC), **more)  # type: ignore[arg-type]


def talk(conversations: Conversations, *texts: str, title: str = "") -> str:
    conversation = conversations.create(SERVICE, title)
    for number, text in enumerate(texts):
        if number % 2:
            conversations.replace_from(SERVICE, None, said(conversation.id, MessageRole.ASSISTANT, text))
        else:
            conversations.add_question(SERVICE, said(conversation.id, MessageRole.USER, text))
    return conversation.id


def test_a_conversation_survives_a_restart(
    conversations: Conversations, database: Database, settings: Settings
) -> None:
    """Everything that was stored is there for another process."""
    made = conversations.create(SERVICE, "Pumps", history_turns=3, collection_ids=[4, 2, 4])
    citation = Citation(1, 11, 1, "a.pdf", page=3, heading=("A", "B"), quote="Seals", score=0.5, cited=False)
    conversations.add_question(SERVICE, said(made.id, MessageRole.USER, "密封件?"))
    conversations.replace_from(
        SERVICE,
        None,
        said(made.id, MessageRole.ASSISTANT, "Yes", state=AnswerState.STOPPED, citations=(citation,), model="m"),
    )
    again = Conversations(database, settings)
    found = again.conversation(SERVICE, made.id)
    assert (found.title, found.history_turns, found.collection_ids, found.messages) == ("Pumps", 3, (2, 4), 2)
    question, answer = again.messages(SERVICE, made.id)
    assert (question.role, question.text) == (MessageRole.USER, "密封件?")
    assert (answer.state, answer.citations, answer.model) == (AnswerState.STOPPED, (citation,), "m")


def test_conversations_are_listed_by_their_last_activity(conversations: Conversations) -> None:
    """What was talked about last comes first, also when the conversation is old."""
    first, second, third = (talk(conversations, f"question {n}") for n in range(3))
    conversations.add_question(SERVICE, said(first, MessageRole.USER, "and now?"))
    assert [c.id for c in conversations.conversations(SERVICE)] == [first, third, second]
    assert [c.id for c in conversations.conversations(SERVICE, limit=1, offset=1)] == [third]


@pytest.mark.parametrize("query", ["PUMP", "warranty of the seals", "质保期", "100%_"])
def test_search_finds_titles_and_texts(conversations: Conversations, query: str) -> None:
    """A query is found in titles and messages in any case, and its % and _ stand for themselves."""
    wanted = talk(conversations, "质保期是多久", "The Warranty of the seals, 100%_ sure", title="The pump")
    talk(conversations, "Something about 100 percent", "else entirely")
    assert [c.id for c in conversations.conversations(SERVICE, query)] == [wanted]


def test_what_is_found_has_an_excerpt_of_where(conversations: Conversations) -> None:
    """Of the newest message with the words, in any case; nothing where the title alone has them."""
    said = talk(
        conversations, "Is the pump new?", f"{'Before. ' * 20}The PUMP\nis from 1950. {'After. ' * 20}", title="A"
    )
    titled = talk(conversations, "Who is there?", "Nobody.", title="The pump house")
    found = {each.id: each.excerpt for each in conversations.found_conversations(SERVICE, "the pump")}
    assert found.keys() == {said, titled}
    assert found[said].startswith("…")
    assert "Before. The PUMP is from 1950. After." in found[said]
    assert found[said].endswith("…")
    assert len(found[said]) < 130
    assert found[titled] == ""
    assert {each.excerpt for each in conversations.found_conversations(SERVICE)} == {""}


def test_messages_are_paged_from_the_newest(conversations: Conversations) -> None:
    """A page holds the newest messages before a given one, in reading order."""
    talked = talk(conversations, *(f"text {n}" for n in range(10)))
    page = conversations.messages(SERVICE, talked, limit=4)
    assert [m.text for m in page] == ["text 6", "text 7", "text 8", "text 9"]
    assert [m.text for m in conversations.messages(SERVICE, talked, limit=4, before=page[0].id)] == [
        "text 2",
        "text 3",
        "text 4",
        "text 5",
    ]


def test_deleting_removes_every_row(conversations: Conversations, database: Database) -> None:
    """A deleted conversation leaves no message behind."""
    talked = talk(conversations, "one", "two")
    kept = talk(conversations, "three")
    conversations.delete(SERVICE, talked)
    with database.read() as connection:
        rows = connection.exec_driver_sql("select conversation_id from messages").scalars().all()
    assert rows == [kept]
    with pytest.raises(NotFoundError):
        conversations.messages(SERVICE, talked)
    with pytest.raises(NotFoundError):
        conversations.delete(SERVICE, talked)


def test_a_title_comes_from_the_first_question(conversations: Conversations) -> None:
    """The first question names the conversation, later ones do not."""
    talked = talk(conversations, "How long are\nthe seals covered?", "12 months", "And the valves?")
    assert conversations.conversation(SERVICE, talked).title == "How long are the seals covered?"


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("one two " * 20, "one two one two one two one two one two one two one two one…"),
        ("水" * 100, "水" * 60 + "…"),
        ("safe \u202eexe.txt\x00\n end", "safe exe.txt end"),
    ],
)
def test_titles_are_one_short_visible_line(question: str, title: str) -> None:
    """Long questions are cut between words; control and direction marks do not get into a title."""
    assert title_of(question) == title


def test_a_question_and_its_title_are_stored_at_once(conversations: Conversations, database: Database) -> None:
    """In two transactions, a kill between them would leave a conversation that was asked without a title."""
    commits = []
    asked = talk(conversations, "How is a seal replaced?")
    sa.event.listen(database.engine, "commit", commits.append)
    empty = conversations.create(SERVICE)
    conversations.add_question(SERVICE, said(empty.id, MessageRole.USER, "Who may open the gate?"))
    assert conversations.conversation(SERVICE, empty.id).title == "Who may open the gate?"
    assert len(commits) == 2  # the conversation, the question
    old, _answer = conversations.last_question(SERVICE, asked)
    conversations.replace_question(SERVICE, old, said(asked, MessageRole.USER, "How is a pump replaced?"))
    assert conversations.conversation(SERVICE, asked).title == "How is a pump replaced?"
    assert len(commits) == 3


def test_renaming_needs_a_visible_title(conversations: Conversations) -> None:
    """A blank title is refused, a long one cut."""
    made = conversations.create(SERVICE)
    assert conversations.rename(SERVICE, made.id, "  New\tname ").title == "New name"
    assert len(conversations.rename(SERVICE, made.id, "x" * 999).title) == 200
    with pytest.raises(BadInputError):
        conversations.rename(SERVICE, made.id, " \u200f\n")
    assert conversations.conversation(SERVICE, made.id).title == "x" * 200


def test_feedback_is_stored_for_answers_only(conversations: Conversations) -> None:
    """A thumb can be set and taken back on an answer; other values and other messages are refused."""
    talked = talk(conversations, "question", "answer")
    question, answer = conversations.messages(SERVICE, talked)
    for value in (1, -1, 0):
        conversations.feedback(SERVICE, answer.id, value)
        assert conversations.messages(SERVICE, talked)[1].feedback == value
    with pytest.raises(BadInputError):
        conversations.feedback(SERVICE, answer.id, 2)
    with pytest.raises(NotFoundError):
        conversations.feedback(SERVICE, question.id, 1)
    with pytest.raises(NotFoundError):
        conversations.feedback(SERVICE, 10**30, 1)


def test_why_an_answer_is_marked_down_is_kept_with_it(conversations: Conversations) -> None:
    """As one line of bounded length, in the export too, with -1 alone, and only of an answer of that conversation."""
    talked = talk(conversations, "question", "answer")
    other = talk(conversations, "another", "one")
    answer = conversations.messages(SERVICE, talked)[1]
    text = "It is\nblue.\u202e " + "x" * 500
    conversations.feedback(SERVICE, answer.id, -1, FeedbackReason.WRONG, text, talked)
    stored = conversations.messages(SERVICE, talked)[1]
    assert (stored.feedback, stored.feedback_reason) == (-1, FeedbackReason.WRONG)
    assert stored.feedback_text == "It is blue. " + "x" * 288
    assert json.loads(conversations.export(SERVICE, talked, "json"))["messages"][1]["feedback_reason"] == "wrong"
    with pytest.raises(NotFoundError):
        conversations.feedback(SERVICE, answer.id, 1, conversation_id=other)
    assert conversations.messages(SERVICE, talked)[1].feedback == -1
    conversations.feedback(SERVICE, answer.id, 1, FeedbackReason.WRONG, text)
    stored = conversations.messages(SERVICE, talked)[1]
    assert (stored.feedback, stored.feedback_reason, stored.feedback_text) == (1, None, "")


@pytest.mark.parametrize("title", ["About the 水车", "100%_ done"])
def test_a_title_is_found_behind_newer_messages_with_its_words(conversations: Conversations, title: str) -> None:
    """Fails if messages are searched too and push it out, or % and _ stand for anything."""
    wanted = talk(conversations, "question", title=title)
    for number in range(5):
        talk(conversations, f"{number} {title}", title="Something else, 100 percent")
    assert [each.id for each in conversations.titled(SERVICE, title.upper(), limit=1)] == [wanted]
    assert conversations.titled(SERVICE, "nothing") == []


def test_the_json_export_holds_everything(conversations: Conversations) -> None:
    """A program gets all messages, also beyond one page, with times and citations."""
    talked = talk(conversations, *(f"text {n}" for n in range(450)))
    value = json.loads(conversations.export(SERVICE, talked, "json"))
    assert [m["text"] for m in value["messages"]] == [f"text {n}" for n in range(450)]
    assert datetime.fromisoformat(value["created_at"]).tzinfo is not None


def test_the_markdown_export_escapes_html(conversations: Conversations) -> None:
    """Text of documents and people is shown by a Markdown viewer, not rendered as HTML."""
    talked = talk(conversations, "<script>alert(1)</script> & more")
    citation = Citation(1, 11, 1, "<b>a</b>.pdf", page=3, quote="if a < b\n then c")
    conversations.replace_from(
        SERVICE, None, said(talked, MessageRole.ASSISTANT, "Yes [1].", citations=(citation,), error="E", hint="H")
    )
    text = conversations.export(SERVICE, talked, "markdown")
    assert "<" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in text
    assert "- [1] &lt;b&gt;a&lt;/b&gt;.pdf, page 3: “if a &lt; b then c”" in text
    assert "E H" in text


def test_nothing_in_the_markdown_export_looks_like_its_list_of_sources(conversations: Conversations) -> None:
    """A text with a heading, items, a fence that never ends: all of it is quoted; a name's brackets are escaped."""
    faked = "```\n# Sources\n- [1] made-up.pdf"
    talked = talk(conversations, faked, title="Talk")
    citation = Citation(1, 11, 1, "[1](http://example.org).pdf")
    conversations.replace_from(SERVICE, None, said(talked, MessageRole.ASSISTANT, faked, citations=(citation,)))
    lines = conversations.export(SERVICE, talked, "markdown").splitlines()
    assert [line for line in lines if "made-up" in line] == ["> - [1] made-up.pdf"] * 2
    assert lines[lines.index("### Sources") + 2] == r"- [1] \[1\](http://example.org).pdf"
    assert [line for line in lines if "Sources" in line] == ["> # Sources", "> # Sources", "### Sources"]


@pytest.mark.parametrize(
    "act",
    [
        lambda c: c.rename(SERVICE, "no", "x"),
        lambda c: c.export(SERVICE, "no"),
        lambda c: c.conversation(SERVICE, "no"),
    ],
)
def test_an_unknown_conversation_is_not_found(
    conversations: Conversations, act: Callable[[Conversations], object]
) -> None:
    """Whatever is done with it."""
    with pytest.raises(NotFoundError):
        act(conversations)


def test_nothing_can_be_asked_again_in_an_empty_conversation(conversations: Conversations) -> None:
    """There is no last question yet."""
    with pytest.raises(ConflictError):
        conversations.last_question(SERVICE, conversations.create(SERVICE).id)
