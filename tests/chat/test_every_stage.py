"""An answer is ended at each of its stages, in each way, and everything that it had is gone."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psutil
import pytest

import services.chat.models.openai_server  # noqa: F401 - loading it takes longer than the time limits tested here
from services.chat import answer_service as answering_module
from services.chat.answer_service import AnswerService
from services.chat.answer_stream import StreamWorker
from services.chat.conversations import Conversations
from services.chat.models import ChatModels
from services.chat.types import AnswerState, Message, Retrieved, Token, Waiting
from services.core.actor import SERVICE
from services.core.errors import TimedOutError
from services.core.machine import MEGABYTE
from services.core.requests import Outcome, RequestKind, RequestRegistry, RequestScope
from services.core.settings import Settings
from tests.chat.conftest import FakeKnowledge
from tests.chat.model_server import ModelServer
from tests.chat.test_answer_service import use
from tests.chat.test_cancelling import DEADLINE, Reader, answer_threads, sockets
from tests.servers import eventually

STAGES = ["waiting", "retrieval", "model load", "before the first token", "mid-stream", "storing"]
BLOCKING = {"retrieval", "model load", "storing"}  # work of this machine that ends by itself and is waited for


class Gate:
    """Holds a call up until the test lets it go on."""

    def __init__(self) -> None:
        self.entered, self.go = threading.Event(), threading.Event()

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def held_up(*args: Any, **options: Any) -> Any:
            self.entered.set()
            assert self.go.wait(DEADLINE)
            return call(*args, **options)

        return held_up


@dataclass
class Stage:
    """An answer that stands at a stage."""

    name: str
    answering: AnswerService
    scopes: RequestRegistry
    conversation: str
    reader: Reader
    gate: Gate
    blocker: Reader | None = None

    def let_go(self, after: float = 0.05) -> None:
        """Let what blocks end, a moment after the cancellation."""
        threading.Timer(after, self.gate.go.set).start()

    def end(self) -> None:
        """Wait for the reader, and end what only held the slot."""
        assert self.reader.done()
        if self.blocker is not None:
            self.blocker.answer.close()
            assert self.blocker.done()


@dataclass
class Watched:
    """What was built for answers, by weak references, and the descriptors that were open before."""

    objects: list[weakref.ref[Any]]
    descriptors: int = 0

    def alive(self) -> list[str]:
        gc.collect()
        return [type(found).__name__ for each in self.objects if (found := each()) is not None]


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    """Every scope and worker that is made from now on."""
    watched = Watched([])
    for kind in (RequestScope, StreamWorker):
        build = kind.__init__

        def noted(self: Any, *args: Any, build: Any = build, **options: Any) -> None:
            build(self, *args, **options)
            watched.objects.append(weakref.ref(self))

        monkeypatch.setattr(kind, "__init__", noted)
    watched.descriptors = psutil.Process().num_fds()
    return watched


@pytest.fixture
def reach(
    conversations: Conversations,
    models: ChatModels,
    knowledge: FakeKnowledge,
    settings: Settings,
    server: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., Stage]]:
    """Return a function that brings an answer to a stage and leaves it there."""
    made: list[AnswerService] = []

    def reach(name: str, **changes: object) -> Stage:
        gate = Gate()
        limits = settings.model_copy(update={"answers_total": 1, **changes})
        scopes = RequestRegistry(limits, rss=lambda: 1000)
        use(models, server, "hang" if name == "before the first token" else "midhang")
        with monkeypatch.context() as patched:
            if name == "model load":
                patched.setattr(models, "backend", gate.around(models.backend))
            source: Any = knowledge
            if name == "retrieval":
                source = Held(knowledge, gate)
            answering = AnswerService(conversations, models, source, limits, rss=lambda: 1000, requests=scopes)
        made.append(answering)
        if name == "storing":
            use(models, server, "good")
            monkeypatch.setattr(
                conversations, "replace_from", gate.around(Conversations.replace_from.__get__(conversations))
            )
        blocker = None
        if name == "waiting":
            blocker = Reader(answering.ask(SERVICE, conversations.create(SERVICE).id, "First?"))
            blocker.wait_for(Token)
        conversation = conversations.create(SERVICE).id
        reader = Reader(answering.ask(SERVICE, conversation, "How long?", user="ann"))
        if name == "waiting":
            reader.wait_for(Waiting)
        elif name in BLOCKING:
            assert gate.entered.wait(DEADLINE)
        elif name == "before the first token":
            assert server.wait(lambda: server.open == 1)
        else:
            reader.wait_for_text("Seals are covered")
        return Stage(name, answering, scopes, conversation, reader, gate, blocker)

    yield reach
    for answering in made:
        answering.close()


@dataclass
class Held:
    """A knowledge behind a gate."""

    knowledge: FakeKnowledge
    gate: Gate

    def passages(self, *args: Any) -> Any:
        return self.gate.around(self.knowledge.passages)(*args)

    def quotes(self, *args: Any) -> Any:
        return self.knowledge.quotes(*args)


def nothing_left(stage: Stage, server: ModelServer, watched: Watched) -> None:
    """Assert that slots, scopes, threads, connections, descriptors and objects of the answer are gone."""
    reader, blocker = stage.reader, stage.blocker
    assert stage.answering.slots() == (0, 0)
    assert stage.scopes.running() == []
    eventually(lambda: answer_threads() == 0, seconds=DEADLINE)
    assert server.wait(lambda: server.open == 0)
    assert sockets(server) == 0
    for each in (reader, blocker):
        if each is not None:
            del each.answer
            each.error = None  # its traceback holds the frames that it came through
    eventually(lambda: watched.alive() == [], seconds=DEADLINE, what="the end of the answer's objects")
    eventually(lambda: psutil.Process().num_fds() <= watched.descriptors + 1, seconds=DEADLINE, what="descriptors")


def stored(conversations: Conversations, stage: Stage) -> Message:
    return conversations.messages(SERVICE, stage.conversation)[-1]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("way", ["close", "by id", "shut down"])
def test_ended_at_every_stage(
    reach: Callable[..., Stage],
    conversations: Conversations,
    server: ModelServer,
    watched: Watched,
    stage: str,
    way: str,
) -> None:
    """Closed by its reader, cancelled by an administrator, ended with the service: stored as far as it was, gone."""
    at = reach(stage)
    if stage in BLOCKING:
        at.let_go()
    if way == "close":
        at.reader.answer.close()
    elif way == "by id":
        running = next(one for one in at.scopes.running() if one.user == "ann")
        assert (running.position > 0) is (stage == "waiting")
        assert at.scopes.cancel(SERVICE, running.id)
    else:
        at.answering.close()
    at.end()
    assert at.reader.error is None
    message = stored(conversations, at)
    assert message.state is (AnswerState.STOPPED if stage != "storing" else AnswerState.COMPLETE)
    ended = next(one for one in at.scopes.recent() if one.user == "ann")
    assert ended.kind is RequestKind.ANSWER
    assert ended.outcome is Outcome.CANCELLED
    nothing_left(at, server, watched)


@pytest.mark.parametrize("stage", ["retrieval", "model load", "before the first token", "mid-stream"])
def test_out_of_time_at_every_stage(
    reach: Callable[..., Stage], conversations: Conversations, server: ModelServer, watched: Watched, stage: str
) -> None:
    """The limit holds wherever the answer is; its reader and the list of requests are told; nothing is left."""
    at = reach(stage, answer_seconds=1.5)
    if stage in BLOCKING:
        at.let_go(after=1.7)
    at.end()
    assert isinstance(at.reader.error, TimedOutError)
    assert stored(conversations, at).state is AnswerState.FAILED
    assert at.scopes.recent(1)[0].outcome is Outcome.TIMED_OUT
    nothing_left(at, server, watched)


def test_the_wait_does_not_count(
    reach: Callable[..., Stage], conversations: Conversations, server: ModelServer, watched: Watched
) -> None:
    """Who waits longer than an answer may take still gets the whole time, once the first one has run out of its."""
    at = reach("waiting", answer_seconds=1.0)
    at.reader.wait_for(Retrieved)
    at.end()
    assert at.blocker is not None
    assert isinstance(at.blocker.error, TimedOutError)
    ended = next(one for one in at.scopes.recent() if one.user == "ann")
    assert ended.waited > 0.1
    assert ended.seconds >= 1.0
    nothing_left(at, server, watched)


def test_again_and_again_takes_no_memory(
    reach: Callable[..., Stage],
    answering_with: Callable[..., AnswerService],
    conversations: Conversations,
    models: ChatModels,
    server: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hundred cancelled answers later: as much memory, as many threads and descriptors, as after twenty."""
    monkeypatch.setattr(answering_module.log, "info", lambda *_args, **_fields: None)
    process = psutil.Process()
    answering = answering_with()

    def round_of_answers(manner: str) -> None:
        use(models, server, manner)
        answer = answering.ask(SERVICE, conversations.create(SERVICE).id, "How long?")
        if manner == "midhang":
            assert isinstance(next(answer), Retrieved)
            assert isinstance(next(answer), Token)
            answer.close()
        else:
            reader = Reader(answer)
            assert server.wait(lambda: server.open > 0)
            answer.close()
            assert reader.done()
        assert server.wait(lambda: server.open == 0)

    def size() -> tuple[int, int, int]:
        gc.collect()
        time.sleep(0)
        return process.memory_info().rss, threading.active_count(), process.num_fds()

    for number in range(20):
        round_of_answers(("midhang", "hang")[number % 2])
    rss, threads, descriptors = size()
    for number in range(80):
        round_of_answers(("midhang", "hang")[number % 2])
    rss_after, threads_after, descriptors_after = size()
    assert rss_after - rss < 6 * MEGABYTE
    assert (threads_after, descriptors_after) == (threads, descriptors)


def test_a_question_waits_for_the_stopped_answer_before_it(
    reach: Callable[..., Stage], conversations: Conversations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who stops an answer and asks at once is not refused; the stopped answer stands before the new question."""
    stage = reach("storing", answers_total=2)
    monkeypatch.setattr("services.chat.conversation_locks.STOP_WAIT_SECONDS", DEADLINE)
    assert stage.answering.stop(SERVICE, stage.conversation)
    late = Reader(stage.answering.ask(SERVICE, stage.conversation, "And now?"))
    stage.let_go()
    stage.end()
    assert late.done()
    assert late.error is None
    told = [message.role.value for message in conversations.messages(SERVICE, stage.conversation)]
    assert told == ["user", "assistant", "user", "assistant"]
