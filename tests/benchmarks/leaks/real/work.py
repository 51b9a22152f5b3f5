"""What the service does all day while a scenario goes on: questions, answers, uploads, deletions."""

from __future__ import annotations

import io
import itertools
from collections import deque

from services.app.container import Services
from services.core.actor import SERVICE
from services.core.settings import Settings
from tests.benchmarks.leaks.real.scenario import text

DOCUMENTS = 40
ANSWER_EACH = 8
UPLOAD_EACH = 12
CONVERSATION_ANSWERS = 10


class Work:
    """Uses a running service as people do. `requests` counts what was served."""

    def __init__(self, services: Services) -> None:
        self.requests = 0
        self._runtime = services
        self._numbers = itertools.count()
        self._documents: deque[int] = deque()
        self._conversation = ""
        for _ in range(DOCUMENTS):
            self._upload()
        services.ingestion.wait_idle(120)

    def request(self) -> None:
        """Serve one request."""
        number = self.requests
        self.requests += 1
        self._runtime.retriever.search(SERVICE, f"How many sacks came on day {number % 500}?")
        if number % ANSWER_EACH == 0:
            self._answer(number)
        if number % UPLOAD_EACH == 0:
            self._upload()
            self._runtime.library.delete(SERVICE, [self._documents.popleft()])

    def _upload(self) -> None:
        number = next(self._numbers)
        file = io.BytesIO(text(number, 1_000 + number % 7 * 700).encode())
        self._documents.append(self._runtime.library.add(SERVICE, file, f"day-{number}.txt").document.id)

    def _answer(self, number: int) -> None:
        conversations = self._runtime.conversations
        if number % (ANSWER_EACH * CONVERSATION_ANSWERS) == 0:
            if self._conversation:
                conversations.delete(SERVICE, self._conversation)
            self._conversation = conversations.create(SERVICE).id
        for _event in self._runtime.answers.ask(SERVICE, self._conversation, f"Who came to the mill on day {number}?"):
            pass


def settings(folder: object) -> Settings:
    """Return the settings of a service in `folder`, quiet and with one thread for embedding."""
    return Settings(data_dir=folder, embedding_threads=1, embedding_cache_mb=0, answer_cache_mb=0, log_level="error")  # type: ignore[arg-type] # pydantic's
