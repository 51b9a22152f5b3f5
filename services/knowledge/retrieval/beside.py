"""Lexical search in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

Matches = dict[int, dict[str, float]]


class LexicalSearch:
    """A lexical search under way: the database works beside the embedder. `ms` is what it took."""

    def __init__(self, find: Callable[[], Matches]) -> None:
        self.ms = 0.0
        self._find = find
        self._found: Matches = {}
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="lexical-search")
        self._thread.start()

    def result(self) -> Matches:
        """Wait for it; returns the terms' scores by chunk, or raises what went wrong."""
        self._thread.join()
        if self._error:
            raise self._error
        return self._found

    def _run(self) -> None:
        started = time.perf_counter()
        try:
            self._found = self._find()
        except BaseException as error:  # noqa: BLE001 - raised again by `result`, in the thread that asked
            self._error = error
        self.ms = (time.perf_counter() - started) * 1000
