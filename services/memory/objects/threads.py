"""What the running threads hold in their local variables: addresses only, taken before the fork.

A forked child has no other thread than its own, and their frames must not be touched there. The objects are there all
the same; this says which variable holds which.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from types import CodeType, FrameType

_OPTIMIZED = 0x1  # CO_OPTIMIZED: the locals are no dictionary of their own; reading them makes a copy
_MOST_FRAMES = 60


@dataclass(frozen=True, slots=True)
class FrameView:
    """A running function and the addresses of its local variables."""

    function: str
    variables: dict[str, int]


@dataclass(frozen=True, slots=True)
class ThreadView:
    """A running thread, its innermost frame first."""

    name: str
    frames: tuple[FrameView, ...]


def running_threads() -> tuple[ThreadView, ...]:
    """Return the threads as they are now; takes about 0.1 ms a thread and keeps no object."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    here = threading.get_ident()
    return tuple(
        ThreadView(names.get(ident) or str(ident), tuple(_frames(frame)))
        for ident, frame in sys._current_frames().items()  # noqa: SLF001 - the documented way to see other threads
        if ident != here
    )


def _frames(frame: FrameType | None) -> list[FrameView]:
    found: list[FrameView] = []
    while frame is not None and len(found) < _MOST_FRAMES:
        values = frame.f_locals
        found.append(FrameView(_name(frame.f_code, frame), {name: id(value) for name, value in values.items()}))
        if frame.f_code.co_flags & _OPTIMIZED and type(values) is dict:
            # Up to Python 3.12 the copy stays with the frame and would keep alive what the function lets go.
            values.clear()
        frame = frame.f_back
    return found


def _name(code: CodeType, frame: FrameType) -> str:
    module = frame.f_globals.get("__name__")
    return f"{module}.{code.co_qualname}" if type(module) is str else code.co_qualname
