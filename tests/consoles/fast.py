"""A console whose clock runs faster: `python -m tests.consoles.fast serve ...`. FAST_SPEED says how much (10)."""

from __future__ import annotations

import functools
import os
from importlib import import_module


def start(speed: float) -> None:
    """Run the real console with a clock of that speed."""
    from console import __main__ as console
    from console.ui import runtime_access
    from services.memory.clock import Clock

    runtime_access.configure = functools.partial(runtime_access.configure, clock=Clock(speed))
    console.main()


def main() -> None:
    """Run it with the speed of the environment."""
    start(float(os.environ.get("FAST_SPEED", "10")))


if __name__ == "__main__":
    # Under its own name: as `__main__` the module would be there twice.
    import_module("tests.consoles.fast").main()
