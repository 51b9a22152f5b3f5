"""Local variables and thread-locals of running threads, carried over a fork.

A forked child has only its own thread. The interpreter clears the thread-locals of the others there, and their frames
must not be touched: the memory of their stacks may be gone. So the forking thread references these objects immediately
before the fork and releases them right after it in this process; only the child keeps them.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from services.memory import fork_snapshot

_OPTIMIZED = 0x1  # CO_OPTIMIZED: reading the locals makes a copy
_MOST_FRAMES = 60
_SCAN_SECONDS = 60.0


@dataclass(slots=True)
class ThreadLocals:
    """Objects carried over the fork.

    `variables` are (thread name, function, variable, object), `contents` are (thread-local object, dictionary of one
    thread).
    """

    thread: int
    variables: list[tuple[str, str, str, object]] = field(default_factory=list)
    contents: list[tuple[object, dict[str, object]]] = field(default_factory=list)

    def hidden(self) -> set[int]:
        """Return the addresses of its own containers, which must not show up as referrers."""
        own = {id(self), id(self.variables), id(self.contents)}
        return own | {id(entry) for entry in self.variables} | {id(entry) for entry in self.contents}


class _ThreadLocalScan:
    """Fills `ThreadLocals` at the fork of the thread that requested it."""

    def __init__(self) -> None:
        self.requested: ThreadLocals | None = None
        self._locals: list[weakref.ref[threading.local]] = []
        self._scanned = -_SCAN_SECONDS

    def scan(self) -> None:
        """Find the thread-local objects: Python has no list of them, so what refers to their types is looked for.

        Once a minute; stops all threads for 20 ms per million objects.
        """
        if time.monotonic() - self._scanned < _SCAN_SECONDS:
            return
        self._scanned = time.monotonic()
        kinds = _with_subclasses(threading.local)
        known = set(map(id, kinds))
        self._locals = [weakref.ref(value) for value in gc.get_referrers(*kinds) if id(type(value)) in known]

    def capture(self) -> None:
        """Fill the requested `ThreadLocals` (before the fork)."""
        requested = self.requested
        if requested is None or requested.thread != threading.get_ident():
            return
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        frames = sys._current_frames()  # noqa: SLF001 - the documented way to see other threads
        # Keeping this call's own frame in a variable would close a cycle, which keeps alive all that its callers hold
        # until the next collection.
        _collect_frames(names.get(requested.thread) or "", _caller(frames.pop(requested.thread)), requested.variables)
        for ident, frame in frames.items():
            _collect_frames(names.get(ident) or str(ident), frame, requested.variables)
        for reference in self._locals:
            value = reference()
            if value is not None:
                requested.contents.extend((value, content) for content in _thread_dictionaries(value))

    def release(self) -> None:
        """Empty it in this process (after the fork)."""
        requested = self.requested
        if requested is not None and requested.thread == threading.get_ident():
            requested.variables.clear()
            requested.contents.clear()


_scan = _ThreadLocalScan()
_lock = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_scan.capture, after_in_parent=_scan.release)


@contextmanager
def carry_thread_locals() -> Iterator[ThreadLocals]:
    """Carry thread-locals over the fork that this thread makes inside the block; in this process it stays empty."""
    with _lock:
        _scan.scan()
        carried = _scan.requested = ThreadLocals(threading.get_ident())
        try:
            yield carried
        finally:
            _scan.requested = None


def _collect_frames(thread: str, frame: FrameType | None, found: list[tuple[str, str, str, object]]) -> None:
    for _depth in range(_MOST_FRAMES):
        if frame is None:
            return
        values = frame.f_locals
        function = _function_name(frame)
        found.extend((thread, function, name, value) for name, value in values.items())
        if frame.f_code.co_flags & _OPTIMIZED and type(values) is dict:
            # Up to Python 3.12 the copy stays with the frame and would keep alive what the function releases.
            values.clear()
        frame = frame.f_back


def _caller(frame: FrameType) -> FrameType | None:
    """Return the innermost frame that is not part of the inspection itself."""
    found: FrameType | None = frame
    while found is not None and _module(found).startswith(
        (__package__ or __name__, fork_snapshot.__name__, contextlib.__name__)
    ):
        found = found.f_back
    return found


def _function_name(frame: FrameType) -> str:
    module = _module(frame)
    return f"{module}.{frame.f_code.co_qualname}" if module else frame.f_code.co_qualname


def _module(frame: FrameType) -> str:
    name = frame.f_globals.get("__name__")
    return name if type(name) is str else ""


def _with_subclasses(kind: type[Any]) -> list[type[Any]]:
    return [kind, *(found for child in type.__subclasses__(kind) for found in _with_subclasses(child))]


def _thread_dictionaries(value: threading.local) -> list[dict[str, object]]:
    """Return the dictionaries that the threads have in a thread-local object."""
    tables = [table for table in gc.get_referents(value) if type(table) is dict]
    return [content for table in tables for content in table.values() if type(content) is dict]
