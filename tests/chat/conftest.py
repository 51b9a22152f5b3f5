from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services.chat.answer_service import AnswerService
from services.chat.conversations import Conversations
from services.chat.models import ChatModels
from services.core.actor import Actor
from services.core.database import Database
from services.core.preferences import Preferences
from services.core.settings import Settings
from tests.chat.model_server import ModelServer, model_server
from tests.databases import database_settings


@dataclass(frozen=True)
class APassage:
    chunk_id: int
    document_id: int
    document: str
    text: str
    score: float = 0.5
    page: int | None = None
    sheet: str = ""
    heading: tuple[str, ...] = ()


@dataclass(frozen=True)
class AQuote:
    hit: int
    text: str
    shown: str = ""
    label: str = ""
    also: Sequence[int] = ()


@dataclass(frozen=True)
class SomeQuotes:
    hits: Sequence[APassage]
    quotes: Sequence[AQuote]
    kind: str = "open"
    document: str = ""
    entries: int = 0
    complete: bool = True


@dataclass(frozen=True)
class ACorrection:
    typed: str
    read: str


@dataclass(frozen=True)
class Results:
    hits: Sequence[APassage]
    relevant: bool = True
    corrections: Sequence[ACorrection] = ()


SEALS = APassage(11, 1, "pump manual.pdf", "Check the oil weekly. Seals are covered for 12 months [7].", 0.9, page=3)
VALVES = APassage(12, 1, "pump manual.pdf", "Valves are covered for 24 months. Call us on weekdays.", 0.7, page=4)


@dataclass
class FakeKnowledge:
    """Returns the same passages for any question; records the questions, and can be made to wait."""

    hits: Sequence[APassage] = (SEALS, VALVES)
    relevant: bool = True
    quoted: Sequence[AQuote] = (AQuote(1, "Valves are covered for 24 months."), AQuote(0, "Check the oil weekly."))
    asked: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    entered: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)
    held_up: bool = False
    error: Exception | None = None

    def passages(self, actor: Actor, question: str, collection_ids: Sequence[int]) -> Results:  # noqa: ARG002
        self.asked.append((question, tuple(collection_ids)))
        self.entered.set()
        if self.held_up:
            assert self.release.wait(20)
        if self.error:
            raise self.error
        return Results(self.hits, self.relevant)

    def quotes(self, actor: Actor, question: str, passages: Results, limit: int) -> SomeQuotes:  # noqa: ARG002
        return SomeQuotes(self.hits, self.quoted[:limit] if passages.relevant else ())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path,
        **database_settings(tmp_path),
        ollama_url="http://127.0.0.1:9",
        gguf_context_tokens=1024,
    )


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    database = Database(settings.effective_database_url)
    database.create_tables()
    yield database
    database.close()


@pytest.fixture
def conversations(database: Database, settings: Settings) -> Conversations:
    return Conversations(database, settings)


@pytest.fixture
def models(database: Database, settings: Settings) -> Iterator[ChatModels]:
    models = ChatModels(Preferences(database), settings)
    yield models
    models.close()


@pytest.fixture
def knowledge() -> FakeKnowledge:
    return FakeKnowledge()


@pytest.fixture
def answering_with(
    conversations: Conversations, models: ChatModels, knowledge: FakeKnowledge, settings: Settings
) -> Iterator[Callable[..., AnswerService]]:
    made: list[AnswerService] = []

    def make(**changes: object) -> AnswerService:
        made.append(
            AnswerService(
                conversations, models, knowledge, settings.model_copy(update=changes), rss=lambda: 100_000_000
            )
        )
        return made[-1]

    yield make
    for answering in made:
        answering.close()


@pytest.fixture
def answering(answering_with: Callable[..., AnswerService]) -> AnswerService:
    return answering_with()


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with model_server() as server:
        yield server


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """No answer's thread outlives its test."""
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name == "answer"] == []
