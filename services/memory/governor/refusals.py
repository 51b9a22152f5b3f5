"""Refusals as stretches of time: that they began, and that they ended, rather than each of a thousand."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from services.texts import _, plural

# Refusals have ended when none has come for so long.
QUIET_SECONDS = 30.0
_NAMED = 3


class Refusals:
    """Told of each refusal by whoever refuses, in any thread; `sweep` says what has begun and ended."""

    def __init__(self, now: Callable[[], float], *, quiet: float = QUIET_SECONDS) -> None:
        self._now = now
        self._quiet = quiet
        self._lock = threading.RLock()
        self._counts: Counter[str] = Counter()
        self._last = 0.0
        self._told = False

    def note(self, what: str) -> None:
        """Something was refused; `what` in words."""
        with self._lock:
            self._last = self._now()
            # Few kinds of work exist; should that change, what is new counts as the rest.
            self._counts[what if what in self._counts or len(self._counts) < 20 else _("something else")] += 1

    @property
    def going_on(self) -> bool:
        """Whether something was refused of late."""
        return bool(self._counts)

    def sweep(self) -> str:
        """Return what is to be told: that refusals began, or ended; mostly an empty text (under a microsecond)."""
        if not self._counts:
            return ""
        with self._lock:
            names = ", ".join(name for name, _count in self._counts.most_common(_NAMED))
            if not self._told:
                self._told = True
                return _("Refused for want of memory: {names}").format(names=names)
            if self._now() - self._last < self._quiet:
                return ""
            total = sum(self._counts.values())
            self._counts.clear()
            self._told = False
        text = plural("{count} request was refused", "{count} requests were refused", total)
        return _("Nothing is refused any more; {text}: {names}").format(text=text, names=names)
