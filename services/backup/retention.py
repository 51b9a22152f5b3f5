"""Which backups are kept: the last ones, and the last one each of the last days and weeks that have one (UTC)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from services.core.backup_settings import BackupSettings


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """How many are kept of each sort; one may count for several."""

    last: int = 3
    daily: int = 7
    weekly: int = 4

    @classmethod
    def of(cls, settings: BackupSettings) -> RetentionRule:
        """Return the rule of the settings."""
        return cls(settings.backup_keep_last, settings.backup_keep_daily, settings.backup_keep_weekly)


def kept(made_at: Iterable[float], rule: RetentionRule) -> set[float]:
    """Return which of the backups that were made at these times (seconds since 1970) are kept; the newest always is."""
    newest_first = sorted(set(made_at), reverse=True)
    found = set(newest_first[: max(1, rule.last)])
    found |= _last_of_each(newest_first, lambda day: (day.year, day.month, day.day), rule.daily)
    return found | _last_of_each(newest_first, lambda day: tuple(day.isocalendar())[:2], rule.weekly)


def _last_of_each(newest_first: list[float], span: Callable[[datetime], tuple[int, ...]], most: int) -> set[float]:
    last: dict[tuple[int, ...], float] = {}
    for moment in newest_first:
        last.setdefault(span(datetime.fromtimestamp(moment, UTC)), moment)
    return set(list(last.values())[:most])
