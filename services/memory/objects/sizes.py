"""pympler's view, in the forked child: the summary over all objects and the deep size of one thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.memory.objects.heap import own_size
from services.memory.objects.labels import attributes, slots
from services.memory.objects.reach import reachable_bytes

MOST_ROWS = 200
SECONDS_PER_OBJECT = 9e-6  # of muppy and asizeof, measured on a heap of a million objects


def load() -> None:
    """Import pympler before the fork: a child must not wait for an import lock that nobody will release."""
    import pympler.asizeof
    import pympler.muppy
    import pympler.summary  # noqa: F401 - for its effect


def summary() -> list[tuple[str, int, int]]:
    """Return muppy's summary: name of type, count, bytes, the largest first."""
    from pympler import muppy
    from pympler import summary as untyped

    summary: Any = untyped

    rows = summary.summarize(muppy.get_objects())
    rows.sort(key=lambda row: -row[2])
    return [(str(name), int(count), int(size)) for name, count, size in rows[:MOST_ROWS]]


def deep_size(get: Callable[[], object]) -> dict[str, Any]:
    """Return what asizeof says of one thing: bytes in all, and by attribute, the largest first.

    An object that several attributes lead to counts for the first of them, so the parts add up to the whole.
    """
    from pympler import asizeof as untyped

    asizeof: Any = untyped
    value = get()
    sizer = asizeof.Asizer()
    parts: list[tuple[str, int]] = []
    failed: list[str] = []
    names = attributes(value) or dict(slots(value))
    for name, part in list(names.items())[:MOST_ROWS]:
        try:
            parts.append((str(name)[:100], int(sizer.asizeof(part))))
        except Exception:  # noqa: BLE001 - pympler asks objects for attributes, and some object to that
            failed.append(str(name)[:100])
            parts.append((str(name)[:100], reachable_bytes(part)))
    parts.sort(key=lambda part: -part[1])
    total = sum(size for _name, size in parts) + own_size(value)
    return {"bytes": total, "parts": parts[:50], "failed": failed[:50]}
