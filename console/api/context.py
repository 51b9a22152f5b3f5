"""What route functions get handed: the services and the threads to call them in.

Where calls into the services run: bounded pools of threads, never the event loop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ParamSpec, TypeVar, cast

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Request

from services.app.container import Runtime
from services.core.access import Actor

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


@dataclass(frozen=True, slots=True)
class ApiContext:
    """The services of the process, and where calls into them run."""

    runtime: Runtime
    threads: Threads


def _context(request: Request) -> ApiContext:
    return cast("ApiContext", request.app.state.context)


Context = Annotated[ApiContext, Depends(_context)]


def _actor(request: Request) -> Actor:
    """Return who asks: `Authorization: Bearer TOKEN` with the administrator's token makes an administrator.

    Raises:
        ForbiddenError: another token was given, where visitors may only look.
        BusyError: too many wrong ones came from that address.
    """
    gate = cast("ApiContext", request.app.state.context).runtime.gate
    scheme, _space, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        return gate.actor(name="api")
    return gate.admit(token.strip(), "api", request.client.host if request.client else "")


Asker = Annotated[Actor, Depends(_actor)]
