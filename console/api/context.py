"""What route functions get: the services, the caller, request scopes, and the threads in which services are called.

Calls into the services run in bounded thread pools, never in the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, NoReturn, ParamSpec, TypeVar, cast

import anyio
from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Request
from starlette.datastructures import Headers

from console.api.slow_refusals import SlowRefusals
from services.app.container import Foundation, Platform, Services
from services.app.startup import Application
from services.core.access import WrongTokenError
from services.core.actor import Actor
from services.core.auditing import Way, current_origin
from services.core.errors import CancelledError, UnauthorizedError
from services.core.i18n import _
from services.core.requests import RequestKind, RequestScope

ACTOR = "millpond.actor"  # in the scope: who was recognised
P = ParamSpec("P")
T = TypeVar("T")
MAX_CALLS = 16
SPARE_ANSWERS = 8  # threads in which questions beyond the limits are refused


class Threads:
    """Pools for short calls, searches and answers, so that long answers and many searches never delay a status request.

    Must be created inside the event loop that uses it. `answers` is how many may run or wait by the settings,
    `searches` how many may run: each has a slot, and a thread that waits for its question's embedding costs nothing.
    """

    def __init__(self, answers: int, searches: int) -> None:
        self.calls = CapacityLimiter(MAX_CALLS)
        self.searches = CapacityLimiter(searches)
        self.answers = CapacityLimiter(answers + SPARE_ANSWERS)

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a short call; waits for a free thread if all are busy."""
        return await to_thread.run_sync(lambda: function(*args, **kwargs), limiter=self.calls)

    async def search(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a search when it is its turn; they begin in the order in which they came."""
        return await to_thread.run_sync(lambda: function(*args, **kwargs), limiter=self.searches)


@dataclass(frozen=True, slots=True)
class ApiContext:
    """The services of the process and the threads in which they are called."""

    application: Application
    threads: Threads
    refusals: SlowRefusals = field(default_factory=SlowRefusals)

    @property
    def foundation(self) -> Foundation:
        """What exists from the first moment."""
        return self.application.foundation

    @property
    def platform(self) -> Platform:
        """What exists once the data folder is open; raises UnavailableError before."""
        return self.application.platform

    @property
    def services(self) -> Services:
        """Every service; raises UnavailableError unless the process is ready."""
        return self.application.services


async def _context(request: Request) -> ApiContext:  # a plain function would be called in a thread, for each request
    return cast("ApiContext", request.app.state.context)


Context = Annotated[ApiContext, Depends(_context)]


def bearer_token(headers: Headers) -> str:
    """Return the token of `Authorization: Bearer TOKEN`, "" without one."""
    scheme, _space, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


async def caller_of(request: Request) -> Actor:
    """Return the caller, as whom `Authentication` has let the request through.

    While there are no accounts, `Authorization: Bearer TOKEN` with the administrator's token makes an administrator,
    and everybody else is a visitor.

    Raises:
        UnavailableError: the data folder is not open yet.
        UnauthorizedError: nobody has signed in.
        WrongTokenError: the token is wrong, where visitors have read access only; held back after several of them.
        BusyError: many wrong ones from that address are held back already.
    """
    known = request.scope.get(ACTOR)
    if isinstance(known, Actor):
        return _recognised(known)
    context = cast("ApiContext", request.app.state.context)
    if not context.platform.identity.open_mode:
        raise UnauthorizedError(_("Nobody has signed in."), _("Sign in, or send an API token."))
    actor = await _visitor(context, request)
    request.scope[ACTOR] = actor
    return _recognised(actor)


def _recognised(actor: Actor) -> Actor:
    """Have the audit log know who does what this request leads to."""
    origin = current_origin()
    origin.actor = actor
    if actor.scopes is not None and origin.way is not Way.NODE:
        origin.way, origin.token = Way.TOKEN, actor.session_id
    return actor


async def _visitor(context: ApiContext, request: Request) -> Actor:
    access = context.platform.access
    token = bearer_token(request.headers)
    if not token:
        return access.actor(name="api")
    if (local := context.platform.identity.by_local_token(token)) is not None:
        return local
    address = request.client.host if request.client else ""
    try:
        return await context.threads.call(access.authenticate, token, "api", address)
    except WrongTokenError as error:
        await context.refusals.refuse(error, address)


Caller = Annotated[Actor, Depends(caller_of)]


def client_of(request: Request, user: str = "") -> str:
    """Return whose request it is: the person's; without an account the client's address, and the user it names."""
    known = request.scope.get(ACTOR)
    if isinstance(known, Actor) and known.person_id is not None:
        return known.name
    host = request.client.host if request.client else "unknown"
    return f"{host}/{user}" if user else host


@asynccontextmanager
async def request_scope(context: ApiContext, kind: RequestKind, detail: str) -> AsyncIterator[RequestScope]:
    """Wait for a slot and run the body within a request scope; the slot is released however the body ends.

    Awaiting ends with the scope's cancellation and time limit. An awaited thread is not abandoned: it must call `check`
    itself.

    Raises:
        BusyError: the queue is full.
        CancelledError, TimedOutError: the scope was ended.
    """
    scope = context.foundation.requests.open(kind, detail)
    loop = asyncio.get_running_loop()
    try:
        with anyio.CancelScope() as ending:
            scope.on_cancel(partial(loop.call_soon_threadsafe, ending.cancel))
            acquired = asyncio.Event()

            def wake() -> None:
                with suppress(RuntimeError):  # the server has ended, and with it the loop
                    loop.call_soon_threadsafe(acquired.set)

            scope.on_acquired(wake)
            await acquired.wait()
            scope.begin()
            ending.deadline = anyio.current_time() + scope.remaining()
            yield scope
        if ending.cancelled_caught:
            _raise_cause(scope)
    except BaseException as error:
        if isinstance(error, anyio.get_cancelled_exc_class()):
            scope.cancel()
        scope.close(error)
        raise
    scope.close()


def _raise_cause(scope: RequestScope) -> NoReturn:
    """Raise the error with which a scope was ended.

    Raises:
        CancelledError, TimedOutError: as the scope says.
    """
    scope.check()
    raise CancelledError(_("The request was cancelled; nothing of it was kept."))
