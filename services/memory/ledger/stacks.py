"""Where the stacks of threads lie."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from itertools import pairwise

from services.memory.ledger.libc import stack_of
from services.memory.ledger.maps import Mapping

MEGABYTE = 1 << 20
# glibc's guard is a page, that of other libraries some more.
_LARGEST_GUARD = MEGABYTE
# Where no limit is set (ARCH_STACK_DEFAULT_SIZE on x86-64).
_WITHOUT_LIMIT = 2 * MEGABYTE

Range = tuple[int, int]


def of_python_threads() -> list[Range]:
    """Return (start, end) of the stacks of Python's own threads but the main one, exactly, where glibc tells."""
    if sys.platform != "linux":
        return []
    # Under this lock no thread can end: it has to leave the list first, while it is still alive.
    with threading._active_limbo_lock:  # type: ignore[attr-defined] # noqa: SLF001 - there is no public way
        stacks = [
            stack_of(thread.ident)
            for thread in threading._active.values()  # type: ignore[attr-defined] # noqa: SLF001 - see above
            # Those that Python did not start may be gone without a word.
            if thread.ident is not None
            and thread is not threading.main_thread()
            and type(thread) is not threading._DummyThread  # noqa: SLF001 - see above
        ]
    return [stack for stack in stacks if stack is not None]


def behind_guards(mappings: Sequence[Mapping]) -> list[Range]:
    """Return (start, end) of what looks like the stack of a thread: anonymous memory right after a page that nobody
    may touch. Before Linux 6.7 the kernel joins a stack with what lies above it, so it is no longer than usual."""
    longest = _default_size()
    return [
        (mapping.start, min(mapping.end, mapping.start + longest))
        for guard, mapping in pairwise(mappings)
        if mapping.permissions == "rw-p"
        and not mapping.path
        and guard.permissions == "---p"
        and not guard.path
        and guard.end == mapping.start
        and guard.end - guard.start <= _LARGEST_GUARD
    ]


def _default_size() -> int:
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_STACK)
    return _WITHOUT_LIMIT if limit in {resource.RLIM_INFINITY, -1} else max(limit, _WITHOUT_LIMIT)
