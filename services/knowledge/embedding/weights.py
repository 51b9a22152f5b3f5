"""Weights of the embedding model, loaded on demand, and the priority of questions over batches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

# A batch waits for questions at most this long in all, so that a flood of them cannot stop ingestion.
PATIENCE_SECONDS = 3.0


class TokenEncoder(Protocol):
    """A transformer with pooling: token ids in, vectors out. Thread-safe.

    `ranges` are (address, length in bytes) of weights in this process.
    """

    dimension: int
    on_cpu: bool

    @property
    def bytes(self) -> int: ...
    def ranges(self) -> tuple[tuple[int, int], ...]: ...
    def forward(self, sequences: Sequence[Sequence[int]], yield_turn: Callable[[], None]) -> NDArray[np.float32]:
        """Return the pooled vectors of token id sequences, float32 (n, d), not normalised.

        Raises:
            DeviceMemoryError: the device has no room for so many at once.
        """


@runtime_checkable
class JoiningEncoder(Protocol):
    """A `TokenEncoder` that computes short texts of several lengths together, as questions of one moment are."""

    def forward_together(self, sequences: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """As `TokenEncoder.forward`, without giving way."""


class DeviceMemoryError(Exception):
    """A device has no memory left for a batch; a smaller one may fit."""


class Weights:
    """One encoder, read again by `load` after `release`; without `load` it is never released. Thread-safe."""

    def __init__(self, encoder: TokenEncoder, load: Callable[[], TokenEncoder] | None = None) -> None:
        self._load = load
        self._lock = threading.Lock()  # held while weights are loaded
        self._encoder: TokenEncoder | None = encoder
        self._users = 0
        self._last_use = time.monotonic()
        self._ranges = encoder.ranges()  # weights do not move
        self.loads = 0  # how often the weights were read again

    @property
    def bytes(self) -> int:
        """Bytes of the weights, 0 while they are released."""
        encoder = self._encoder
        return encoder.bytes if encoder is not None else 0

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """Memory ranges of the weights in this process: (address, length in bytes)."""
        return self._ranges if self._encoder is not None else ()

    @contextmanager
    def in_use(self) -> Iterator[TokenEncoder]:
        """Yield the encoder and keep it loaded meanwhile; the first caller after a release waits until it is read."""
        with self._lock:
            encoder = self._encoder
            if encoder is None:
                assert self._load is not None  # noqa: S101 - never released without it
                encoder = self._encoder = self._load()
                self._ranges = encoder.ranges()
                self.loads += 1
            self._users += 1
        try:
            yield encoder
        finally:
            with self._lock:
                self._users -= 1
                self._last_use = time.monotonic()

    def release(self, idle_seconds: float = 0.0) -> int:
        """Release the weights if they have not been in use for `idle_seconds`; return their bytes."""
        with self._lock:
            encoder = self._encoder
            idle = time.monotonic() - self._last_use >= idle_seconds
            if encoder is None or self._load is None or self._users or not idle:
                return 0
            self._encoder, self._ranges = None, ()
            return encoder.bytes


def checked(load: Callable[[], TokenEncoder], check: Callable[[], None]) -> Callable[[], TokenEncoder]:
    """Return `load` with a check that its files were not changed while they were read."""

    def loadchecked() -> TokenEncoder:
        encoder = load()
        check()
        return encoder

    return loadchecked


class Priority:
    """Pauses batches between two operations while questions are being answered; thread-safe."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._urgent = 0

    @contextmanager
    def urgent(self) -> Iterator[None]:
        """Pause batches while the block runs."""
        with self._condition:
            self._urgent += 1
        try:
            yield
        finally:
            with self._condition:
                self._urgent -= 1
                if not self._urgent:
                    self._condition.notify_all()

    def new_turn(self) -> BatchTurn:
        """Return the turn of one batch, which it calls between its operations."""
        return BatchTurn(self)

    def wait(self, timeout_seconds: float) -> float:
        """Wait until no question is being answered, at most `timeout_seconds`; return the seconds waited."""
        if not self._urgent:
            return 0.0
        started = time.monotonic()
        with self._condition:
            self._condition.wait_for(lambda: not self._urgent, timeout_seconds)
        return time.monotonic() - started


class BatchTurn:
    """The turn of one batch: it waits for questions, `PATIENCE_SECONDS` in all."""

    def __init__(self, priority: Priority) -> None:
        self._priority = priority
        self._patience_seconds = PATIENCE_SECONDS

    def yield_to_questions(self) -> None:
        """Return at once when no question is being answered; else wait for it, as long as patience is left."""
        if self._patience_seconds > 0:
            self._patience_seconds -= self._priority.wait(self._patience_seconds)


def never_yield() -> None:
    """Do not wait: a question calls this where a batch calls `BatchTurn.yield_to_questions`."""
