"""Model servers that do what they should, and all the ways in which they do not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.chat.answer_service import AnswerService
from services.chat.conversations import Conversations
from services.chat.models import ChatModels
from services.chat.types import AnswerState, BackendChoice, BackendKind
from services.core.actor import SERVICE
from services.core.errors import MillpondError
from tests.chat.model_server import ModelServer, closed_port
from tests.chat.test_answer_service import finished

KEY = "sk-very-secret"
KINDS = [BackendKind.OPENAI, BackendKind.OLLAMA]
# How the server behaves: a word that the message must contain, a word of the hint, the text that is kept.
TROUBLE = {
    "401": ("refused the key", "valid key", ""),
    "429": ("no more questions", "quota", ""),
    "500": ("error of its own (500)", "log", ""),
    "503html": ("error of its own (503)", "log", ""),
    "404model": ("does not know the model tiny", "ollama pull", ""),
    "404page": ("no chat at this address", "/v1", ""),
    "context": ("too long for the model tiny", "Shorten", ""),
    "400": ("did not accept the question: odd request", "model", ""),
    "redirect": ("not an answer", "address", ""),
    "html": ("not an answer", "address", ""),
    "json": ("not an answer", "address", ""),
    "void": ("not an answer", "address", ""),
    "binary": ("not an answer", "address", ""),
    "junk": ("not an answer", "address", ""),
    "nochoices": ("not an answer|empty answer", "address|name", ""),
    "nothing": ("not an answer", "address", ""),
    "error": ("reported an error: out of memory", "log", ""),
    "silent": ("empty answer", "name", ""),
    "dies": ("broke off", "log", "Seals are covered"),
}


def choice_of(kind: BackendKind, server: ModelServer, manner: str) -> BackendChoice:
    url = server.openai(manner) if kind is BackendKind.OPENAI else server.ollama(manner)
    return BackendChoice(kind, url, "tiny", KEY if kind is BackendKind.OPENAI else "")


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_answers(
    answering: AnswerService, conversations: Conversations, models: ChatModels, server: ModelServer, kind: BackendKind
) -> None:
    """The text is streamed, its citation kept, tokens counted; the connection is closed afterwards."""
    models.choose(SERVICE, choice_of(kind, server, "good"))
    message = finished(list(answering.ask(SERVICE, conversations.create(SERVICE).id, "How long are seals covered?")))
    assert message.text == "Seals are covered for 12 months [1]. Not [99: no such source]."
    assert message.model == "tiny"
    assert (message.cost.prompt_tokens, message.cost.answer_tokens) == (70, 9)
    assert server.wait(lambda: server.open == 0)
    path, headers, body = server.requests[-1]
    assert path == ("/good/v1/chat/completions" if kind is BackendKind.OPENAI else "/good/api/chat")
    assert body["stream"] is True
    if kind is BackendKind.OLLAMA:
        assert body["options"]["num_ctx"] == 8192
    else:
        assert headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("case", [(kind, manner) for kind in KINDS for manner in TROUBLE], ids=":".join)
def test_trouble_becomes_a_message_with_a_hint(
    answering: AnswerService,
    conversations: Conversations,
    models: ChatModels,
    server: ModelServer,
    case: tuple[BackendKind, str],
) -> None:
    """Whatever a server does: a clear error, the question kept, the failure stored, no key in it, the slot free."""
    kind, manner = case
    models.choose(SERVICE, choice_of(kind, server, manner))
    made = conversations.create(SERVICE)
    with pytest.raises(MillpondError) as caught:
        list(answering.ask(SERVICE, made.id, "How long are seals covered?"))
    said, hinted, kept = TROUBLE[manner]
    error = caught.value
    assert any(words in error.message for words in said.split("|"))
    assert any(words in error.hint for words in hinted.split("|"))
    assert KEY not in str(error)
    assert "<" not in str(error)
    assert len(error.message) < 400
    question, answer = conversations.messages(SERVICE, made.id)
    assert question.text == "How long are seals covered?"
    assert (answer.state, answer.text) == (AnswerState.FAILED, kept)
    assert (answer.error, answer.hint) == (error.message, error.hint)
    assert answering.slots() == (0, 0)
    assert all("stolen" not in path for path, _headers, _body in server.requests)
    models.choose(SERVICE, choice_of(kind, server, "good"))
    assert finished(list(answering.regenerate(SERVICE, made.id))).state is AnswerState.COMPLETE


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_is_not_there(
    answering: AnswerService, conversations: Conversations, models: ChatModels, kind: BackendKind
) -> None:
    """Where nobody listens the documents are quoted at once, with a word about which address it was."""
    port = closed_port()
    models.choose(SERVICE, BackendChoice(kind, f"http://127.0.0.1:{port}/v1", "tiny", "k"))
    made = conversations.create(SERVICE)
    message = finished(list(answering.ask(SERVICE, made.id, "How long?")))
    assert "“Valves are covered for 24 months.” [1]" in message.text
    assert f"127.0.0.1:{port}" in message.text
    assert "cannot be reached" in message.text
    assert message.model == ""
    assert conversations.messages(SERVICE, made.id)[1].state is AnswerState.COMPLETE
    status = models.status()
    assert status.state == "down"
    assert "documents are quoted" in status.hint


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_hangs_longer_than_its_own_limit(
    answering_with: Callable[..., AnswerService],
    conversations: Conversations,
    models: ChatModels,
    server: ModelServer,
    kind: BackendKind,
) -> None:
    """Time is up for the answer as a whole, and the server's side is hung up."""
    models.choose(SERVICE, choice_of(kind, server, "hang"))
    with pytest.raises(MillpondError) as caught:
        list(answering_with(answer_seconds=0.4).ask(SERVICE, conversations.create(SERVICE).id, "How long?"))
    assert "too long" in caught.value.message
    # On a busy machine time may be up before the server was reached at all.
    assert server.wait(lambda: server.open == 0 and server.hung_up == len(server.requests))


def test_tracing_variables_send_nothing_away(
    answering: AnswerService,
    conversations: Conversations,
    models: ChatModels,
    server: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Documents go to the chosen model only, also where LangChain's tracing is switched on in the environment."""
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    monkeypatch.setenv("LANGSMITH_API_KEY", "k")
    monkeypatch.setenv("LANGSMITH_ENDPOINT", server.ollama("good"))
    models.choose(SERVICE, choice_of(BackendKind.OPENAI, server, "good"))
    list(answering.ask(SERVICE, conversations.create(SERVICE).id, "How long?"))
    answering.close()
    assert [path for path, _headers, _body in server.requests] == ["/good/v1/chat/completions"]


def test_a_proxy_is_not_used_for_this_machine(
    answering: AnswerService,
    conversations: Conversations,
    models: ChatModels,
    server: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A proxy in the environment would get the documents, and cannot reach this machine's loopback anyway."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    for kind in KINDS:
        models.choose(SERVICE, choice_of(kind, server, "good"))
        assert models.probe(SERVICE, models.choice()).state == "ready"
        assert (
            finished(list(answering.ask(SERVICE, conversations.create(SERVICE).id, "How long?"))).state
            is AnswerState.COMPLETE
        )
