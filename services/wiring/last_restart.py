"""When the memory budget asked for a restart the last time: kept, so that one does not follow the other."""

from __future__ import annotations

from collections.abc import Callable

from services.preferences import Preferences
from services.texts import _

_KEY = "memory budget: last restart"


class LastRestart:
    """Reads the preferences once and writes them with each restart. Times in seconds."""

    def __init__(self, preferences: Preferences, now: Callable[[], float], least_seconds: float) -> None:
        self._preferences = preferences
        self._now = now
        self._least = least_seconds
        self._time = float((preferences.get(_KEY) or {}).get("time", 0.0))

    def too_soon(self) -> str:
        """Return why it is too soon for another one, "" if it is not."""
        passed = self._now() - self._time
        if passed >= self._least:
            return ""
        return _("the budget asked for a restart {minutes:.0f} minutes ago, and it does so once in {least:.0f}").format(
            minutes=passed / 60, least=self._least / 60
        )

    def note(self) -> None:
        """Note that a restart was asked for now.

        Raises:
            StorageError: it could not be written; within this process it is known all the same.
        """
        self._time = self._now()
        self._preferences.set(_KEY, {"time": self._time})
