"""Chat servers that take only part of the protocol: found out once, remembered, told; and what they send anyway."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from services.chat.answer_service import AnswerService
from services.chat.conversations import Conversations
from services.chat.models import ChatModels
from services.chat.models.chat_protocol import ReplyReader
from services.chat.models.errors import UnsupportedParameterError
from services.chat.options import AnswerOptions
from services.chat.types import (
    AnswerEvent,
    AnswerState,
    BackendChoice,
    BackendKind,
    Finished,
    FinishReason,
    MessageRole,
    Token,
    ToolCallPart,
)
from services.core.actor import SERVICE
from services.core.database import Database
from services.core.errors import BadInputError, MillpondError, TooLargeError, UnavailableError
from services.core.preferences import Preferences
from services.core.settings import Settings
from tests.chat.conftest import FakeKnowledge
from tests.chat.model_server import ModelServer
from tests.chat.scripted_server import (
    TEXT,
    Reply,
    answer,
    capable,
    document,
    event,
    refusing,
    stream,
)

QUESTION = [(MessageRole.USER, "How long are seals covered?")]
TOOL = {"type": "function", "function": {"name": "order", "parameters": {"type": "object"}}}


@pytest.fixture
def scripted(models: ChatModels, server: ModelServer) -> ModelServer:
    """The chosen server; its `script` says what it sends."""
    models.choose(SERVICE, BackendChoice(BackendKind.OPENAI, server.openai("good"), "tiny", "sk-secret"))
    return server


def ask(answering: AnswerService, **options: Any) -> list[AnswerEvent]:
    return list(answering.complete(SERVICE, QUESTION, fresh=True, options=AnswerOptions(**options)))


def end(events: list[AnswerEvent]) -> Finished:
    last = events[-1]
    assert isinstance(last, Finished)
    return last


def text_of(events: list[AnswerEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, Token))


SOME_OLD_SERVERS = {
    "usage": (("stream_options",), {"stream_options"}),
    "limit": (("max_completion_tokens",), {"max_completion_tokens"}),
    "no limit at all": (("max_completion_tokens", "max_tokens"), {"max_completion_tokens", "max_tokens"}),
    "system": (("system",), {"system role"}),
    "stream": (("stream",), {"stream"}),
    "all": (
        ("stream_options", "max_completion_tokens", "system", "stream"),
        {"stream_options", "max_completion_tokens", "system role", "stream"},
    ),
}


@pytest.mark.parametrize("named", [True, False], ids=["named", "unnamed"])
@pytest.mark.parametrize("case", SOME_OLD_SERVERS)
def test_what_a_server_refuses_is_left_out_and_remembered(
    answering: AnswerService, models: ChatModels, scripted: ModelServer, database: Database, case: str, named: bool
) -> None:
    """The first question finds out, the second is one request, also after a restart; the status says what it takes."""
    parts, refused = SOME_OLD_SERVERS[case]
    scripted.script = refusing(*parts, named=named)
    assert end(ask(answering)).message.text == TEXT
    tries = len(scripted.requests)
    assert 1 < tries <= 8
    assert end(ask(answering)).message.text == TEXT
    assert len(scripted.requests) == tries + 1
    status = models.status()
    assert refused <= set(status.refuses)
    if named:
        assert refused == set(status.refuses)
        assert "system role" in status.takes or "system" in parts
    again = ChatModels(Preferences(database), Settings(ollama_url="http://127.0.0.1:9"))
    assert again.capabilities.get(models.choice().url, "tiny").refuses() == status.refuses
    again.close()
    first = next(body for _path, _headers, body in reversed(scripted.requests) if body)["messages"][0]
    if "system" in parts:
        assert first["role"] == "user"
        assert "You answer questions from passages" in first["content"]
        assert "How long are seals covered?" in first["content"]


def test_a_servers_words_for_a_refusal_are_understood(answering: AnswerService, scripted: ModelServer) -> None:
    """Each of these is how a known server says what it minds, some with the whole request repeated in it."""
    request = {"stream": True, "stream_options": {"include_usage": True}, "max_completion_tokens": 1, "role": "user"}
    words: list[tuple[str, int, Any]] = [
        (
            "stream_options",
            422,
            {"detail": [{"loc": ["body", "stream_options"], "msg": "Extra", "input": request}]},
        ),
        ("stream_options", 400, {"error": {"message": "Unrecognized request argument supplied: stream_options"}}),
        ("max_completion_tokens", 400, {"error": {"message": "Unsupported", "param": "max_completion_tokens"}}),
        ("max_completion_tokens", 500, {"error": "unexpected keyword argument 'max_completion_tokens'"}),
        ("system", 400, {"error": {"message": "Conversation roles must alternate user/assistant/user/assistant/..."}}),
        ("system", 500, {"error": {"message": "Jinja Exception: System role not supported"}}),
        ("system", 422, {"detail": [{"loc": ["body", "messages", 0, "role"], "msg": "Input should be 'user'"}]}),
        ("stream", 400, {"message": "streaming is not supported"}),
    ]
    for part, status, said in words:
        accepted = refusing(part)

        def reply(body: Any, accepted: Any = accepted, said: Any = said, status: int = status) -> Reply:
            found: Reply = accepted(body)
            return found if found[0] == 200 else document(said, status)

        scripted.script = reply
        scripted.requests.clear()
        answering._models.forget_capabilities(SERVICE)
        assert end(ask(answering)).message.text == TEXT, said
        assert len(scripted.requests) == 2, said


def test_what_was_learnt_is_forgotten(answering: AnswerService, models: ChatModels, scripted: ModelServer) -> None:
    """On request, and when another address is chosen; a server that was updated is asked for everything again."""
    scripted.script = refusing("stream_options")
    ask(answering)
    assert models.status().refuses == ("stream_options",)
    models.forget_capabilities(SERVICE)
    assert (models.status().takes, models.status().refuses) == ((), ())
    scripted.script = capable
    ask(answering)
    assert "stream_options" in models.status().takes
    scripted.script = refusing("stream_options")
    ask(answering)
    url = models.choice().url
    assert models.capabilities.get(url, "tiny").refuses() == ("stream_options",)
    models.choose(SERVICE, BackendChoice(BackendKind.OPENAI, scripted.openai("other"), "tiny"))
    assert not models.capabilities.get(url, "tiny").known


def test_a_test_of_the_connection_finds_out(models: ChatModels, scripted: ModelServer) -> None:
    """It asks a question, so that a wrong key or a crash shows before anybody is let down."""
    scripted.script = refusing("system", "max_completion_tokens")
    status = models.test(SERVICE, models.choice())
    assert status.state == "ready"
    assert status.takes == ("stream", "stream_options", "max_tokens")
    assert status.refuses == ("max_completion_tokens", "system role")
    scripted.script = lambda _body: document({"error": {"message": "no such voice"}}, 500)
    status = models.test(SERVICE, models.choice())
    assert status.state == "down"
    assert "no such voice" in status.message


def test_a_refusal_for_another_reason_costs_few_requests(answering: AnswerService, scripted: ModelServer) -> None:
    """Leaving parts out does not help: the first words are told, and for a minute it is not tried again."""
    scripted.script = lambda _body: document({"error": {"message": "Bad Request"}}, 400)
    for _number in range(3):
        with pytest.raises(UnavailableError, match="did not accept the question: Bad Request"):
            ask(answering)
    assert len(scripted.requests) <= 10


@pytest.mark.parametrize("parameter", ["temperature", "seed", "top_p", "presence_penalty"])
def test_sampling_that_a_server_refuses_is_left_out_and_told(
    answering: AnswerService, scripted: ModelServer, parameter: str
) -> None:
    """It steers words only; the answer says that it had no effect."""
    scripted.script = refusing(parameter)
    for tries in (2, 3):
        finished = end(ask(answering, sampling=((parameter, 1), ("frequency_penalty", 0.5))))
        assert finished.message.text == TEXT
        assert finished.left_out == (parameter,)
        assert len(scripted.requests) == tries
    assert scripted.requests[-1][2]["frequency_penalty"] == 0.5


@pytest.mark.parametrize(
    ("parameter", "options"),
    [("response_format", {"response_format": {"type": "json_object"}}), ("tools", {"tools": (TOOL,)})],
)
def test_a_form_that_a_server_refuses_is_refused(
    answering: AnswerService, scripted: ModelServer, parameter: str, options: dict[str, Any]
) -> None:
    """Prose in place of JSON would break the client: it is told which parameter, and what the server says."""
    scripted.script = refusing(parameter)
    with pytest.raises(UnsupportedParameterError, match="Unsupported parameter") as caught:
        ask(answering, **options)
    assert caught.value.parameter == parameter


def test_words_to_stop_at_are_kept_without_the_server(answering: AnswerService, scripted: ModelServer) -> None:
    """A server that does not take `stop` writes on; the answer ends all the same."""
    scripted.script = refusing("stop")
    events = ask(answering, stop=("for 12",))
    assert text_of(events) == "Seals are covered "
    assert end(events).message.finish_reason is FinishReason.STOP


ENDS = {
    "plain JSON": lambda body: answer({**body, "stream": False}),
    "data: null and comments": lambda _body: stream(
        ": ping\n\n", "data: null\n\n", "data:\n\n", event({"role": "assistant"}), "retry: 10\n\n", event(None),
        event({"content": None}), event({"content": TEXT}), 'data: {"choices": []}\n\n', "data: {}\n\n",
        'data: {"choices": null}\n\n', event({"content": ""}, "stop"),
    ),
    "CRLF": lambda _body: (200, {"Content-Type": "text/event-stream"}, (
        event({"content": TEXT}) + event({}, "stop")
    ).replace("\n", "\r\n").encode()),
    "CR": lambda _body: (200, {"Content-Type": "text/event-stream"}, (
        event({"content": TEXT}) + event({}, "stop")
    ).replace("\n", "\r").encode()),
    "no space, several data lines": lambda _body: stream(
        f'data:{{"choices": [{{"delta":\ndata: {{"content": "{TEXT}"}}}}]}}\n\n', event({}, "stop")
    ),
    "no line end at the end": lambda _body: (
        200, {}, (event({"content": TEXT}) + event({}, "stop")).rstrip().encode()
    ),
    "no reason, [DONE]": lambda _body: stream(event({"content": TEXT})),
    "a reason, no [DONE]": lambda _body: stream(event({"content": TEXT}), event({}, "eos"), done=False),
    "parts": lambda _body: stream(
        event({"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": TEXT}]}, "stop")
    ),
    "message in place of delta": lambda _body: stream(
        f'data: {{"choices": [{{"message": {{"content": "{TEXT}"}}, "finish_reason": "stop"}}]}}\n\n'
    ),
    "lines without framing": lambda _body: (
        200, {"Content-Type": "application/json"},
        (event({"content": TEXT}) + event({}, "stop")).replace("data: ", "").encode(),
    ),
    "status 201": lambda body: (201, *answer(body)[1:]),
    "thoughts beside": lambda _body: stream(
        event({"reasoning_content": "Let me think."}), event({"content": TEXT}, "stop")
    ),
    "thoughts inside": lambda _body: stream(event({"content": "<think>Let me think.</think>" + TEXT}, "stop")),
    "line separators in the text": lambda _body: stream(
        'data: {"choices": [{"delta": {"content": "' + TEXT + '"}}], "id": "a\u2028b\u0085c"}\n\n', event({}, "stop")
    ),
}  # fmt: skip


@pytest.mark.parametrize("manner", ENDS)
def test_whatever_way_an_answer_is_sent(
    answering: AnswerService, models: ChatModels, scripted: ModelServer, manner: str
) -> None:
    """Each is what some server sends; the answer is the same."""
    scripted.script = ENDS[manner]
    message = end(ask(answering)).message
    assert message.text == TEXT
    assert message.finish_reason is FinishReason.STOP
    assert message.state is AnswerState.COMPLETE
    assert ("stream" in models.status().refuses) == (manner == "plain JSON")


@pytest.mark.parametrize("manner", ENDS)
def test_a_reply_may_be_cut_anywhere(manner: str) -> None:
    """Between a line's end and its line feed, within a character: byte by byte it reads the same."""
    _status, _headers, data = ENDS[manner]({"stream": True})
    data = data.replace(b"Seals", "密封件".encode())
    reader = ReplyReader()
    chunks = [chunk for at in range(len(data)) for chunk in reader.feed(data[at : at + 1])] + list(reader.end())
    text = "".join(chunk.text for chunk in chunks).partition("</think>")
    assert (text[2] or text[0]) == TEXT.replace("Seals", "密封件")


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("length", FinishReason.LENGTH),
        ("max_tokens", FinishReason.LENGTH),
        ("content_filter", FinishReason.CONTENT_FILTER),
        ("SAFETY", FinishReason.CONTENT_FILTER),
        ("end_turn", FinishReason.STOP),
    ],
)
def test_why_an_answer_ended_is_passed_on(
    answering: AnswerService, conversations: Conversations, scripted: ModelServer, word: str, reason: FinishReason
) -> None:
    """In the answer and in the stored conversation."""
    scripted.script = lambda body: answer(body, finish=word)
    made = conversations.create(SERVICE)
    list(answering.ask(SERVICE, made.id, "How long are seals covered?"))
    stored = conversations.messages(SERVICE, made.id)[1]
    assert stored.finish_reason is reason
    assert stored.text == TEXT


