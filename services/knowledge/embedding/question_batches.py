"""Questions that come at the same time are embedded together: one pass over the weights for all of them.

A question that comes while nothing is computed begins at once. While a batch is computed, those that come wait for
company, at most `GATHER_SECONDS`; then a second thread begins with what has gathered, as long as there are cores.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.core.errors import UnavailableError
from services.core.i18n import _

Vectors = NDArray[np.float32]

GATHER_SECONDS = 0.003
# Most questions of one batch: more of them are hardly faster each, and the first waits for the last.
MOST_TOGETHER = 16


@dataclass(slots=True)
class _Question:
    """A text that is to be embedded, since when it waits, and those who wait for its vector."""

    text: str
    since: float
    future: Future[Vectors] = field(default_factory=Future)


class QuestionBatches:
    """Computes texts in threads of its own, several at once where several wait. Thread-safe."""

    def __init__(self, compute: Callable[[Sequence[str]], Vectors], threads: int) -> None:
        """`compute` returns the vectors of texts, (n, d); `threads` of them may compute at once."""
        self._compute = compute
        self._most_threads = max(1, threads)
        self._changed = threading.Condition()
        self._waiting: deque[_Question] = deque()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._running = 0
        self._closed = False

    def submit(self, texts: Sequence[str]) -> list[Future[Vectors]]:
        """Return the vectors of texts, each (d,), as they will be; at once, from any thread.

        Raises:
            UnavailableError: the model is closed.
        """
        now = time.monotonic()
        questions = [_Question(text, now) for text in texts]
        with self._changed:
            if self._closed:
                raise UnavailableError(_("Millpond is being closed."), _("Start it again afterwards."))
            self._waiting.extend(questions)
            if not self._idle and len(self._threads) < self._most_threads:
                thread = threading.Thread(
                    target=self._run, name=f"question-embedding-{len(self._threads)}", daemon=True
                )
                self._threads.append(thread)
                thread.start()
            else:
                self._changed.notify()
        return [question.future for question in questions]

    def close(self) -> None:
        """End the threads when what waits is computed."""
        with self._changed:
            self._closed = True
            threads, self._threads = self._threads, []
            self._changed.notify_all()
        for thread in threads:
            thread.join()

    def _run(self) -> None:
        while batch := self._next_batch():
            try:
                self._answer(batch)
            finally:
                with self._changed:
                    self._running -= 1
                    self._changed.notify()

    def _next_batch(self) -> list[_Question]:
        """Wait for questions and return those that are computed next; none: it is to end."""
        with self._changed:
            while True:
                if not self._waiting:
                    if self._closed:
                        return []
                    self._wait(None)
                    continue
                waited = time.monotonic() - self._waiting[0].since
                if not self._running or waited >= GATHER_SECONDS or len(self._waiting) >= MOST_TOGETHER:
                    break
                self._wait(GATHER_SECONDS - waited)
            self._running += 1
            return [self._waiting.popleft() for _number in range(min(len(self._waiting), MOST_TOGETHER))]

    def _wait(self, seconds: float | None) -> None:
        self._idle += 1
        try:
            self._changed.wait(seconds)
        finally:
            self._idle -= 1

    def _answer(self, batch: Sequence[_Question]) -> None:
        """Compute a batch; where that fails, each of it by itself, so that one does not fail the others."""
        texts = list(dict.fromkeys(question.text for question in batch))
        try:
            vectors = dict(zip(texts, self._compute(texts), strict=True))
        except Exception as error:  # noqa: BLE001 - whoever asked gets it
            if len(texts) == 1:
                for question in batch:
                    question.future.set_exception(error)
            else:
                for question in batch:
                    self._answer([question])
            return
        for question in batch:
            question.future.set_result(vectors[question.text])
