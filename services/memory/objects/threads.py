"""What the running threads hold: local variables and thread-locals, carried over the fork.

A forked child has no other thread than its own. The interpreter clears the thread-locals of the others there, and their
frames must not be touched: the memory of their stacks may be gone. So the forking thread takes hold of these objects at
the very last moment before the fork, and lets go of them right after it in this process; only the child keeps them.
"""

from __future__ import annotations

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

_OPTIMIZED = 0x1  # CO_OPTIMIZED: the locals are no dictionary of their own; reading them makes a copy
_MOST_FRAMES = 60
_SCAN_SECONDS = 60.0


@dataclass(slots=True)
class ThreadLocals:
    """What was taken over the fork.

    `variables` are (name of thread, function, variable, object), `contents` are (thread-local object, dictionary of one
    thread).
    """

    thread: int
    variables: list[tuple[str, str, str, object]] = field(default_factory=list)
    contents: list[tuple[object, dict[str, object]]] = field(default_factory=list)

    def hidden(self) -> set[int]:
        """Return the addresses of its own containers, which are no holders that a person should see."""
        own = {id(self), id(self.variables), id(self.contents)}
        return own | {id(entry) for entry in self.variables} | {id(entry) for entry in self.contents}


class _ThreadLocalScan:
    """Fills `ThreadLocals` at the fork of the thread that asked for it."""

    def __init__(self) -> None:
        self.wanted: ThreadLocals | None = None
        self._locals: list[weakref.ref[threading.local]] = []
        self._scanned = -_SCAN_SECONDS

    def scan(self) -> None:
        """Find the thread-local objects; Python keeps no list of them, so this walks over all objects now and then."""
        if time.monotonic() - self._scanned < _SCAN_SECONDS:
            return
        self._scanned = time.monotonic()
        kinds = {id(kind) for kind in _with_subclasses(threading.local)}
        self._locals = [weakref.ref(value) for value in gc.get_objects() if id(type(value)) in kinds]

    def take(self) -> None:
        wanted = self.wanted
        if wanted is None or wanted.thread != threading.get_ident():
            return
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        frames = sys._current_frames()  # noqa: SLF001 - the documented way to see other threads
        # A variable with this call's own frame would close a cycle, which keeps all that its callers hold until it is
        # collected.
        _take_frames(names.get(wanted.thread) or "", _caller(frames.pop(wanted.thread)), wanted.variables)
        for ident, frame in frames.items():
            _take_frames(names.get(ident) or str(ident), frame, wanted.variables)
        for reference in self._locals:
            value = reference()
            if value is not None:
                wanted.contents.extend((value, content) for content in _contents(value))

    def let_go(self) -> None:
        wanted = self.wanted
        if wanted is not None and wanted.thread == threading.get_ident():
            wanted.variables.clear()
            wanted.contents.clear()


_carrier = _ThreadLocalScan()
_turn = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_carrier.take, after_in_parent=_carrier.let_go)


@contextmanager
def carrying() -> Iterator[ThreadLocals]:
    """Carry what threads hold over the fork that this thread makes inside of the block; here it stays empty."""
    with _turn:
        _carrier.scan()
        carried = _carrier.wanted = ThreadLocals(threading.get_ident())
        try:
            yield carried
        finally:
            _carrier.wanted = None


def _take_frames(thread: str, frame: FrameType | None, found: list[tuple[str, str, str, object]]) -> None:
    for _depth in range(_MOST_FRAMES):
        if frame is None:
            return
        values = frame.f_locals
        function = _function_name(frame)
        found.extend((thread, function, name, value) for name, value in values.items())
        if frame.f_code.co_flags & _OPTIMIZED and type(values) is dict:
            # Up to Python 3.12 the copy stays with the frame and would keep alive what the function lets go.
            values.clear()
        frame = frame.f_back


def _caller(frame: FrameType) -> FrameType | None:
    """Return the innermost frame that is not part of the look itself."""
    found: FrameType | None = frame
    while found is not None and _module(found).startswith(
        ("services.memory.objects", "services.memory.fork_snapshot", "contextlib")
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


def _contents(value: threading.local) -> list[dict[str, object]]:
    """Return the dictionaries that the threads have in a thread-local object."""
    tables = [table for table in gc.get_referents(value) if type(table) is dict]
    return [content for table in tables for content in table.values() if type(content) is dict]
