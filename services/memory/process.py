"""The memory of this process, as the operating system counts it."""

from __future__ import annotations

import psutil

_process = psutil.Process()


def rss_bytes() -> int:
    """Return the resident set size of this process in bytes (about 8 microseconds)."""
    return int(_process.memory_info().rss)
