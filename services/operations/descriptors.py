"""Descriptors of the process, a limited number: a connection or an open file takes one, a browser tab four.

A system gives a process 1,024 unless it asks for more; the hard limit says how far it may go.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

if sys.platform != "win32":
    import resource

# More than the largest number of connections and tabs takes, and few enough for code that counts up to the limit.
WANTED = 16_384
# Kept from connections: database, files that are read and written, parsers, models, servers that are asked.
RESERVE = 256


@dataclass(frozen=True, slots=True)
class DescriptorLimit:
    """How many descriptors the process may have open; `found` was the limit at its start."""

    soft: int
    found: int

    @property
    def for_connections(self) -> int:
        """Return the number from which on descriptors are kept from connections: a quarter, at most `RESERVE`."""
        return self.soft - min(RESERVE, self.soft // 4)

    @property
    def for_refusals(self) -> int:
        """Return the number up to which connections are accepted in order to answer liveness, or with a refusal."""
        return self.soft - min(RESERVE, self.soft // 4) // 2


def raise_limit() -> DescriptorLimit:
    """Raise the soft limit to `WANTED` or, if that is less, to the hard limit; return what it is now."""
    if sys.platform == "win32":
        return DescriptorLimit(WANTED, WANTED)
    found, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if found == resource.RLIM_INFINITY or found >= soft:
        return DescriptorLimit(*(max(soft, found),) * 2)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    except (OSError, ValueError):  # refused by the system: what was found holds
        return DescriptorLimit(found, found)
    return DescriptorLimit(soft, found)


def lowest_free() -> int:
    """Return the number that the next descriptor gets, which is at most how many are open; `WANTED` when none is free.

    The kernel assigns the lowest free number, so this says without counting (some microseconds) how near the limit is.
    """
    try:
        descriptor = os.open(os.devnull, os.O_RDONLY)
    except OSError:
        return WANTED
    os.close(descriptor)
    return descriptor
