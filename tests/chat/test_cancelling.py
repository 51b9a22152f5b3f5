"""An answer can be ended at each of its stages, and nothing of it is left."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable

import psutil
import pytest

import services.chat.models.openai_server  # noqa: F401 - loading it takes longer than the time limits tested here
from services.chat.answer_service import AnswerService
from services.chat.answer_stream import AnswerStream
from services.chat.conversations import Conversations
from services.chat.models import ChatModels
from services.chat.types import AnswerEvent, AnswerState, MessageRole, Retrieved, Token, Waiting
from services.core.actor import SERVICE
from services.core.errors import BusyError, CancelledError, MillpondError, TimedOutError, UnavailableError
from services.core.requests import Outcome
from services.core.requests.registry import acting_for
from tests.chat.conftest import FakeKnowledge
from tests.chat.model_server import ModelServer
from tests.chat.test_answer_service import use
from tests.servers import eventually

DEADLINE = 20.0


class Reader(threading.Thread):
    """Reads an answer in a thread; tells what came and how it ended."""

    def __init__(self, answer: AnswerStream) -> None:
        super().__init__(name="reader")
        self.answer = answer
        self.events: list[AnswerEvent] = []
        self.error: BaseException | None = None
        self.changed = threading.Condition()
        self.start()

    def run(self) -> None:
        try:
            for event in self.answer:
                with self.changed:
                    self.events.append(event)
                    self.changed.notify_all()
        except MillpondError as error:
            self.error = error

    def wait_for(self, kind: type[AnswerEvent]) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: any(isinstance(e, kind) for e in self.events), DEADLINE)

    def wait_for_text(self, text: str) -> None:
        with self.changed:
            assert self.changed.wait_for(
                lambda: "".join(e.text for e in self.events if isinstance(e, Token)).rstrip() == text, DEADLINE
            )

    def done(self) -> bool:
        self.join(DEADLINE)
        return not self.is_alive()


def sockets(server: ModelServer) -> int:
    """Connections to the model's server: files that ran before in this process may have left others."""
    connections = psutil.Process().net_connections()
    return sum(c.status == "ESTABLISHED" and bool(c.raddr) and c.raddr.port == server.port for c in connections)


def answer_threads() -> int:
    return sum(thread.name == "answer" for thread in threading.enumerate())


@pytest.fixture
def stages(
    answering_with: Callable[..., AnswerService],
    conversations: Conversations,
    models: ChatModels,
    knowledge: FakeKnowledge,
    server: ModelServer,
) -> Callable[[str], tuple[AnswerService, str, Reader]]:
    """Return a function that brings an answer to a stage and leaves it there."""

    def reach(stage: str) -> tuple[AnswerService, str, Reader]:
        answering = answering_with(answers_total=1)
        use(models, server, {"before the first token": "hang"}.get(stage, "midhang"))
        if stage == "waiting":
            blocker = Reader(answering.ask(SERVICE, conversations.create(SERVICE).id, "First?"))
            blocker.wait_for(Token)
        knowledge.held_up = stage == "retrieval"
        knowledge.entered.clear()
        made = conversations.create(SERVICE)
        reader = Reader(answering.ask(SERVICE, made.id, "How long?"))
        if stage == "waiting":
            reader.wait_for(Waiting)
        elif stage == "retrieval":
            assert knowledge.entered.wait(DEADLINE)
        elif stage == "before the first token":
            assert server.wait(lambda: server.open == 1)
        else:
            reader.wait_for_text("Seals are covered")
        return answering, made.id, reader

    return reach


STAGES = ["waiting", "retrieval", "before the first token", "mid-stream"]


@pytest.mark.parametrize("stage", STAGES)
def test_an_answer_can_be_closed_from_another_thread(
    stages: Callable[[str], tuple[AnswerService, str, Reader]],
    conversations: Conversations,
    knowledge: FakeKnowledge,
    server: ModelServer,
    stage: str,
) -> None:
    """Its reader ends without an error; thread, connection and slot are gone; the text so far is stored as stopped."""
    answering, conversation_id, reader = stages(stage)
    if stage == "retrieval":
        # A search in progress is waited for: it works on this machine and ends by itself.
        threading.Timer(0.05, knowledge.release.set).start()
    reader.answer.close()
    assert reader.done()
    assert reader.error is None
    question, answer = conversations.messages(SERVICE, conversation_id)
    assert question.text == "How long?"
    assert answer.state is AnswerState.STOPPED
    assert answer.text == ("Seals are covered" if stage == "mid-stream" else "")
    if stage == "waiting":
        answering.close()
    assert answering.slots() == (0, 0)
    assert answer_threads() == 0
    assert server.wait(lambda: server.open == 0)
    assert sockets(server) == 0
    if stage in {"before the first token", "mid-stream"}:
        assert server.hung_up == 1


