"""What route functions get handed: the services and the threads to call them in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from console.api.threads import Threads
from services.runtime import Runtime


@dataclass(frozen=True, slots=True)
class ApiContext:
    """The services of the process, and where calls into them run."""

    runtime: Runtime
    threads: Threads


def _context(request: Request) -> ApiContext:
    return cast("ApiContext", request.app.state.context)


Context = Annotated[ApiContext, Depends(_context)]
