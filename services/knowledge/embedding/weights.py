"""The weights of the embedding model: there while they are needed, let go when they are not.

How many cores this process may use.

Which device and which arithmetic the embedding model runs with.

Questions go before ingestion: batch work stops between two operations while a question is under way.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch

from services.core.errors import UnavailableError
from services.core.i18n import _
from services.core.settings import MEGABYTE

# A batch gives way for at most this long in all, so that a flood of questions cannot stop ingestion for good.
PATIENCE_SECONDS = 3.0


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


def usable_cores() -> int:
    """Return the number of cores that the scheduler lets this process use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_device(wanted: str) -> torch.device:
    """Return the device for the setting `wanted` (auto, cpu, cuda).

    Raises:
        UnavailableError: CUDA is wanted and there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UnavailableError(
            _("Embeddings are set to run on CUDA, but there is no usable GPU."),
            _("Set MILLPOND_EMBEDDING_DEVICE to auto, or install a GPU build of torch as the README describes."),
        )
    return torch.device("cpu" if wanted == "cpu" or not torch.cuda.is_available() else "cuda")


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """Return the arithmetic for the setting `wanted` (auto, float32, bfloat16, float16, int8).

    auto takes half precision where the hardware multiplies it: about twice as fast, and rankings do not change. On a
    GPU that is float16, which is closer to the exact vectors than bfloat16. int8 is about how weights are kept; what
    is computed with is then as for auto.
    """
    if wanted in {"auto", "int8"}:
        if device.type == "cuda":
            return torch.float16
        return torch.bfloat16 if _cpu_multiplies_bfloat16() else torch.float32
    return {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(wanted, torch.float32)


def cap_gpu_memory(device: torch.device, megabytes: int) -> None:
    """Have torch take at most `megabytes` of the GPU's memory (0: as much as there is); nothing without a GPU."""
    if device.type == "cuda" and megabytes:
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, megabytes * MEGABYTE / total), device)


def choose_threads(wanted: int) -> int:
    """Return the number of threads for the setting `wanted`; 0 means one per core that this process may use."""
    return wanted or usable_cores()


def _cpu_multiplies_bfloat16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


class Priority:
    """Tells batch work when a question is under way; thread-safe."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._urgent = 0

    @contextmanager
    def urgent(self) -> Iterator[None]:
        """Hold batch work back while the block runs."""
        with self._condition:
            self._urgent += 1
        try:
            yield
        finally:
            with self._condition:
                self._urgent -= 1
                if not self._urgent:
                    self._condition.notify_all()

    def batch(self) -> Batch:
        """Return what one batch of work calls between its operations."""
        return Batch(self)

    def wait(self, timeout_seconds: float) -> float:
        """Wait until no question is under way; return how long that took, in seconds."""
        if not self._urgent:
            return 0.0
        started = time.monotonic()
        with self._condition:
            self._condition.wait_for(lambda: not self._urgent, timeout_seconds)
        return time.monotonic() - started


class Batch:
    """One batch's patience with questions."""

    def __init__(self, priority: Priority) -> None:
        self._priority = priority
        self._patience_seconds = PATIENCE_SECONDS

    def give_way(self) -> None:
        """Return at once when no question is under way; else wait for it, as long as there is patience left."""
        if self._patience_seconds > 0:
            self._patience_seconds -= self._priority.wait(self._patience_seconds)


def never() -> None:
    """Give way to nobody: what a question calls where a batch calls `Batch.give_way`."""
