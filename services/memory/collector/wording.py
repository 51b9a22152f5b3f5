"""Settings of the collector in words, for events and pages."""

from __future__ import annotations

from services.memory.collector.types import CollectorSettings
from services.texts import _


def in_words(settings: CollectorSettings) -> str:
    """Return settings in one line."""
    thresholds = ", ".join(str(each) for each in settings.thresholds)
    parts = [_("thresholds {thresholds}").format(thresholds=thresholds)]
    if not settings.automatic:
        parts.append(_("switched off"))
    elif settings.thresholds[0] == 0:
        parts.append(_("off, because threshold 0 is 0"))
    else:
        parts.append(_("switched on"))
    parts.append(_("own policy on") if settings.policy else _("own policy off"))
    return ", ".join(parts)