@pytest.mark.parametrize("stage", STAGES)
def test_an_answer_can_be_stopped_by_its_conversation(
    stages: Callable[[str], tuple[AnswerService, str, Reader]],
    conversations: Conversations,
    knowledge: FakeKnowledge,
    stage: str,
) -> None:
    """Another session that knows the conversation only can stop it too; afterwards there is nothing to stop."""
    answering, conversation_id, reader = stages(stage)
    assert answering.stop(SERVICE, conversation_id)
    knowledge.release.set()
    assert reader.done()
    assert not answering.stop(SERVICE, conversation_id)
    assert conversations.messages(SERVICE, conversation_id)[-1].state is AnswerState.STOPPED


@pytest.mark.parametrize("way", ["thrown out", "cancelled", "stopped", "closed"])
def test_a_question_that_waits_for_its_conversation_is_seen_and_ends(
    stages: Callable[[str], tuple[AnswerService, str, Reader]],
    conversations: Conversations,
    knowledge: FakeKnowledge,
    way: str,
) -> None:
    """Somebody who was thrown out would be answered once the stopped answer before theirs has been stored."""
    answering, conversation_id, before = stages("retrieval")
    requests = answering._requests
    before.answer.cancel()  # stored when its search has ended
    with acting_for("ann", "her session"):
        late = Reader(answering.ask(SERVICE, conversation_id, "And now?", user="ann"))
    try:
        eventually(lambda: answering._locks._waiting, seconds=DEADLINE)
        _first, seen = requests.running()
        assert (seen.user, seen.detail, seen.began) == ("ann", "question of 8 characters", None)
        if way == "thrown out":
            assert requests.cancel_all(sessions={"her session"}) == 1
        elif way == "cancelled":
            assert requests.cancel(SERVICE, seen.id)
        elif way == "stopped":
            assert answering.stop(SERVICE, conversation_id)
        else:
            late.answer.close()
        assert late.done()
        assert before.is_alive(), "nothing was left to wait for"
    finally:
        knowledge.release.set()
    assert before.done()
    assert isinstance(late.error, CancelledError)
    assert requests.recent()[-1].outcome is Outcome.CANCELLED
    assert [m.text for m in conversations.messages(SERVICE, conversation_id)] == ["How long?", ""]
    assert answering.slots() == (0, 0)


def test_a_question_that_waited_for_its_conversation_is_answered(
    stages: Callable[[str], tuple[AnswerService, str, Reader]], conversations: Conversations, knowledge: FakeKnowledge
) -> None:
    """Whoever stops an answer and asks again at once would be refused, or not be seen among the requests."""
    answering, conversation_id, before = stages("retrieval")
    before.answer.cancel()
    late = Reader(answering.ask(SERVICE, conversation_id, "And now?", user="ann"))
    eventually(lambda: answering._locks._waiting, seconds=DEADLINE)
    knowledge.release.set()
    late.wait_for(Token)
    assert before.done()
    late.answer.close()
    assert late.done()
    questions = [m.text for m in conversations.messages(SERVICE, conversation_id) if m.role is MessageRole.USER]
    assert questions == ["How long?", "And now?"]
    assert answering.slots() == (0, 0)


@pytest.mark.parametrize("limit", [("hang", 0.3), ("midhang", 5.0)])
def test_time_limits_end_a_hanging_model(
    answering_with: Callable[..., AnswerService],
    conversations: Conversations,
    models: ChatModels,
    server: ModelServer,
    limit: tuple[str, float],
) -> None:
    """The limit covers the wait for the first token; what had come is kept; the server sees a hang-up."""
    manner, seconds = limit
    use(models, server, manner)
    made = conversations.create(SERVICE)
    answering = answering_with(answer_seconds=seconds)
    with pytest.raises(TimedOutError):
        list(answering.ask(SERVICE, made.id, "How long?"))
    answer = conversations.messages(SERVICE, made.id)[1]
    assert (answer.state, answer.text) == (AnswerState.FAILED, "Seals are covered" if manner == "midhang" else "")
    assert answer.error
    assert answer.hint
    assert server.wait(lambda: server.open == 0 and server.hung_up == len(server.requests))
    assert (answering.slots(), answer_threads(), sockets(server)) == ((0, 0), 0, 0)


