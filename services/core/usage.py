"""What people use, as the services report it: questions, tokens, documents, bytes. Identity adds it up by person."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol

from services.core.actor import Actor


@dataclass(frozen=True, slots=True)
class UsageCounts:
    """Questions asked, tokens that chat models read and wrote, documents handed in and their size in bytes."""

    questions: int = 0
    tokens: int = 0
    documents: int = 0
    bytes: int = 0

    def __add__(self, other: UsageCounts) -> UsageCounts:
        return UsageCounts(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


class UsageSink(Protocol):
    """Where usage is counted. Thread-safe, and quick: nothing is written at once."""

    def count(self, actor: Actor, used: UsageCounts) -> None:
        """Count what somebody has just used."""


class NoUsage:
    """Counts nothing."""

    def count(self, actor: Actor, used: UsageCounts) -> None:
        """Do nothing."""
