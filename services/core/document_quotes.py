"""What remains of documents elsewhere when they are deleted: words that answers quote. Chat has them, documents ask."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Quoted:
    """How many answers quote documents or were written from them, and in how many conversations."""

    answers: int = 0
    conversations: int = 0


class DocumentQuotes(Protocol):
    """The quotes of documents. Thread-safe."""

    def count(self, document_ids: Collection[int]) -> Quoted:
        """Return how many answers quote any of these documents."""

    def mark_deleted(self, document_ids: Collection[int]) -> None:
        """Have the quotes of these documents named as those of a deleted document."""

    def erase(self, document_ids: Collection[int]) -> Quoted:
        """Erase the answers that quote any of these documents, with its name; return how many there were."""

    def mark_missing(self, existing: Callable[[Collection[int]], Collection[int]]) -> None:
        """Mark the quotes of documents that are gone, also of those that were deleted while an answer was written.

        `existing` returns those of some ids that documents have.
        """

    def of_deleted(self) -> Quoted:
        """Return how many answers quote documents that were deleted."""

    def erase_deleted(self) -> Quoted:
        """Erase the answers that quote documents that were deleted; return how many there were."""


class NoQuotes:
    """Where there is no chat: nothing quotes."""

    def count(self, document_ids: Collection[int]) -> Quoted:  # noqa: ARG002 - the protocol's argument
        """Return 0."""
        return Quoted()

    def mark_deleted(self, document_ids: Collection[int]) -> None:
        """Do nothing."""

    def erase(self, document_ids: Collection[int]) -> Quoted:  # noqa: ARG002 - the protocol's argument
        """Do nothing."""
        return Quoted()

    def mark_missing(self, existing: Callable[[Collection[int]], Collection[int]]) -> None:
        """Do nothing."""

    def of_deleted(self) -> Quoted:
        """Return 0."""
        return Quoted()

    def erase_deleted(self) -> Quoted:
        """Do nothing."""
        return Quoted()
