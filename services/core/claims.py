"""What one process at a time may do, where several serve one pond: each part asks for a claim by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum
from typing import Protocol


class ClaimKind(StrEnum):
    """What claims are for: their names begin so, those that are for one thing of many go on with a colon.

    Each is a node's text on the page "Nodes" (`console/ui/nodes/node_words.py`). Older versions know the names.
    """

    CONVERSATION = "conversation"
    BACKUP = "backup"
    RESTART = "restart"
    DELETION = "deletion of collection"
    MODEL_CHANGE = "change of the embedding model"
    OUTDATED = "documents of another model"
    ORIGINALS = "originals sweep"


class Claims(Protocol):
    """Gives claims; thread-safe."""

    def held(self, name: str) -> AbstractContextManager[bool]:
        """Hold a claim while the block runs; it yields whether it is ours: False where another node has it."""

    def owner(self, name: str) -> str:
        """Return the name of the node that has a claim, "" for none."""

    def is_late(self, name: str) -> bool:
        """Return whether the node that has a claim has missed a sign of life, and may be taken over in a moment."""


class Alone:
    """The claims of a process that serves its pond alone: all of them are its own."""

    @contextmanager
    def held(self, name: str) -> Iterator[bool]:  # noqa: ARG002 - there is nobody else
        """Yield True."""
        yield True

    def owner(self, name: str) -> str:  # noqa: ARG002 - there is nobody else
        """Return ""."""
        return ""

    def is_late(self, name: str) -> bool:  # noqa: ARG002 - there is nobody else
        """Return False."""
        return False


ALONE = Alone()
