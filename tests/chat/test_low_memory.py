from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from services.chat.answer_service import AnswerService
from services.chat.conversations import Conversations
from services.chat.models import ChatModels, gguf_server
from services.chat.types import BackendChoice, BackendKind
from services.core.actor import SERVICE
from services.core.admission import LONG_CHARACTERS, Admission, Gate, MemoryHeadroom
from services.core.database import Database
from services.core.errors import UnavailableError
from services.core.machine import MEGABYTE
from services.core.preferences import Preferences
from services.core.settings import Settings
from tests.chat.conftest import FakeKnowledge

LONG = "Which seals are covered, and for how long? " * 30
SHORT = "How long are seals covered?"


def test_while_memory_is_short_long_questions_store_nothing(
    conversations: Conversations, models: ChatModels, knowledge: FakeKnowledge, settings: Settings
) -> None:
    """A refused question would stand in the conversation as if it had been asked; a short one would be refused too."""
    assert len(LONG) > LONG_CHARACTERS
    admission = Admission()
    answering = AnswerService(conversations, models, knowledge, settings, rss=lambda: 0, admission=admission)
    try:
        conversation = conversations.create(SERVICE).id
        list(answering.ask(SERVICE, conversation, LONG))
        before = len(conversations.messages(SERVICE, conversation))
        admission.close(Gate.LONG_QUESTIONS, "budget", "Short of memory.", "Ask something shorter.")
        for ask in (partial(answering.ask, SERVICE), partial(answering.edit, SERVICE)):
            with pytest.raises(UnavailableError, match="Short of memory"):
                list(ask(conversation, LONG))
        with pytest.raises(UnavailableError, match="Short of memory"):
            list(answering.regenerate(SERVICE, conversation))
        assert len(conversations.messages(SERVICE, conversation)) == before
        list(answering.ask(SERVICE, conversation, SHORT))
        assert len(conversations.messages(SERVICE, conversation)) == before + 2
    finally:
        answering.close()


def test_a_local_model_is_loaded_only_where_there_is_room(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading takes hundreds of megabytes in a second or two: the process would be killed before it was through."""
    file = tmp_path / "small.gguf"
    file.write_bytes(gguf_server.MAGIC + bytes(10 * MEGABYTE))
    room = [MemoryHeadroom(0, 90 * MEGABYTE)]
    admission = Admission()
    admission.set_headroom_source(lambda: room[0])
    loaded: list[int] = []

    def load(*_arguments: object) -> None:
        loaded.append(admission.reserved)
        raise UnavailableError("Not a real model.")

    monkeypatch.setattr(gguf_server, "GGUFServer", load)
    settings = Settings(data_dir=tmp_path, gguf_context_tokens=4096)
    models = ChatModels(Preferences(database), settings, admission=admission)
    try:
        models.choose(SERVICE, BackendChoice(BackendKind.GGUF, path=str(file)))

        for _number in range(5):  # a shortage is not the model's fault: its breaker stays closed
            with pytest.raises(UnavailableError, match="The local model needs about 106 MB"):
                models.backend()
        assert loaded == []
        room[0] = MemoryHeadroom(0, 200 * MEGABYTE)
        with pytest.raises(UnavailableError, match="Not a real model"):
            models.backend()
        assert loaded == [10 * MEGABYTE + 4 + 4096 * 24 * 1024]
        assert admission.reserved == 0
    finally:
        models.close()
