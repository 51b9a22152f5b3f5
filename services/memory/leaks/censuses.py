"""A handful of censuses: when to take one, which to keep, and what grew between them."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from services.memory.leaks.scales import HOUR, MINUTE
from services.memory.objects.types import Census

log = structlog.get_logger(__name__)

MOST_KEPT = 6
CALM_PACE = HOUR / 2
SUSPICION_PACE = MINUTE
# A census costs a child process; this is the share of real time that it may take at most.
CALM_SHARE = 0.003
SUSPICION_SHARE = 0.1
# Real seconds until another try after a census that failed; doubled each time.
RETRY = 30.0
MOST_RETRIES = 7


class Censuses:
    """Keeps a few censuses of different ages, the newest last."""

    def __init__(self, take: Callable[[], Census] | None) -> None:
        self._take = take
        self._kept: list[Census] = []
        self._last_real = -float("inf")
        self._failures = 0

    @property
    def kept(self) -> tuple[Census, ...]:
        """The censuses, oldest first."""
        return tuple(self._kept)

    def look(self, now: float, *, suspicious: bool, urgent: bool = False) -> None:
        """Take a census if one is due; `urgent`: a leak is about to be named."""
        if self._take is None:
            return
        if self._failures and time.perf_counter() - self._last_real < RETRY * 2**self._failures:
            return
        last = self._kept[-1] if self._kept else None
        if last is not None:
            waited = time.perf_counter() - self._last_real
            pace, share = (SUSPICION_PACE, SUSPICION_SHARE) if suspicious else (CALM_PACE, CALM_SHARE)
            if urgent:
                pace, share = SUSPICION_PACE / 2, 0.5
            if now - last.time < pace or waited < last.took / share:
                return
        try:
            census = self._take()
        except Exception:
            # A verdict without suspects is better than none.
            log.exception("the census failed")
            self._failures = min(self._failures + 1, MOST_RETRIES)
            self._last_real = time.perf_counter()
            return
        self._failures = 0
        self._last_real = time.perf_counter()
        self._kept.append(census)
        if len(self._kept) > MOST_KEPT:
            self._thin()

    def since(self, moment: float) -> tuple[Census, ...]:
        """Return the censuses from the last one before `moment` on."""
        before = [census for census in self._kept if census.time <= moment]
        return (*before[-1:], *(census for census in self._kept if census.time > moment))

    def _thin(self) -> None:
        """Drop the one whose neighbours are closest in relation to their age: old ones end up far apart."""
        now = self._kept[-1].time
        gaps = [
            (self._kept[place + 1].time - self._kept[place - 1].time) / (now - self._kept[place - 1].time)
            for place in range(1, len(self._kept) - 1)
        ]
        del self._kept[gaps.index(min(gaps)) + 1]
