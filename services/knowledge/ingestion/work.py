"""What travels through the pipeline."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.knowledge.store.jobs import Claim
from services.knowledge.types import ChunkDraft, Section


@dataclass(eq=False, slots=True)
class Work:
    """A job in progress. `total` chunks come out of `drafts`; `taken` of them were embedded, `stored` committed."""

    claim: Claim
    cancelled: threading.Event = field(default_factory=threading.Event)
    drafts: Iterator[ChunkDraft] = field(default_factory=lambda: iter(()))
    sections: Sequence[Section] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    total: int = 0
    taken: int = 0
    stored: int = 0

    @property
    def remaining(self) -> int:
        """Chunks that are still to be embedded."""
        return self.total - self.taken

    def prepare(self, drafts: Iterable[ChunkDraft], total: int, sections: Sequence[Section], **facts: Any) -> None:
        """Set what is to be embedded."""
        self.drafts = iter(drafts)
        self.total = total
        self.sections = sections
        self.facts = facts

    def take(self, count: int) -> list[ChunkDraft]:
        """Return at most `count` of the next chunks."""
        drafts = list(islice(self.drafts, count))
        self.taken += len(drafts)
        return drafts


@dataclass(eq=False, slots=True)
class Piece:
    """Some chunks of a job, in a row; `vectors` is float32 (n, d), `last` tells that the job has no more."""

    work: Work
    drafts: list[ChunkDraft]
    last: bool
    vectors: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))


class TakenAwayError(Exception):
    """The job was cancelled, deleted or replaced while it was being worked on; whoever did that has cleaned up."""
