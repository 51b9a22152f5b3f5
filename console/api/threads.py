"""Where calls into the services run: bounded pools of threads, never the event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread

P = ParamSpec("P")
T = TypeVar("T")

CALLS_AT_ONCE = 16
SPARE = 8  # threads in which questions past the limits learn that they are


class Threads:
    """A pool for short calls and one for answers, so that long answers never hold up a status request.

    To be made inside of the event loop that uses it. `answers` is how many may run or wait by the settings.
    """

    def __init__(self, answers: int) -> None:
        self.calls = CapacityLimiter(CALLS_AT_ONCE)
        self.answers = CapacityLimiter(answers + SPARE)

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a short call; waits for a free thread if all are busy."""
        return await to_thread.run_sync(lambda: function(*args, **kwargs), limiter=self.calls)
