"""How the chat retrieves: the settings that people choose on the retrieval test page."""

from __future__ import annotations

import threading
from dataclasses import asdict
from typing import Any

from services.core.actor import Actor, Permission
from services.core.auditing import Action, Target, TargetKind
from services.core.errors import BadInputError
from services.core.events import EventKind, EventSink
from services.core.i18n import _
from services.core.preferences import Preferences
from services.knowledge.types import RetrievalSettings

_KEY = "knowledge.retrieval"


class RetrievalPreferences:
    """Keeps the retrieval settings of the chat. Thread-safe."""

    def __init__(self, preferences: Preferences, reporter: EventSink) -> None:
        self._preferences = preferences
        self._lock = threading.Lock()
        self._known: RetrievalSettings | None = None  # every search asks
        self._reporter = reporter
        preferences.on_changed(_KEY, self._forget)

    def read(self) -> RetrievalSettings:
        """Return them."""
        if (known := self._known) is None:
            with self._lock:
                known = self._known = self._stored()
        return known

    def _forget(self) -> None:
        with self._lock:  # whoever is reading may have read what was there before
            self._known = None

    def _stored(self) -> RetrievalSettings:
        stored: dict[str, Any] = self._preferences.get(_KEY) or {}
        known = asdict(RetrievalSettings())
        return RetrievalSettings(**{name: stored.get(name, value) for name, value in known.items()})

    def apply(self, actor: Actor, settings: RetrievalSettings) -> None:
        """Set them.

        Raises:
            ForbiddenError: `actor` may not change settings.
            BadInputError: a value is out of its range.
        """
        actor.require(Permission.CONFIGURE, _("Change how chat retrieves"))
        weights = (settings.dense_weight, settings.lexical_weight)
        if not (1 <= settings.k <= 100 and min(weights) >= 0 < max(weights) and 0 <= settings.threshold <= 1):
            raise BadInputError(
                _("k must be from 1 to 100, the weights not negative and not both 0, the threshold from 0 to 1."),
                _("The settings were not changed."),
            )
        values = asdict(settings)
        with self._lock:
            self._preferences.set(_KEY, values)
            self._known = settings
        self._reporter.event(EventKind.SETTINGS, _("retrieval"), **values)
        text = ", ".join(f"{name} {value:g}" for name, value in values.items())
        self._reporter.audit(actor, Action.SETTINGS_CHANGED, Target(TargetKind.SETTING, "retrieval"), detail=text)
