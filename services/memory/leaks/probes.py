"""What the detector can ask of the process besides the history: censuses, threads, descriptors, traced lines."""

from __future__ import annotations

import contextlib
import gc
import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.memory.objects.types import Census
from services.memory.process import rss_bytes, trim_heap

_FOLDER = Path("/proc/self/fd")
_NUMBERS = re.compile(r"\d+")
_ADDRESSES = re.compile(r"0x[0-9a-fA-F]+")
MOST_GROUPS = 200


@dataclass(frozen=True, slots=True)
class Probes:
    """Callables that look at this process; None where there is nothing to ask.

    `lines` returns the traced lines that grow, with bytes per hour, the fastest first; empty while tracing is off.
    """

    census: Callable[[], Census] | None = None
    lines: Callable[[], Sequence[tuple[str, float]]] | None = None
    threads: Callable[[], Counter[str]] | None = None
    descriptors: Callable[[], Counter[str]] | None = None
    collect: Callable[[], object] | None = None
    collects: Callable[[], bool] = gc.isenabled  # whether the collector runs by itself
    trim: Callable[[], None] = trim_heap
    rss: Callable[[], int] = rss_bytes


def own_process(
    census: Callable[[], Census] | None = None, lines: Callable[[], Sequence[tuple[str, float]]] | None = None
) -> Probes:
    """Return probes that look at this very process."""
    return Probes(census, lines, thread_groups, descriptor_groups, gc.collect)


def grouped(name: str) -> str:
    """Return a name with its numbers replaced, so that what is made in series has one name."""
    return _NUMBERS.sub("N", _ADDRESSES.sub("N", name))


def thread_groups() -> Counter[str]:
    """Count the threads by name; those that Python does not know go by the name that the system has for them."""
    groups = Counter(grouped(thread.name) for thread in threading.enumerate())
    known = {thread.native_id for thread in threading.enumerate()}
    with contextlib.suppress(OSError):
        for task in Path("/proc/self/task").iterdir():
            if int(task.name) not in known:
                with contextlib.suppress(OSError):  # it has ended
                    groups[grouped((task / "comm").read_text().strip())] += 1
    return _bounded(groups)


def descriptor_groups() -> Counter[str]:
    """Count the open file descriptors by what they lead to: a file (by its path), sockets, pipes."""
    groups: Counter[str] = Counter()
    with contextlib.suppress(OSError):
        for link in _FOLDER.iterdir():
            with contextlib.suppress(OSError):  # it was closed meanwhile
                target = str(link.readlink())
                groups[target.partition(":")[0] if ":[" in target else grouped(target)] += 1
    return _bounded(groups)


def _bounded(groups: Counter[str]) -> Counter[str]:
    return Counter(dict(groups.most_common(MOST_GROUPS)))
