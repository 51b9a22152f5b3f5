"""Code that allocates at known lines."""

from __future__ import annotations

from pathlib import Path

FILE = str(Path(__file__))


def leak(kept: list[bytearray], times: int) -> None:
    """Keep `times` blocks of 1,000 bytes."""
    for _ in range(times):
        kept.append(bytearray(1000))  # noqa: PERF401 - the line that is looked for


LEAK_LINE = 13


def leak_deeper(kept: list[bytearray], times: int) -> None:
    """The same, one call further."""
    leak(kept, times)


DEEPER_LINE = 21
