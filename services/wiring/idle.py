"""Models that nobody asked for a while are unloaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.runtime import Runtime

LOOK_SECONDS = 30.0  # idle times are minutes


def unload_when_idle(runtime: Runtime, unload: Callable[[], object]) -> None:
    """Have `unload` called again and again; it does nothing while its model is in use, or was lately."""
    runtime.memory.add_work(unload, LOOK_SECONDS)
