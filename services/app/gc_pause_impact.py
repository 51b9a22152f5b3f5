"""Which requests stood still while the garbage collector ran: its pauses joined by time with the requests.

Pauses are recorded where nothing else may be done (`services.memory.sampling.gc_pauses`), requests when they end: the
two are joined on demand only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.memory.sampling.gc_pauses import Pause

API = "API"


class EndedRequest(Protocol):
    """The fields used of `services.operations.request_log.Request`."""

    @property
    def time(self) -> float: ...
    @property
    def seconds(self) -> float: ...
    @property
    def method(self) -> str: ...


class ActiveRequest(Protocol):
    """The fields used of `services.core.requests.concurrency.RunningRequest`."""

    @property
    def kind(self) -> str: ...
    @property
    def began(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class PauseImpact:
    """A pause, and what stood still: how many by kind ("PAGE": runs of pages, "ANSWER": answers for pages, "API":
    requests of other programs, else a kind of scope that is still under way)."""

    pause: Pause
    waiting: Mapping[str, int]

    @property
    def count(self) -> int:
        """How many stood still."""
        return sum(self.waiting.values())


def pause_impacts(
    pauses: Sequence[Pause],
    ended: Iterable[EndedRequest],
    under_way: Iterable[ActiveRequest] = (),
    *,
    speed: float = 1.0,
) -> list[PauseImpact]:
    """Return each pause with what overlapped it in time; all times are seconds since the epoch.

    What has ended counts from its beginning to its end, what is under way from its beginning on. `speed` is that of the
    clock that told the moments: durations are measured in real seconds.
    """
    spans = [(_kind(one.method), one.time, one.time + one.seconds * speed) for one in ended]
    spans += [(str(one.kind), one.began, float("inf")) for one in under_way if one.began is not None]
    return [PauseImpact(pause, _overlapping(pause, spans, speed)) for pause in pauses]


def _overlapping(pause: Pause, spans: Sequence[tuple[str, float, float]], speed: float) -> dict[str, int]:
    end = pause.time
    begin = end - pause.seconds * speed
    found = Counter(kind for kind, first, last in spans if first < end and last > begin)
    return dict(sorted(found.items()))


def _kind(method: str) -> str:
    return method if method in {"PAGE", "ANSWER"} else API
