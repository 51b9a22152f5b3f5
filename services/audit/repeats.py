"""Refusals that repeat: the first is recorded at once, how often it was repeated a minute later."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, replace

from services.audit.chain import AuditRecord
from services.core.i18n import plural

REPEAT_SECONDS = 60.0
_MOST = 1000  # different ones that are remembered


@dataclass(slots=True)
class _Repeated:
    began: float
    last: AuditRecord
    further: int = 0


class Repeats:
    """Counts refusals that differ in nothing but their time. Thread-safe, bounded."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._bursts: OrderedDict[tuple[str, ...], _Repeated] = OrderedDict()
        self._ended: list[_Repeated] = []

    def is_new(self, record: AuditRecord, now: float) -> bool:
        """Return whether a refusal is to be recorded by itself; one that repeats another is counted."""
        key = (record.actor, record.address, record.action, record.target_kind, record.target_id, record.detail)
        with self._lock:
            burst = self._bursts.get(key)
            if burst is not None and now - burst.began < REPEAT_SECONDS:
                burst.further += 1
                burst.last = record
                return False
            if burst is not None:
                self._ended.append(self._bursts.pop(key))
            self._bursts[key] = _Repeated(now, record)
            while len(self._bursts) > _MOST:
                self._ended.append(self._bursts.popitem(last=False)[1])
        return True

    def ended(self, now: float) -> list[AuditRecord]:
        """Return a record for each kind of refusal that was repeated in a minute that has passed."""
        with self._lock:
            for key, burst in list(self._bursts.items()):
                if now - burst.began >= REPEAT_SECONDS:
                    self._ended.append(self._bursts.pop(key))
            ended, self._ended = self._ended, []
        return [_summary(burst) for burst in ended if burst.further]

    def end_all(self) -> None:
        """Have the next call of `ended` return all that was repeated."""
        with self._lock:
            self._ended += self._bursts.values()
            self._bursts.clear()


def _summary(burst: _Repeated) -> AuditRecord:
    text = plural("repeated {count} time within a minute", "repeated {count} times within a minute", burst.further)
    detail = f"{burst.last.detail}: {text}" if burst.last.detail else text
    return replace(burst.last, detail=detail)
