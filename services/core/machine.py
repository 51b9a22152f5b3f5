"""Units of size and the cores of this machine. Parser children import it, so it imports nothing of ours."""

from __future__ import annotations

import os

MEGABYTE = 1024 * 1024


def usable_cores() -> int:
    """Return the number of CPU cores that this process may use (its affinity mask)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
