"""The child process of an experiment: the real services over an empty folder, under the usual workload.

Run as `python -m services.app.gc_experiment_child` by `services.memory.gc_experiment`. Questions, answers, uploads and
deletions are those of the services. A run of a page is not: the shell is not part of a child. What matters of it to the
collector is simulated: the services are queried for what pages show, a tree of as many objects that refer to each other
is built, and each tab's tree is kept until that tab runs a page again. That is less work than a real run, so the share
of time that collections take is overestimated rather than underestimated.
"""

from __future__ import annotations

import io
import random
from collections import deque

from services.core.actor import SERVICE
from services.core.errors import TimedOutError
from services.core.settings import Settings
from services.memory.gc_experiment.child import ChildOrders, run_child_main
from services.memory.gc_experiment.types import Operation, OperationKind

TABS = 30
# A run of a page of this service leaves 450 to 1,500 objects that only the collector can free (Streamlit 1.67, counted
# between two full collections around one run of each page).
TREE_OBJECTS = 800
_WORDS = 4000
_WORD_LETTERS = (2, 11)
_DOCUMENTS = 12  # that are there before anything is measured
_DOCUMENT_BYTES = 2000
_UPLOAD_SECONDS = 120.0


class PageNode:
    """An element of a page: knows its parent and its children, so that only the collector can free it."""

    __slots__ = ("children", "parent", "value")

    def __init__(self, parent: PageNode | None, value: str) -> None:
        self.parent = parent
        self.value = {"text": value, "style": [value]}
        self.children: list[PageNode] = []
        if parent is not None:
            parent.children.append(self)


class Service:
    """Performs operations on services of its own."""

    def __init__(self, orders: ChildOrders) -> None:
        import structlog

        from services.app.startup import Application

        # What is logged would go nowhere.
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
        self._chance = random.Random(orders.seed)  # noqa: S311 - must be the same each time
        self._words = ["".join(self._letters()) for _number in range(_WORDS)]
        self._documents: deque[int] = deque()
        self._tabs: deque[PageNode] = deque(maxlen=TABS)
        self._application = Application(Settings(data_dir=orders.folder, **orders.service), watched=False)
        self._services = self._application.start()
        for _number in range(_DOCUMENTS):
            self._upload(_DOCUMENT_BYTES)
        for _number in range(TABS):
            self._page()

    def perform(self, operation: Operation) -> None:
        """Do one thing."""
        kind, size = operation
        if kind is OperationKind.PAGE:
            self._page()
        elif kind is OperationKind.QUESTION:
            self._services.retriever.search(SERVICE, self._text(size))
        elif kind is OperationKind.ANSWER:
            self._answer(size)
        elif kind is OperationKind.UPLOAD:
            self._upload(size)
        elif self._documents:
            self._services.library.delete(SERVICE, [self._documents.popleft()])

    def close(self) -> None:
        """Close the services."""
        self._application.close()

    def _answer(self, size: int) -> None:
        from services.chat.types import MessageRole

        for _event in self._services.answers.complete(
            SERVICE, [(MessageRole.USER, self._text(size))], user="experiment"
        ):
            pass

    def _upload(self, size: int) -> None:
        text = self._text(size).encode()
        self._documents.append(self._services.library.add(SERVICE, io.BytesIO(text), "experiment.txt").document.id)
        if not self._services.ingestion.wait_idle(_UPLOAD_SECONDS):
            raise TimedOutError("The queue was never empty.")

    def _page(self) -> None:
        services = self._services
        texts = [document.name for document in services.library.documents(SERVICE, limit=50)]
        texts += [event.detail for event in services.events.between(0.0, services.clock.time(), 50)]
        texts.append(str(services.library.counts(SERVICE)))
        root = PageNode(None, "page")
        level = [root]
        for number in range(TREE_OBJECTS // 4):  # a node has a mapping and two lists of its own
            level.append(PageNode(level[number // 8], texts[number % len(texts)]))
        self._tabs.append(root)

    def _text(self, size: int) -> str:
        """Return about `size` characters of words that mean nothing."""
        words: list[str] = []
        length = 0
        while length < max(1, size):
            words.append(self._chance.choice(self._words))
            length += len(words[-1]) + 1
            if len(words) % 12 == 0:
                words[-1] += "."
        return " ".join(words)

    def _letters(self) -> list[str]:
        return self._chance.choices("aeiourstlnmdk", k=self._chance.randint(*_WORD_LETTERS))


if __name__ == "__main__":
    run_child_main(Service)
