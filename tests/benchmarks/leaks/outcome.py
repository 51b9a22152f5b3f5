"""The outcome of one trial of the detector and its scoring, for replayed shapes and real leaks alike."""

from __future__ import annotations

from dataclasses import dataclass

from services.memory.leaks.types import LeakKind, Verdict, VerdictState


@dataclass(frozen=True)
class Outcome:
    """One trial: what was run, what it should have been called, what it was called.

    `verdict` is the one that counts: of a leak the first LEAK (the last verdict when it never came), of a harmless one
    the worst verdict of the whole run. `expected_suspects` are substrings, case ignored, one of which must be in the
    name or detail of one of the first three suspects; empty: suspects are not scored. `seconds` is how long the leak
    ran, on the detector's clock, before it was named.
    """

    name: str
    is_leak: bool
    verdict: Verdict
    expected_kind: LeakKind | None = None
    expected_suspects: tuple[str, ...] = ()
    seconds: float | None = None
    detail: str = ""

    @property
    def called_leak(self) -> bool:
        return self.verdict.state is VerdictState.LEAK

    @property
    def right_kind(self) -> bool:
        return self.verdict.kind is self.expected_kind

    @property
    def right_suspect(self) -> bool:
        words = [word.lower() for word in self.expected_suspects]
        texts = [f"{suspect.name} {suspect.detail}".lower() for suspect in self.verdict.suspects[:3]]
        return any(word in text for word in words for text in texts)
