"""The settings that a restart comes up with, in the database."""

from __future__ import annotations

import structlog

from services.errors import MillpondError
from services.memory.collector.checking import as_thresholds, check_settings
from services.memory.collector.types import CollectorSettings
from services.preferences import Preferences

log = structlog.get_logger(__name__)

KEY = "collector"


class KeptSettings:
    """Reads and writes them; without preferences they last as long as the process."""

    def __init__(self, preferences: Preferences | None) -> None:
        self._preferences = preferences
        self._kept = self._read()

    @property
    def settings(self) -> CollectorSettings | None:
        """What is kept, None while nothing is."""
        return self._kept

    def keep(self, settings: CollectorSettings) -> None:
        """Keep settings in place of what was kept.

        Raises:
            StorageError: they could not be written; the old ones are kept.
        """
        if self._preferences is not None:
            value = {
                "thresholds": list(settings.thresholds),
                "automatic": settings.automatic,
                "policy": settings.policy,
            }
            self._preferences.set(KEY, value)
        self._kept = settings

    def _read(self) -> CollectorSettings | None:
        if self._preferences is None:
            return None
        value = self._preferences.get(KEY)
        if value is None:
            return None
        thresholds = as_thresholds(value.get("thresholds"))
        if thresholds is not None:
            settings = CollectorSettings(
                thresholds, value.get("automatic") is not False, value.get("policy") is not False
            )
            try:
                check_settings(settings)
            except MillpondError as error:
                log.warning("kept settings of the collector are not used", error=str(error))
                return None
            return settings
        log.warning("kept settings of the collector are not used", value=str(value)[:200])
        return None
