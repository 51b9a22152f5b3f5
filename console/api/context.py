"""What route functions get handed: the services and the threads to call them in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from console.api.threads import Threads
from services.access import Actor, visitor
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
    """Return who asks: `Authorization: Bearer TOKEN` with the administrator's token makes an administrator."""
    scheme, _space, token = request.headers.get("authorization", "").partition(" ")
    settings = cast("ApiContext", request.app.state.context).runtime.settings
    return visitor(settings, token.strip() if scheme.lower() == "bearer" else "", name="api")


Asker = Annotated[Actor, Depends(_actor)]