def test_a_stream_that_breaks_off_is_told(
    answering: AnswerService, conversations: Conversations, models: ChatModels, scripted: ModelServer
) -> None:
    """Neither reason nor [DONE]: what had come is kept, the failure is stored, and the circuit breaker learns it."""
    scripted.script = lambda _body: stream(event({"content": "Seals are"}), done=False)
    made = conversations.create(SERVICE)
    with pytest.raises(UnavailableError, match="broke off in the middle of the answer"):
        list(answering.ask(SERVICE, made.id, "How long are seals covered?"))
    stored = conversations.messages(SERVICE, made.id)[1]
    assert (stored.state, stored.text) == (AnswerState.FAILED, "Seals are")
    assert "broke off" in stored.error
    breaker = models.breaker()
    assert breaker is not None
    assert breaker.failures == 1


ERRORS: dict[str, tuple[Callable[[Any], Reply], type[MillpondError], str, str]] = {
    "an error in a 200": (
        lambda _body: document({"error": {"message": "CUDA out of memory", "code": 500}}),
        UnavailableError, "CUDA out of memory", "log",
    ),
    "an error of old vLLM": (
        lambda _body: document({"object": "error", "message": "no template", "code": 40303}),
        UnavailableError, "no template", "log",
    ),
    "detail in a 200": (lambda _body: document({"detail": "Worker died"}), UnavailableError, "Worker died", "log"),
    "in the stream": (
        lambda _body: stream('data: {"error": {"message": "engine dead"}}\n\n'), UnavailableError, "engine dead", "log",
    ),
    "in the stream, behind words": (
        lambda _body: stream(event({"content": "Seals"}), 'data: {"error": {"message": "engine dead"}}\n\n'),
        UnavailableError, "engine dead", "log",
    ),
    "an event of the kind error": (
        lambda _body: stream("event: error\ndata: upstream gone\n\n"), UnavailableError, "upstream gone", "log",
    ),
    "finish reason error": (
        lambda _body: stream(event({}, "error", error={"message": "provider failed"})),
        UnavailableError, "provider failed", "log",
    ),
    "429 with a time to wait": (
        lambda _body: document({"error": {"message": "Rate limit reached"}}, 429, {"Retry-After": "17"}),
        UnavailableError, "Rate limit reached", "17 seconds",
    ),
    "429 in a 200": (
        lambda _body: document({"error": {"message": "try later", "code": 429}}), UnavailableError, "try later", "quota"
    ),
    "the key": (
        lambda _body: document({"error": {"message": "Incorrect API key provided: sk-secret"}}, 401),
        UnavailableError, "refused the key. It says: Incorrect API key provided: …", "valid key",
    ),
    "the model": (
        lambda _body: document({"error": {"message": "The model `tiny` does not exist"}}, 404),
        UnavailableError, "does not know the model tiny", "Choose one",
    ),
    "the context": (
        lambda _body: document(
            {"error": {"message": "This model's maximum context length is 10 tokens. However, your max_tokens ...",
                       "code": "context_length_exceeded"}}, 400),
        TooLargeError, "too long for the model tiny", "Shorten",
    ),
    "the context in a stream": (
        lambda _body: stream(
            'data: {"error": {"code": 400, "type": "exceed_context_size_error", "message": "request (9 tokens)"}}\n\n'
        ),
        TooLargeError, "too long for the model tiny", "Shorten",
    ),
    "a content filter": (
        lambda _body: document(
            {"error": {"code": "content_filter", "message": "The response was filtered: violence"}}, 400
        ),
        BadInputError, "filtered: violence", "Word the question differently",
    ),
    "all filtered": (
        lambda _body: stream(event({}, "content_filter")), BadInputError, "kept the whole answer back", "Word",
    ),
    "all thoughts": (
        lambda _body: stream(event({"content": "<think>Well"}), event({}, "length")),
        UnavailableError, "used up its 1024 tokens", "max_tokens",
    ),
    "a proxy's page": (
        lambda _body: (502, {"Content-Type": "text/html"}, b"<html><h1>502 Bad Gateway</h1></html>"),
        UnavailableError, "error of its own (502)", "log",
    ),
    "in the stream, without a frame": (
        lambda _body: stream('data: {"code": 1305, "message": "overloaded"}\n\n'),
        UnavailableError, "overloaded", "log",
    ),
    "plain words": (
        lambda _body: (200, {"Content-Type": "text/plain"}, b"Model is overloaded"),
        UnavailableError, "Model is overloaded", "log",
    ),
    "another kind of fault": (
        lambda _body: document({"detail": [{"loc": ["body", "messages"], "msg": "too many"}]}, 422),
        UnavailableError, "body.messages: too many", "Check",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_a_servers_own_words_are_told(answering: AnswerService, scripted: ModelServer, case: str) -> None:
    """With what to do, without the key, without HTML."""
    script, kind, words, hint = ERRORS[case]
    scripted.script = script
    with pytest.raises(kind) as caught:
        ask(answering)
    assert words in caught.value.message
    assert hint in caught.value.hint
    assert "sk-secret" not in str(caught.value)
    assert "<" not in str(caught.value)


def test_tools_are_called(answering: AnswerService, scripted: ModelServer, knowledge: FakeKnowledge) -> None:
    """The call comes in pieces; what the tool returned reaches the model behind the question, with the passages."""
    scripted.script = capable
    events = ask(answering, tools=(TOOL,), tool_choice="auto", instructions="Order what is missing.")
    parts = [event for event in events if isinstance(event, ToolCallPart)]
    assert "".join(part.arguments for part in parts) == '{"part": "seal", "count": 2}'
    assert (parts[0].id, parts[0].name) == ("call_1", "order")
    assert end(events).message.finish_reason is FinishReason.TOOL_CALLS
    sent = scripted.requests[-1][2]
    assert sent["tools"] == [TOOL]
    assert sent["tool_choice"] == "auto"
    assert "Order what is missing." in sent["messages"][0]["content"]
    call = {"id": "call_1", "type": "function", "function": {"name": "order", "arguments": "{}"}}
    tail = (
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "2 ordered"},
    )
    events = ask(answering, tools=(TOOL,), tail=tail)
    assert text_of(events) == "The tool says: 2 ordered"
    roles = [message["role"] for message in scripted.requests[-1][2]["messages"]]
    assert roles == ["system", "user", "assistant", "tool"]
    assert "<passage" in scripted.requests[-1][2]["messages"][1]["content"]
    # A tool may be what answers a question that no document answers.
    knowledge.relevant = False
    events = ask(answering, tools=(TOOL,))
    assert any(isinstance(event, ToolCallPart) for event in events)
    assert "No passage of the documents" in scripted.requests[-1][2]["messages"][-1]["content"]


def test_json_keeps_its_brackets(answering: AnswerService, scripted: ModelServer) -> None:
    """Numbers in brackets are data there, not citations; what it was written from is told all the same."""
    scripted.script = capable
    finished = end(ask(answering, response_format={"type": "json_object"}))
    assert finished.message.text == '{"part": "seal", "months": [12]}'
    assert [citation.cited for citation in finished.message.citations] == [False, False]
    rules = scripted.requests[-1][2]["messages"][0]["content"]
    assert "square brackets" not in rules
    assert "only the JSON" in rules


def test_parameters_reach_the_server(answering: AnswerService, scripted: ModelServer) -> None:
    """As they came, but for the limit, which leaves room for the passages."""
    scripted.script = capable
    ask(answering, max_tokens=77, stop=("END",), sampling=(("temperature", 0.3), ("seed", 7)))
    sent = scripted.requests[-1][2]
    assert (sent["max_completion_tokens"], sent["stop"], sent["temperature"], sent["seed"]) == (77, ["END"], 0.3, 7)


def test_ollama_gets_them_in_its_own_words(answering: AnswerService, models: ChatModels, server: ModelServer) -> None:
    """Its options, its format, its limit; that it cannot be made to call a tool is told by name."""
    models.choose(SERVICE, BackendChoice(BackendKind.OLLAMA, server.ollama("good"), "tiny"))
    schema = {"type": "object", "properties": {"months": {"type": "integer"}}}
    form = {"type": "json_schema", "json_schema": {"name": "cover", "schema": schema}}
    ask(answering, max_tokens=77, stop=("END",), sampling=(("seed", 7),), response_format=form, tools=(TOOL,))
    sent = server.requests[-1][2]
    assert sent["options"] == {"num_ctx": 8192, "num_predict": 77, "temperature": 0.2, "seed": 7, "stop": ["END"]}
    assert sent["format"] == schema
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["order"]
    with pytest.raises(UnsupportedParameterError, match="`tool_choice` cannot be fulfilled"):
        ask(answering, tools=(TOOL,), tool_choice="required")


def test_without_a_model_forms_are_refused(answering: AnswerService) -> None:
    """Quoted sentences have no other form."""
    with pytest.raises(UnsupportedParameterError) as caught:
        ask(answering, response_format={"type": "json_object"})
    assert caught.value.parameter == "response_format"


def test_a_limit_is_kept_without_the_server(answering: AnswerService, scripted: ModelServer) -> None:
    """A server that takes no limit writes on; what the client has asked for is kept, and the end says so."""
    scripted.script = refusing("max_tokens", "max_completion_tokens")
    message = end(ask(answering, max_tokens=4)).message
    assert message.finish_reason is FinishReason.LENGTH
    assert TEXT.startswith(message.text)
    assert message.text != TEXT
    assert end(ask(answering)).message.text == TEXT


@pytest.mark.parametrize("words", ["upstream closed the stream", "the role manager has crashed"])
def test_a_failure_teaches_nothing(
    answering: AnswerService, models: ChatModels, scripted: ModelServer, words: str
) -> None:
    """Words of a crash that happen to name a part of the protocol are no refusal of it."""
    scripted.script = lambda _body: document({"error": {"message": words}}, 500)
    with pytest.raises(UnavailableError, match=words):
        ask(answering)
    scripted.script = capable
    assert end(ask(answering)).message.text == TEXT
    assert models.status().refuses == ()


def lines(*events: dict[str, Any]) -> Reply:
    return 200, {"Content-Type": "application/x-ndjson"}, "".join(json.dumps(one) + "\n" for one in events).encode()


def test_ollama_says_why_it_ended(answering: AnswerService, models: ChatModels, server: ModelServer) -> None:
    """Its reasons are passed on, its calls of tools too; a stream without an end has broken off."""
    models.choose(SERVICE, BackendChoice(BackendKind.OLLAMA, server.ollama("good"), "tiny"))
    words = {"model": "tiny", "message": {"role": "assistant", "content": TEXT}, "done": False}
    last = {"model": "tiny", "message": {"role": "assistant", "content": ""}, "done": True}
    server.script = lambda _body: lines(words, {**last, "done_reason": "length"})
    assert end(ask(answering)).message.finish_reason is FinishReason.LENGTH
    server.script = lambda _body: lines(words)
    with pytest.raises(UnavailableError, match="broke off"):
        ask(answering)
    call = {"function": {"name": "order", "arguments": {"part": "seal"}}}
    server.script = lambda _body: lines(
        {**words, "message": {"role": "assistant", "content": "", "tool_calls": [call]}},
        {**last, "done_reason": "stop"},
    )
    events = ask(answering, tools=(TOOL,))
    (part,) = [event for event in events if isinstance(event, ToolCallPart)]
    assert (part.name, json.loads(part.arguments)) == ("order", {"part": "seal"})
    assert end(events).message.finish_reason is FinishReason.TOOL_CALLS
    server.script = lambda _body: document({"error": "registry.ollama.ai/library/tiny does not support tools"}, 400)
    with pytest.raises(UnsupportedParameterError, match="`tools` cannot be fulfilled"):
        ask(answering, tools=(TOOL,))
    server.script = lambda _body: document({"error": "model requires more system memory (9 GiB)"}, 500)
    with pytest.raises(UnavailableError, match="requires more system memory"):
        ask(answering)
