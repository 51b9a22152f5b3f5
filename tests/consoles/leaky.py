"""A console that leaks on command, and whose clock runs faster: `python -m tests.consoles.leaky serve ...`.

SIGUSR1 begins the leak, SIGUSR2 ends it. What is leaked stays in `FORGOTTEN`, where nobody looks for it again.
"""

from __future__ import annotations

import os
import signal
import threading
from importlib import import_module
from types import FrameType

from tests.consoles import fast

SPEED = float(os.environ.get("LEAKY_SPEED", "30"))
RATE_MB_PER_MINUTE = 10.0  # of the clock
_ENTRY_BYTES = 2000


class Receipt:
    """What is forgotten: small objects, but not so many that counting them takes long."""

    __slots__ = ("lines", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.lines = tuple(f"receipt {number}, line {line}".ljust(440) for line in range(4))


FORGOTTEN: dict[int, Receipt] = {}
_leaking = threading.Event()


def leak() -> None:
    """Forget `RATE_MB_PER_MINUTE`, for as long as is asked for."""
    per_tick = int(RATE_MB_PER_MINUTE * 2**20 / 60 * SPEED / 20 / _ENTRY_BYTES)
    pause = threading.Event()
    while _leaking.wait():
        for _ in range(per_tick):
            FORGOTTEN[len(FORGOTTEN)] = Receipt(len(FORGOTTEN))
        pause.wait(0.05)


def begin(_number: int, _frame: FrameType | None) -> None:
    _leaking.set()


def end(_number: int, _frame: FrameType | None) -> None:
    _leaking.clear()


def main() -> None:
    """Start the real console with a faster clock."""
    signal.signal(signal.SIGUSR1, begin)
    signal.signal(signal.SIGUSR2, end)
    threading.Thread(target=leak, name="leak", daemon=True).start()
    fast.start(SPEED)


if __name__ == "__main__":
    # Under its own name: as `__main__` the module would be there twice.
    import_module("tests.consoles.leaky").main()
