"""What route functions get handed: the services and the threads to call them in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from console.api.threads import Threads
from services.access import Actor
from services.runtime import Runtime


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
