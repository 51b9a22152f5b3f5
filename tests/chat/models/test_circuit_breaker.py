from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from services.chat.answer_service import AnswerService
from services.chat.models import ChatModels
from services.chat.models.circuit_breaker import (
    BreakerState,
    BreakerStatus,
    CircuitBreaker,
    CircuitBreakers,
    OpenBreakerError,
    is_outage,
)
from services.chat.models.gguf_server import ModelUnloadedError
from services.chat.types import AnswerState, BackendChoice, BackendKind, Message, MessageRole, Token
from services.core.actor import SERVICE
from services.core.errors import BusyError, MillpondError, TimedOutError, TooLargeError, UnavailableError
from tests.chat.conftest import AQuote, FakeKnowledge
from tests.chat.model_server import ModelServer, closed_port
from tests.chat.test_answer_service import finished

DOWN = UnavailableError("It cannot be reached.")
QUESTION = [(MessageRole.USER, "How long are seals covered?")]


class Time:
    """A monotonic clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def told() -> list[BreakerState]:
    return []


@pytest.fixture
def breaker(time: Time, told: list[BreakerState]) -> CircuitBreaker:
    return CircuitBreaker(
        "tiny", failures=3, seconds=20, monotonic=time, on_change=lambda status: told.append(status.state)
    )


def fail(breaker: CircuitBreaker, error: MillpondError = DOWN) -> None:
    with pytest.raises(type(error)), breaker.acquire():
        raise error


def work(breaker: CircuitBreaker) -> None:
    with breaker.acquire() as permit:
        permit.record_success()


def state(breaker: CircuitBreaker) -> BreakerState:
    return breaker.status().state


def test_it_opens_after_failures_in_a_row(breaker: CircuitBreaker, time: Time, told: list[BreakerState]) -> None:
    """A success in between begins the count anew; once open nothing passes, and it says for how long."""
    fail(breaker)
    fail(breaker)
    work(breaker)
    fail(breaker)
    fail(breaker)
    assert state(breaker) is BreakerState.CLOSED
    fail(breaker)
    time.now += 5
    with pytest.raises(OpenBreakerError, match=r"tiny failed 3 times in a row \(It cannot be reached\).* 15 seconds"):
        breaker.acquire()
    assert breaker.status().retry_seconds == 15
    assert told == [BreakerState.OPEN]


def test_it_opens_when_half_of_many_fail(breaker: CircuitBreaker) -> None:
    """A back end that fails every other time never fails three times in a row."""
    for _ in range(5):
        work(breaker)
        fail(breaker)
    assert state(breaker) is BreakerState.OPEN


def test_half_open_lets_one_through(breaker: CircuitBreaker, time: Time, told: list[BreakerState]) -> None:
    """Exactly one tries; the others are refused until it is known how that went."""
    for _ in range(3):
        fail(breaker)
    time.now += 20
    with breaker.acquire() as permit:
        assert state(breaker) is BreakerState.HALF_OPEN
        with pytest.raises(OpenBreakerError, match="One question is trying it now"):
            breaker.acquire()
        permit.record_success()
    assert told == [BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED]
    work(breaker)


def test_a_failed_try_doubles_the_wait(breaker: CircuitBreaker, time: Time) -> None:
    """A server that stays away is asked ever more rarely, up to a limit; one success begins anew."""
    for _ in range(3):
        fail(breaker)
    for wait in (20, 40, 80, 160, 320, 320):
        assert breaker.status().retry_seconds == wait
        time.now += wait
        fail(breaker)
    time.now += 320
    work(breaker)
    for _ in range(3):
        fail(breaker)
    assert breaker.status().retry_seconds == 20


def test_a_try_whose_reader_has_gone_tells_nothing(breaker: CircuitBreaker, time: Time) -> None:
    """The next one tries; were the permit lost, the back end would never be asked again."""
    for _ in range(3):
        fail(breaker)
    time.now += 20
    with breaker.acquire():
        pass
    assert state(breaker) is BreakerState.HALF_OPEN
    work(breaker)
    assert state(breaker) is BreakerState.CLOSED


def test_results_from_before_it_opened_change_nothing(breaker: CircuitBreaker, time: Time) -> None:
    """A slow success of a request that began long ago must not close it, nor a late failure prolong it."""
    early, late = breaker.acquire(), breaker.acquire()
    for _ in range(3):
        fail(breaker)
    time.now += 10
    with early:
        early.record_success()
    assert state(breaker) is BreakerState.OPEN
    with pytest.raises(UnavailableError), late:
        raise DOWN
    assert breaker.status().retry_seconds == 10


class Refused(Exception):  # noqa: N818 - as the libraries name theirs
    def __init__(self, status: int) -> None:
        self.status_code = status


@pytest.mark.parametrize(
    ("error", "status", "counts"),
    [
        (UnavailableError("gone"), None, True),
        (TimedOutError("slow"), None, True),
        (UnavailableError("own error"), 503, True),
        (UnavailableError("slow down"), 429, True),
        (UnavailableError("key"), 401, False),
        (UnavailableError("no such model"), 404, False),
        (UnavailableError("odd request"), 400, False),
        (TooLargeError("too long"), 400, False),
        (BusyError("no slot"), None, False),
        (ModelUnloadedError("unloaded"), None, False),
    ],
)
def test_what_counts_as_a_failure(error: MillpondError, status: int | None, counts: bool) -> None:
    """A wrong question must not switch a sound back end off."""
    if status is not None:
        error.__cause__ = Refused(status)
    assert is_outage(error) is counts


def test_many_threads_never_try_at_once(breaker: CircuitBreaker, time: Time) -> None:
    """Of all that ask a half-open breaker at the same moment, one passes."""
    for _ in range(3):
        fail(breaker)
    time.now += 20
    passed, start, done = [], threading.Barrier(8), threading.Barrier(8)

    def ask() -> None:
        start.wait()
        try:
            permit = breaker.acquire()
        except OpenBreakerError:
            done.wait()
            return
        passed.append(permit)
        done.wait()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(passed) == 1


def test_back_ends_do_not_share_a_breaker(time: Time) -> None:
    """Another model at the same address works while one is broken; those that nobody asks any more are forgotten."""
    breakers = CircuitBreakers(monotonic=time)
    for _ in range(3):
        fail(breakers.get("tiny at host"))
    work(breakers.get("small at host"))
    assert [status.state for status in breakers.statuses()] == [BreakerState.OPEN, BreakerState.CLOSED]
    breakers.reset()
    assert {status.state for status in breakers.statuses()} == {BreakerState.CLOSED}
    for number in range(100):
        breakers.get(str(number))
    assert len(breakers.statuses()) < 20


# Against a real server


def answer(answering: AnswerService) -> Message | MillpondError:
    try:
        return finished(list(answering.complete(SERVICE, QUESTION, fresh=True)))
    except MillpondError as error:
        return error


def choose(models: ChatModels, url: str) -> None:
    models.choose(SERVICE, BackendChoice(BackendKind.OPENAI, url, "tiny", "key"))


def status(models: ChatModels) -> BreakerStatus:
    found = models.breaker()
    assert found is not None
    return found


@pytest.mark.parametrize("manner", ["500", "dies", "void", "429"])
def test_a_failing_server_is_left_alone_and_the_documents_are_quoted(
    answering: AnswerService, models: ChatModels, server: ModelServer, knowledge: FakeKnowledge, manner: str
) -> None:
    """Three failed answers are enough; then readers get quotes at once, and are told why."""
    knowledge.quoted = [AQuote(0, "Seals are covered for 12 months.")]
    choose(models, server.openai(manner))
    for _ in range(3):
        assert isinstance(answer(answering), MillpondError)
    asked = len(server.requests)
    quoted = answer(answering)
    assert isinstance(quoted, Message)
    assert "“Seals are covered for 12 months.” [1]" in quoted.text
    assert "failed 3 times in a row" in quoted.text
    assert quoted.state is AnswerState.COMPLETE
    assert len(server.requests) == asked
    shown = models.status()
    assert (shown.state, shown.breaker) == ("down", "open")
    assert "tried again in" in shown.message


def test_a_server_that_refuses_connections_opens_it(answering: AnswerService, models: ChatModels) -> None:
    """Nobody listens there."""
    choose(models, f"http://127.0.0.1:{closed_port()}/v1")
    for _ in range(3):
        answer(answering)
    assert status(models).state is BreakerState.OPEN


@pytest.mark.parametrize("manner", ["400", "401", "404model", "context"])
def test_wrong_requests_do_not_open_it(
    answering: AnswerService, models: ChatModels, server: ModelServer, manner: str
) -> None:
    """The reader must go on being told what is wrong with the request."""
    choose(models, server.openai(manner))
    for _ in range(4):
        assert isinstance(answer(answering), MillpondError)
    assert status(models).state is BreakerState.CLOSED


def read_silence(answering: AnswerService, time: Time) -> None:
    """Read what comes; after each piece the server has been silent for long."""
    for event in answering.complete(SERVICE, QUESTION, fresh=True):
        if isinstance(event, Token):
            time.now += 30


@pytest.mark.parametrize("manner", ["hang", "midhang"])
def test_time_outs_open_it(
    answering_with: Callable[..., AnswerService], models: ChatModels, server: ModelServer, manner: str, time: Time
) -> None:
    """A server that accepts and says nothing costs each reader the whole time of an answer."""
    choose(models, server.openai(manner))
    models.breakers._monotonic = time
    answering = answering_with(answer_seconds=0.4)
    for _ in range(3):
        with pytest.raises(TimedOutError):
            read_silence(answering, time)
    assert status(models).state is BreakerState.OPEN


def test_readers_that_leave_do_not_open_it(answering: AnswerService, models: ChatModels, server: ModelServer) -> None:
    """Stopping an answer says nothing about the server."""
    choose(models, server.openai("midhang"))
    for _ in range(4):
        events = answering.complete(SERVICE, QUESTION, fresh=True)
        for event in events:
            if isinstance(event, Token):
                break
        events.close()
    assert status(models).state is BreakerState.CLOSED


def test_a_server_that_recovers_is_used_again(
    answering: AnswerService, models: ChatModels, server: ModelServer, time: Time
) -> None:
    """One question tries; with its answer the breaker closes and the status is good again."""
    choose(models, server.openai("good"))
    models.breakers._monotonic = time
    server.manner = "500"
    for _ in range(3):
        answer(answering)
    assert status(models).state is BreakerState.OPEN
    time.now += 20
    assert isinstance(answer(answering), MillpondError)
    assert status(models).retry_seconds == 40
    server.manner = ""
    time.now += 40
    good = answer(answering)
    assert isinstance(good, Message)
    assert good.model == "tiny"
    assert status(models).state is BreakerState.CLOSED
    assert models.status().breaker == "closed"


def test_choosing_anew_closes_it(answering: AnswerService, models: ChatModels, server: ModelServer) -> None:
    """Who has set the server right does not want to wait."""
    choose(models, server.openai("500"))
    for _ in range(3):
        answer(answering)
    choose(models, server.openai("500"))
    assert status(models).state is BreakerState.CLOSED
