"""Conversations belong to their person; what was written from a document that one may not read any more is withheld."""

from __future__ import annotations

import inspect
import json
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from services.chat.answer_cache import AnswerCache
from services.chat.answer_service import AnswerService
from services.chat.conversations import Conversations
from services.chat.history_window import Turn
from services.chat.models import ChatModels
from services.chat.types import Citation, Message, MessageRole
from services.core.actor import SCOPES, SERVICE, AccessLevel, Actor, Role
from services.core.cache import ByteCache
from services.core.database import Database
from services.core.errors import ConflictError, ForbiddenError, MillpondError
from services.core.settings import Settings
from tests.actors import person, reader_of
from tests.chat.conftest import SEALS, FakeKnowledge

OWNER = reader_of(1, person_id=1)
OTHER = reader_of(1, person_id=2)
ADMIN = Actor("admin", Role.ADMIN, person_id=3)
SECRET = "the valves are made of zirconium"
MISSING = "0" * 16
# What the service itself does: with all conversations alike, or by a person's end.
EXEMPT = {"memory_report", "idle", "release_idle", "use_documents", "hand_over", "erase_person"}


@dataclass
class Documents:
    """Which collection each document is in; a document that is not among them is gone."""

    homes: dict[int, int] = field(default_factory=lambda: {1: 1, 2: 2})

    def unreadable(self, actor: Actor, document_ids: Collection[int]) -> set[int]:
        readable = actor.readable()
        return {each for each in document_ids if readable is not None and self.homes.get(each, -1) not in readable}


@pytest.fixture
def documents(conversations: Conversations) -> Documents:
    documents = Documents()
    conversations.use_documents(documents)
    return documents


def message(conversation_id: str, role: MessageRole, text: str, *documents: int) -> Message:
    citations = tuple(
        Citation(
            number,
            10 + each,
            each,
            f"document {each}.pdf",
            3,
            heading=("Valves",),
            quote=SECRET if each == 2 else "Oil.",
        )
        for number, each in enumerate(documents, 1)
    )
    return Message(0, conversation_id, role, text, datetime.now(UTC), citations=citations)


def talk(conversations: Conversations, who: Actor, *documents: int) -> str:
    """Return a conversation with a question and an answer that was written from documents."""
    name = conversations.create(who).id
    conversations.add_question(who, message(name, MessageRole.USER, "What are the valves made of?"))
    answer = message(name, MessageRole.ASSISTANT, f"The manual says: {SECRET}.", *documents)
    conversations.replace_from(who, None, answer, question="What are the valves made of?")
    return name


CONVERSATIONS: dict[str, Callable[[Conversations, Actor, str], object]] = {
    "conversations": lambda c, who, _name: c.conversations(who, "valves"),
    "found_conversations": lambda c, who, _name: c.found_conversations(who, "valves"),
    "titled": lambda c, who, _name: c.titled(who, "valves"),
    "conversation": lambda c, who, name: c.conversation(who, name),
    "rename": lambda c, who, name: c.rename(who, name, "Mine"),
    "set_history_turns": lambda c, who, name: c.set_history_turns(who, name, 1),
    "set_collections": lambda c, who, name: c.set_collections(who, name, [1]),
    "delete": lambda c, who, name: c.delete(who, name),
    "clear": lambda c, who, name: c.clear(who, name),
    "messages": lambda c, who, name: c.messages(who, name),
    "export": lambda c, who, name: c.export(who, name),
    "export_all": lambda c, who, _name: list(c.export_all(who)),
    "turns": lambda c, who, name: c.turns(who, replace(c.create(who), id=name)),
    "last_question": lambda c, who, name: c.last_question(who, name),
    "record_stop": lambda c, who, name: c.record_stop(who, name),
    "add_question": lambda c, who, name: c.add_question(who, message(name, MessageRole.USER, "Mine?")),
    "replace_question": lambda c, who, name: c.replace_question(
        who, replace(message(name, MessageRole.USER, "Old?"), id=1), message(name, MessageRole.USER, "Mine?")
    ),
    "replace_from": lambda c, who, name: c.replace_from(who, 1, message(name, MessageRole.ASSISTANT, "Mine.")).id,
    "feedback": lambda c, who, name: c.feedback(who, 2 if name != MISSING else 2**40, 1),
}
ANSWERS: dict[str, Callable[[AnswerService, Actor, str], object]] = {
    "ask": lambda a, who, name: list(a.ask(who, name, "Why?")),
    "regenerate": lambda a, who, name: list(a.regenerate(who, name)),
    "edit": lambda a, who, name: list(a.edit(who, name, "Why?")),
    "stop": lambda a, who, name: a.stop(who, name),
}


def outcome(call: Callable[[], object]) -> str:
    """Return what somebody is told, word by word."""
    try:
        return repr(call())
    except MillpondError as error:
        return repr((type(error), error.message, error.hint))