def test_a_dropped_answer_stops(
    answering: AnswerService, conversations: Conversations, models: ChatModels, server: ModelServer
) -> None:
    """A page whose run was broken off just lets go of the iterator; that is enough."""
    use(models, server, "midhang")
    made = conversations.create(SERVICE)
    answer = answering.ask(SERVICE, made.id, "How long?")
    assert isinstance(next(answer), Retrieved)
    assert isinstance(next(answer), Token)
    del answer
    assert server.wait(lambda: server.open == 0 and server.hung_up == 1)
    assert conversations.messages(SERVICE, made.id)[1].state is AnswerState.STOPPED
    assert (answering.slots(), answer_threads()) == ((0, 0), 0)


def test_a_model_that_never_ends_is_ended(
    answering: AnswerService, conversations: Conversations, models: ChatModels, server: ModelServer
) -> None:
    """An answer is bounded in length too; what had come is kept."""
    use(models, server, "endless")
    made = conversations.create(SERVICE)
    with pytest.raises(MillpondError):
        list(answering.ask(SERVICE, made.id, "How long?"))
    answer = conversations.messages(SERVICE, made.id)[1]
    assert answer.state is AnswerState.FAILED
    assert 90_000 < len(answer.text) < 130_000


def test_closing_before_the_first_event_does_nothing(answering: AnswerService, conversations: Conversations) -> None:
    """An answer that nobody began to read was never asked."""
    made = conversations.create(SERVICE)
    answer = answering.ask(SERVICE, made.id, "How long?")
    answer.close()
    answer.close()
    assert list(answer) == []
    assert conversations.messages(SERVICE, made.id) == []


def test_the_queue_is_seen_and_bounded(
    answering_with: Callable[..., AnswerService], conversations: Conversations, models: ChatModels, server: ModelServer
) -> None:
    """One answer runs, one waits with its position, the next is refused and kept; the one that waited gets its turn."""
    use(models, server, "midhang")
    answering = answering_with(answers_total=1, answers_waiting=1)
    first = Reader(answering.ask(SERVICE, conversations.create(SERVICE).id, "First?", user="ann"))
    first.wait_for(Token)
    second = Reader(answering.ask(SERVICE, conversations.create(SERVICE).id, "Second?", user="bob"))
    second.wait_for(Waiting)
    assert answering.slots() == (1, 1)
    made = conversations.create(SERVICE)
    with pytest.raises(BusyError):
        list(answering.ask(SERVICE, made.id, "Third?", user="eve"))
    assert [(m.text, m.state) for m in conversations.messages(SERVICE, made.id)] == [
        ("Third?", AnswerState.COMPLETE),
        ("", AnswerState.FAILED),
    ]
    first.answer.close()
    second.wait_for(Token)
    assert second.events[0] == Waiting(1)
    second.answer.close()
    assert first.done()
    assert second.done()
    assert answering.slots() == (0, 0)


def test_closing_the_room_ends_all_answers(
    answering_with: Callable[..., AnswerService], conversations: Conversations, models: ChatModels, server: ModelServer
) -> None:
    """Running and waiting ones, when the service is shut down."""
    use(models, server, "hang")
    answering = answering_with(answers_total=2, answers_per_user=2)
    readers = [Reader(answering.ask(SERVICE, conversations.create(SERVICE).id, "How long?")) for _ in range(4)]
    assert server.wait(lambda: server.open == 2)
    answering.close()
    assert all(reader.done() for reader in readers)
    assert server.wait(lambda: server.open == 0)
    assert answering.slots() == (0, 0)
    with pytest.raises(UnavailableError):
        next(answering.complete(SERVICE, [(MessageRole.USER, "How long?")]))


def test_an_answer_in_a_cycle_is_closed_by_the_collector(
    answering: AnswerService, conversations: Conversations, models: ChatModels, server: ModelServer
) -> None:
    """Also when the collector runs in the middle of our own bookkeeping."""
    use(models, server, "midhang")
    answer = answering.ask(SERVICE, conversations.create(SERVICE).id, "How long?")
    next(answer)
    cycle: list[object] = [answer]
    cycle.append(cycle)
    del answer, cycle
    with answering._lock:
        gc.collect()
    assert (answering.slots(), answer_threads()) == ((0, 0), 0)
    assert server.wait(lambda: server.open == 0)
