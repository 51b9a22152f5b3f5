"""The weights of the embedding model: there while they are needed, let go when they are not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch


class Encoder(Protocol):
    """Token ids in, pooled vectors out; called by several threads at once."""

    dimension: int
    device: torch.device

    @property
    def bytes(self) -> int: ...
    def ranges(self) -> tuple[tuple[int, int], ...]: ...
    def forward(self, sequences: Sequence[Sequence[int]], give_way: Callable[[], None]) -> torch.Tensor: ...


class Weights:
    """One encoder, read again by `load` when it was let go; without `load` it stays. Thread-safe."""

    def __init__(self, encoder: Encoder, load: Callable[[], Encoder] | None = None) -> None:
        self._load = load
        self._lock = threading.Lock()  # held while it is loaded
        self._encoder: Encoder | None = encoder
        self._users = 0
        self._used = time.monotonic()
        self._ranges = encoder.ranges()  # weights do not move
        self.loads = 0  # how often it was read again

    @property
    def bytes(self) -> int:
        """Bytes of the weights, 0 while they are not there."""
        encoder = self._encoder
        return encoder.bytes if encoder is not None else 0

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """Where they lie in this process's RAM."""
        return self._ranges if self._encoder is not None else ()

    @contextmanager
    def in_use(self) -> Iterator[Encoder]:
        """Keep the weights there meanwhile; the first after a release waits until they are read."""
        with self._lock:
            encoder = self._encoder
            if encoder is None:
                assert self._load is not None  # noqa: S101 - nothing is let go without it
                encoder = self._encoder = self._load()
                self._ranges = encoder.ranges()
                self.loads += 1
            self._users += 1
        try:
            yield encoder
        finally:
            with self._lock:
                self._users -= 1
                self._used = time.monotonic()

    def release(self, idle_seconds: float = 0.0) -> int:
        """Let the weights go if nobody uses them, and has not for `idle_seconds`; return their bytes."""
        with self._lock:
            encoder = self._encoder
            idle = time.monotonic() - self._used >= idle_seconds
            if encoder is None or self._load is None or self._users or not idle:
                return 0
            self._encoder, self._ranges = None, ()
            return encoder.bytes
