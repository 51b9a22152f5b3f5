"""Calls what a step does: errors become words, and what may take long is not waited for without an end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from services.errors import MillpondError
from services.texts import _

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Acted:
    """How a call ended."""

    outcome: str
    failed: bool = False


class Acting:
    """Runs calls by name; a name whose last call has not ended is not called again."""

    def __init__(self) -> None:
        self._running: dict[str, threading.Thread] = {}

    def busy(self, name: str) -> bool:
        """Return whether a call was given up waiting for and has not ended."""
        thread = self._running.get(name)
        if thread is not None and not thread.is_alive():
            del self._running[name]
            return False
        return thread is not None

    def call(self, name: str, call: Callable[[], str], timeout: float) -> Acted:
        """Call; with a `timeout` in seconds in a thread of its own. Never raises."""
        if not timeout:
            return _called(name, call)
        if self.busy(name):
            return Acted(_("the last try has not ended yet"), failed=True)
        found: list[Acted] = []
        thread = threading.Thread(
            target=lambda: found.append(_called(name, call)), name=f"budget-{name}"[:15], daemon=True
        )
        thread.start()
        thread.join(timeout)
        if found:
            return found[0]
        self._running[name] = thread
        return Acted(_("not through after {seconds:.0f} s; it goes on").format(seconds=timeout), failed=True)


def _called(name: str, call: Callable[[], str]) -> Acted:
    try:
        return Acted(call())
    except MillpondError as error:
        log.warning("a step of the memory budget failed", step=name, reason=str(error))
        return Acted(error.message, failed=True)
    except Exception as error:
        # The budget must go on with its other steps.
        log.exception("a step of the memory budget failed", step=name)
        return Acted(_("an unexpected error: {kind}").format(kind=type(error).__name__), failed=True)
