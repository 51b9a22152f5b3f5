"""A console for tests of the memory budget: `python -m tests.consoles.tight serve ...`.

Closed tabs get little time and the clock is fast, as in `tests.consoles.hasty`. What real work cannot be made to hold
in seconds, SIGUSR1 adds as ballast, and SIGUSR2 drops all of it.
"""

from __future__ import annotations

import signal
from importlib import import_module
from types import FrameType

BALLAST_BYTES = 4 * 2**20
BALLAST: list[bytearray] = []


def add(_number: int, _frame: FrameType | None) -> None:
    BALLAST.append(bytearray(b"x") * BALLAST_BYTES)


def drop(_number: int, _frame: FrameType | None) -> None:
    BALLAST.clear()


def main() -> None:
    """Start the real console."""
    from tests.consoles import hasty

    signal.signal(signal.SIGUSR1, add)
    signal.signal(signal.SIGUSR2, drop)
    hasty.main()


if __name__ == "__main__":
    # Under its own name: as `__main__` the module would be there twice.
    import_module("tests.consoles.tight").main()
