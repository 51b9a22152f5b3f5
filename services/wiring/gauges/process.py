"""The process itself: since when, what it is built of, whether it is ready, who uses it."""

from __future__ import annotations

import functools
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from services.operations.metrics import Family, Reading

if TYPE_CHECKING:
    from services.runtime import Runtime

_PARTS = ("streamlit", "torch", "faiss-cpu", "langchain-core", "sqlalchemy")

_BUILD = Family(
    "millpond_build_info",
    "Always 1; what is running.",
    ("version", "python", *(part.replace("-", "_") for part in _PARTS)),
)
_STARTED = Family("millpond_start_time_seconds", "When the process began, seconds since the epoch.")
_READY = Family("millpond_ready", "1 once everything is loaded and warm.")
_SESSIONS = Family("millpond_sessions", "Browser tabs that are connected.")
_WORK = Family(
    "millpond_work_total",
    "Requests that did work: calls of the API, runs of pages and answers that pages asked for.",
    kind="counter",
)
FAMILIES = (_BUILD, _STARTED, _READY, _SESSIONS, _WORK)


class ProcessGauges:
    """Reads what is known from the first moment on."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def read(self) -> Iterator[Reading]:
        """Return the readings now."""
        runtime = self._runtime
        yield Reading(_BUILD, 1.0, _build())
        yield Reading(_STARTED, runtime.started_at)
        yield Reading(_READY, float(runtime.ready))
        yield Reading(_WORK, runtime.requests.total)
        yield Reading(_SESSIONS, runtime.sessions())


@functools.cache
def _build() -> tuple[str, ...]:
    return (_version("millpond"), platform.python_version(), *(_version(part) for part in _PARTS))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