@pytest.mark.parametrize(("kind", "table"), [(Conversations, CONVERSATIONS), (AnswerService, ANSWERS)])
def test_every_method_asks_who_calls_it(kind: type, table: dict[str, object]) -> None:
    """A new method that takes no actor, or is in no table of this test, would lead to the conversations of others."""
    own = {"create"} if kind is Conversations else {"complete", "slots", "close", "follow_stops", "claim_anew"}
    for name, method in inspect.getmembers(kind, inspect.isfunction):
        if name.startswith("_") or name in EXEMPT | own:
            continue
        assert list(inspect.signature(method).parameters)[1] == "actor", name
        assert name in table


@pytest.mark.parametrize("name", CONVERSATIONS)
@pytest.mark.parametrize("who", [OTHER, ADMIN, SERVICE], ids=["other", "administrator", "nobody"])
def test_a_conversation_does_not_exist_for_others(conversations: Conversations, who: Actor, name: str) -> None:
    """Not even an administrator learns that there is one: the same as for an id that never existed."""
    theirs = talk(conversations, OWNER, 1)
    call = CONVERSATIONS[name]
    told = outcome(lambda: call(conversations, who, theirs))
    assert told == outcome(lambda: call(conversations, who, MISSING))
    assert SECRET not in told
    question, answer = conversations.messages(OWNER, theirs)
    assert (question.text, answer.feedback) == ("What are the valves made of?", 0)
    assert outcome(lambda: call(conversations, OWNER, theirs)) != told


@pytest.mark.parametrize("name", ANSWERS)
def test_nobody_asks_in_the_conversation_of_another(
    conversations: Conversations, answering: AnswerService, name: str
) -> None:
    """A question in it would put words into somebody's conversation, and the answer would know what was said."""
    theirs = talk(conversations, OWNER, 1)
    told = outcome(lambda: ANSWERS[name](answering, OTHER, theirs))
    assert told == outcome(lambda: ANSWERS[name](answering, OTHER, MISSING))
    assert "NotFound" in told
    assert len(conversations.messages(OWNER, theirs)) == 2


def test_nobody_learns_that_another_is_being_answered(
    conversations: Conversations, answering: AnswerService, knowledge: FakeKnowledge
) -> None:
    """ "Being answered already" would tell that the conversation exists, and when its person is there."""
    theirs = talk(conversations, OWNER, 1)
    knowledge.held_up = True
    running = threading.Thread(target=lambda: list(answering.ask(OWNER, theirs, "And the seals?")))
    running.start()
    assert knowledge.entered.wait(20)
    told = outcome(lambda: list(answering.ask(OTHER, theirs, "Why?")))
    knowledge.release.set()
    running.join(20)
    assert told == outcome(lambda: list(answering.ask(OTHER, MISSING, "Why?")))
    assert len(conversations.messages(OWNER, theirs)) == 4


def test_conversations_are_listed_and_found_by_their_person_alone(conversations: Conversations) -> None:
    """A search over all conversations must not say that somebody has spoken of something."""
    mine, theirs = talk(conversations, OWNER), talk(conversations, OTHER)
    assert [each.id for each in conversations.conversations(OWNER)] == [mine]
    assert [each.id for each in conversations.conversations(OTHER, "zirconium")] == [theirs]
    assert conversations.conversations(SERVICE, "zirconium") == []


def test_conversations_of_before_become_the_first_persons(conversations: Conversations) -> None:
    """While there were no accounts everybody read them; from the first account on one person does."""
    before = talk(conversations, SERVICE)
    assert conversations.hand_over(1) == 1
    assert [each.id for each in conversations.conversations(OWNER)] == [before]
    assert conversations.conversations(SERVICE) == []
    assert conversations.hand_over(2) == 0


def test_a_person_who_is_deleted_leaves_no_conversation(conversations: Conversations, database: Database) -> None:
    """Theirs are exported by themselves and erased; those of others stay."""
    gone, kept = talk(conversations, OWNER, 1), talk(conversations, OTHER, 1)
    [(name, exported)] = conversations.export_all(OWNER)
    assert name == gone
    assert SECRET in json.loads(exported)["messages"][1]["text"]
    assert conversations.erase_person(1) == 1
    assert conversations.conversations(OWNER) == []
    assert len(conversations.messages(OTHER, kept)) == 2
    with database.read() as connection:
        counts = [
            connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()
            for table in ("messages", "citations_of")
        ]
    assert counts == [2, 1]


def test_a_source_that_may_not_be_read_any_more_is_withheld_with_its_answer(
    conversations: Conversations, documents: Documents
) -> None:
    """Name, words and place are gone from the page, from both exports, from the search and from the model's history."""
    both, one = reader_of(1, 2, person_id=1), reader_of(1, person_id=1)
    name = talk(conversations, both, 2, 1)
    shown = conversations.messages(both, name)[1]
    assert SECRET in shown.text
    hidden = conversations.messages(one, name)[1]
    first, second = hidden.citations
    assert (first.withheld, first.quote, first.document_id, first.heading, first.page) == (True, "", 0, (), None)
    assert (second.withheld, second.document) == (False, "document 1.pdf")
    for told in (repr(first), hidden.text, *exported(conversations, one, name)):
        assert "document 2" not in told
        assert "zirconium" not in told
    assert conversations.conversations(one, "zirconium") == []
    [found] = conversations.found_conversations(one, "valves")
    assert found.excerpt == "What are the valves made of?"
    assert SECRET in conversations.found_conversations(both, "valves")[0].excerpt
    assert [each.id for each in conversations.conversations(both, "zirconium")] == [name]
    assert conversations.turns(one, conversations.conversation(one, name)) == ()
    assert conversations.turns(both, conversations.conversation(both, name))[0].answer == shown.text
    # With the right it comes back.
    assert conversations.messages(both, name)[1] == shown


