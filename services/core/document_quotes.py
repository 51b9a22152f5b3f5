"""What remains of documents elsewhere when they are deleted: words that answers quote. Chat has them, documents ask."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from services.core.actor import Actor


@dataclass(frozen=True, slots=True)
class Quoted:
    """How many answers quote documents or were written from them, and in how many conversations."""

    answers: int = 0
    conversations: int = 0


class DocumentQuotes(Protocol):
    """The quotes of documents. Thread-safe."""

    def count(self, document_ids: Collection[int]) -> Quoted:
        """Return how many answers quote any of these documents."""

    def mark_deleted(self, document_ids: Collection[int], homes: Mapping[int, int] | None = None) -> None:
        """Have the quotes of these documents named as those of a deleted document; `homes`: where they were."""

    def erase(self, document_ids: Collection[int]) -> Quoted:
        """Erase the answers that quote any of these documents, with its name; return how many there were."""

    def mark_missing(self, existing: Callable[[Collection[int]], Collection[int]]) -> None:
        """Mark the quotes of documents that are gone, also of those that were deleted while an answer was written.

        `existing` returns those of some ids that documents have.
        """

    def of_deleted(self, actor: Actor) -> Quoted:
        """Return how many of the answers that `actor` may erase quote documents that were deleted."""

    def erase_deleted(self, actor: Actor) -> Quoted:
        """Erase the answers that quote documents that were deleted; return how many there were.

        Those in the conversations of `actor`; of everybody for administrators, and where nobody has an account.
        """


class ReadableDocuments(Protocol):
    """Which documents somebody may read, as chat asks for those that its answers quote."""

    def unreadable(self, actor: Actor, document_ids: Collection[int]) -> set[int]:
        """Return those of these documents that `actor` may not read, or that are gone."""


class AllReadable:
    """Where there are no documents, nothing is kept from anybody."""

    def unreadable(self, actor: Actor, document_ids: Collection[int]) -> set[int]:  # noqa: ARG002 - the protocol's
        """Return nothing."""
        return set()


class NoQuotes:
    """Where there is no chat: nothing quotes."""

    def count(self, document_ids: Collection[int]) -> Quoted:  # noqa: ARG002 - the protocol's argument
        """Return 0."""
        return Quoted()

    def mark_deleted(self, document_ids: Collection[int], homes: Mapping[int, int] | None = None) -> None:
        """Do nothing."""

    def erase(self, document_ids: Collection[int]) -> Quoted:  # noqa: ARG002 - the protocol's argument
        """Do nothing."""
        return Quoted()

    def mark_missing(self, existing: Callable[[Collection[int]], Collection[int]]) -> None:
        """Do nothing."""

    def of_deleted(self, actor: Actor) -> Quoted:  # noqa: ARG002 - the protocol's argument
        """Return 0."""
        return Quoted()

    def erase_deleted(self, actor: Actor) -> Quoted:  # noqa: ARG002 - the protocol's argument
        """Do nothing."""
        return Quoted()
