"""First runs of tabs take turns, so that many new tabs at once leave CPU to health checks, searches and open tabs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from console.ui.session_state import TabState, state_of

PLACES = 4
# Whoever takes longer waits for something, such as a diagnostic, and keeps no one else waiting any more.
PLACE_SECONDS = 2.0


class Turnstile:
    """Lets at most `places` in at once, each counted for at most `seconds`. Thread-safe."""

    def __init__(
        self, places: int = PLACES, seconds: float = PLACE_SECONDS, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._places = places
        self._seconds = seconds
        self._now = now
        self._changed = threading.Condition()
        self._entered: dict[int, float] = {}  # when, by thread

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Wait for a place and hold it."""
        thread = threading.get_ident()
        with self._changed:
            while (left := self._seconds_to_wait()) > 0:
                self._changed.wait(left)
            self._entered[thread] = self._now()
        try:
            yield
        finally:
            with self._changed:
                del self._entered[thread]
                self._changed.notify()

    def _seconds_to_wait(self) -> float:
        begin = self._now() - self._seconds
        counted = [entered for entered in self._entered.values() if entered > begin]
        return min(counted) - begin if len(counted) >= self._places else 0.0


_turnstile = Turnstile()


@contextmanager
def opening() -> Iterator[None]:
    """Run a page's script: at once in a tab that has run one before, else when it is its turn."""
    tab = state_of(TabState)
    if tab.opened:
        yield
        return
    with _turnstile.passing():
        tab.opened = True
        yield