def exported(conversations: Conversations, who: Actor, name: str) -> tuple[str, str]:
    return conversations.export(who, name), conversations.export(who, name, "json")


def test_an_answer_from_a_deleted_document_is_for_those_who_might_read_its_collection(
    conversations: Conversations, documents: Documents
) -> None:
    """A deleted document must not bring back what a right that was taken away has hidden."""
    both, one = reader_of(1, 2, person_id=1), reader_of(1, person_id=1)
    name = talk(conversations, both, 2)
    del documents.homes[2]
    assert conversations.messages(both, name)[1].citations[0].withheld  # until it is known where it was
    conversations.quotes.mark_deleted([2], {2: 2})
    assert conversations.messages(both, name)[1].citations[0].deleted
    assert conversations.messages(both, name)[1].citations[0].quote == SECRET
    assert conversations.messages(one, name)[1].citations[0].withheld
    everything = replace(SERVICE, person_id=1)
    assert conversations.messages(everything, name)[1].citations[0].quote == SECRET


def test_asking_again_leaves_out_the_right_turns(
    conversations: Conversations, documents: Documents, answering: AnswerService, knowledge: FakeKnowledge
) -> None:
    """The answer that is replaced is no turn; neither is one that is withheld, wherever it stands."""
    who = reader_of(1, person_id=1)
    name = talk(conversations, who, 2)
    conversations.add_question(who, message(name, MessageRole.USER, "And the seals?"))
    conversations.replace_from(who, None, message(name, MessageRole.ASSISTANT, "Rubber.", 1), question="And the seals?")
    conversation = conversations.conversation(who, name)
    assert conversations.turns(who, conversation) == (Turn("And the seals?", "Rubber.", (1,)),)
    assert conversations.turns(who, conversation, without_last=True) == ()
    list(answering.regenerate(who, name))
    assert [each.text for each in conversations.messages(who, name)][2] == "And the seals?"
    with pytest.raises(ConflictError):
        list(answering.regenerate(who, conversations.create(who).id))


def test_quotes_of_deleted_documents_are_erased_in_ones_own_conversations(conversations: Conversations) -> None:
    """One person does not erase answers of another; an administrator erases them everywhere, unseen."""
    mine, theirs = talk(conversations, OWNER, 1), talk(conversations, OTHER, 1)
    conversations.quotes.mark_deleted([1], {1: 1})
    assert conversations.quotes.of_deleted(OWNER).answers == 1
    assert conversations.quotes.of_deleted(ADMIN).answers == 2
    assert conversations.quotes.erase_deleted(OWNER).answers == 1
    assert "erased" in conversations.messages(OWNER, mine)[1].text
    assert SECRET in conversations.messages(OTHER, theirs)[1].text
    assert conversations.quotes.erase_deleted(ADMIN).answers == 1
    assert "erased" in conversations.messages(OTHER, theirs)[1].text


def test_a_token_without_that_scope_reads_no_conversation(
    conversations: Conversations, answering: AnswerService
) -> None:
    """A token for reading documents is no key to what its person has asked."""
    token = replace(OWNER, scopes=SCOPES["read"])
    talk(conversations, OWNER)
    with pytest.raises(ForbiddenError):
        conversations.conversations(token)
    with pytest.raises(ForbiddenError):
        answering.complete(token, [(MessageRole.USER, "Why?")])


def test_a_changed_right_never_gets_an_older_answer(
    conversations: Conversations, models: ChatModels, knowledge: FakeKnowledge, settings: Settings
) -> None:
    """The cache answers those with the same rights; a person whose rights change is answered anew."""
    cache = AnswerCache(ByteCache("answers", "Answers", 1_000_000, 3600.0), lambda: "1", models.choice)
    remembering = AnswerService(conversations, models, knowledge, settings, rss=lambda: 1, cache=cache)

    def asked(who: Actor) -> int:
        list(remembering.complete(who, [(MessageRole.USER, "How long are seals covered?")]))
        return len(knowledge.asked)

    try:
        assert asked(reader_of(1, 2)) == 1
        assert asked(reader_of(2, 1, person_id=9)) == 1  # the same rights
        assert asked(reader_of(1)) == 2
        assert asked(person(7, {1: AccessLevel.NONE})) == 3
        assert asked(SERVICE) == 4
        assert asked(SERVICE) == 4
        assert asked(reader_of(1, 2)) == 4
    finally:
        remembering.close()
    assert SEALS in knowledge.hits
