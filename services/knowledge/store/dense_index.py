"""What searches, writers and a change of the model ask of whatever finds the nearest vectors: the index in RAM
(`services.knowledge.index`), or tables that PostgreSQL searches (`services.knowledge.vector_search`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

from services.core.i18n import plural
from services.core.memory_report import MemoryReport
from services.knowledge.store.chunks import Ids, Vectors
from services.knowledge.store.documents import Regrouping
from services.knowledge.store.revisions import Switch


class DenseIndex(Protocol):
    """The vectors that one model made."""

    @property
    def dimension(self) -> int:
        """How many components a vector has."""

    def __len__(self) -> int:
        """How many vectors there are."""

    def search(self, vector: Vectors, k: int, groups: Collection[int] | None = None) -> tuple[Ids, Vectors]:
        """Return (ids, scores) of the at most k best vectors of the given collections (None: all), best first.

        `vector` is float32 (d,), normalised; scores are cosines, of less than float32's precision. int64 (n,) and
        float32 (n,).
        """

    def memory_report(self) -> MemoryReport:
        """Return what it holds in this process."""


class IndexChanges(Protocol):
    """What a transaction changes about the vectors that are searched."""

    @property
    def switches(self) -> Sequence[Switch]:
        """Revisions that become active."""

    @property
    def regroupings(self) -> Sequence[Regrouping]:
        """Documents that are moved, enabled or disabled."""

    @property
    def removed(self) -> Sequence[Ids]:
        """Chunks that go."""

    @property
    def hidden(self) -> Sequence[Ids]:
        """Chunks of revisions that are not active yet."""

    @property
    def removes(self) -> bool:
        """Whether something that was searchable is gone."""


class DenseIndexManager(Protocol):
    """Owns the index of the process; while the corpus changes to another model, for a moment both."""

    fingerprint: str

    @property
    def index(self) -> DenseIndex:
        """The index that serves. Raises UnavailableError before `start`."""

    @property
    def ready(self) -> bool:
        """Whether it has all that the database has."""

    def index_of(self, fingerprint: str) -> DenseIndex:
        """Return the index of a model: the one that serves, or until `forget_before` the one before it."""

    def start(self) -> None:
        """Make it what the database says, and serve it."""

    def store(self, connection: Any, changes: IndexChanges) -> None:
        """Write what the index keeps in the database, as a part of the transaction that makes these changes."""

    def apply(self, changes: IndexChanges) -> None:
        """Follow changes that this process has committed."""

    def follow(self, touched: Ids) -> int:
        """Follow what another node has committed about these chunks, ordered; return how many changed."""

    def read_anew(self) -> None:
        """Make it what the database says: it may have missed a change."""

    def bytes_needed(self, vectors: int, dimension: int) -> int:
        """Return about how much memory of this process an index of so many vectors takes."""

    def build(self, ids: Ids, groups: Ids, fingerprint: str, dimension: int) -> DenseIndex:
        """Return an index of the vectors that another model made of these chunks."""

    def bring_up_to_date(self, index: DenseIndex, ids: Ids, groups: Ids, fingerprint: str) -> None:
        """Make an index that `build` returned hold exactly these chunks."""

    def adopt(self, index: DenseIndex, fingerprint: str) -> None:
        """Serve an index that `build` returned."""

    def forget_before(self) -> None:
        """Let the index of the model before go."""

    def close(self) -> None:
        """End what it does in the background."""


def foreign_vectors_text(count: int) -> str:
    """Return that so many chunks were embedded by another model, in words."""
    return plural(
        "{count} chunk was embedded by another model; only its words are searched until it is re-embedded.",
        "{count} chunks were embedded by another model; only their words are searched until re-embedded.",
        count,
    )
