"""Requests of the API within scopes: waiting for a slot holds no thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import NoReturn

import anyio
from fastapi import Request

from console.api.context import ApiContext
from services.errors import CancelledError
from services.scopes import Scope, ScopeKind
from services.texts import _

_LOOK_SECONDS = 0.02


def client_of(request: Request, user: str = "") -> str:
    """Return whose request it is: where it comes from, and whom it is for if the client says so."""
    host = request.client.host if request.client else "unknown"
    return f"{host}/{user}" if user else host


@asynccontextmanager
async def scoped(context: ApiContext, kind: ScopeKind, detail: str) -> AsyncIterator[Scope]:
    """Wait for a slot, then run what is inside; whatever ends that gives the slot back.

    Awaiting ends with the scope's cancellation and time limit. A thread that is awaited is not left behind: it should
    ask `check` itself.

    Raises:
        BusyError: the queue is full.
        CancelledError, TimedOutError: it was ended.
    """
    scope = context.runtime.scopes.open(kind, detail)
    loop = asyncio.get_running_loop()
    try:
        with anyio.CancelScope() as ending:
            scope.on_cancel(partial(loop.call_soon_threadsafe, ending.cancel))
            while not scope.begin():
                await anyio.sleep(_LOOK_SECONDS)
            ending.deadline = anyio.current_time() + scope.remaining()
            yield scope
        if ending.cancelled_caught:
            _raise_reason(scope)
    except BaseException as error:
        if isinstance(error, anyio.get_cancelled_exc_class()):
            scope.cancel()
        scope.close(error)
        raise
    scope.close()


def _raise_reason(scope: Scope) -> NoReturn:
    """Say why a scope was ended.

    Raises:
        CancelledError, TimedOutError: that is why.
    """
    scope.check()
    raise CancelledError(_("The request was cancelled; nothing of it was kept."))
