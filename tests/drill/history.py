"""What clients asked of a pond and were told, in the order in which it ended; what they may rely on afterwards."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from tests.front.outcomes import Attempt, Outcome, outcome_of


@dataclass
class History:
    """Thread-safe. Documents are known by the word that is in them alone."""

    attempts: list[Attempt] = field(default_factory=list)
    added: dict[str, int] = field(default_factory=dict)  # acknowledged: document's id by its word
    contents: dict[str, bytes] = field(default_factory=dict)  # what was handed in, by word
    deleted: dict[str, float] = field(default_factory=dict)  # acknowledged: when, by the monotonic clock
    doubtful: set[str] = field(default_factory=set)  # nobody knows whether it was done
    asked: dict[str, list[str]] = field(default_factory=dict)  # acknowledged questions by conversation
    signed_out: dict[str, float] = field(default_factory=dict)  # when sessions ended, by their cookies
    sessions: int = 0  # sign-ins that were acknowledged
    wrong: list[str] = field(default_factory=list)  # what must not have been answered
    lock: threading.Lock = field(default_factory=threading.Lock)

    def record(self, attempt: Attempt) -> None:
        """Add what came of a request."""
        with self.lock:
            self.attempts.append(attempt)

    def living(self) -> list[str]:
        """Return the words of documents that were acknowledged, and that nobody has tried to delete."""
        with self.lock:
            return [word for word in self.added if word not in self.deleted and word not in self.doubtful]

    def outcome(self, since: float, until: float) -> Outcome:
        """Return what came of everything that ended within a stretch of time."""
        with self.lock:
            attempts = list(self.attempts)
        return outcome_of(attempts, since, until)


def now() -> float:
    """Return the monotonic clock, in seconds."""
    return time.monotonic()
