"""An answer in progress, as its reader holds it: an iterator that can be closed from any thread."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from types import TracebackType
from typing import Self

from services.chat.types import AnswerEvent
from services.scopes.cancellation import Cancellation


class Answer(Iterator[AnswerEvent]):
    """Yields the events of one answer. Nothing happens before the first event is asked for.

    A plain generator cannot be closed while another thread waits in it; this can. Dropping it closes it too.
    """

    def __init__(self, steps: Generator[AnswerEvent, None, None], cancellation: Cancellation) -> None:
        self._steps = steps
        self._cancellation = cancellation
        self._reading = threading.Lock()

    def __next__(self) -> AnswerEvent:
        with self._reading:
            return next(self._steps)

    def cancel(self) -> None:
        """Tell the answer to stop and return at once; its reader stores what there is."""
        self._cancellation.cancel()

    def close(self) -> None:
        """Stop the answer; when this returns, its thread, connection and slot are gone and the text is stored."""
        self._cancellation.cancel()
        with self._reading:
            self._steps.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
