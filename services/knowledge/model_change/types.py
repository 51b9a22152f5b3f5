"""What is told about a change of the embedding model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class NodesBeside:
    """What a change asks and tells the other nodes; by default there are none.

    `names` returns those that work, in words; `require_alone` raises ConflictError where there are some, with what
    cannot be done beside them; `on_changed` hears the fingerprint of the model that answers now.
    """

    names: Callable[[], str] = lambda: ""
    require_alone: Callable[[str], None] = lambda _what: None
    on_changed: Callable[[str], None] = lambda _fingerprint: None


class ChangeStage(StrEnum):
    """Where a change of the model is."""

    NONE = "none"  # the corpus has the configured model
    OFFERED = "offered"  # another model is configured, or has become the default: nothing is done
    CANCELLED = "cancelled"  # as offered, and somebody did not want it
    EMBEDDING = "embedding"
    WAITING = "waiting"  # for memory or disk space; it goes on by itself
    PAUSED = "paused"
    FAILED = "failed"
    SWITCHING = "switching"  # all vectors are there, the index is being made
    TIDYING = "tidying"  # the new model answers; its vectors take the place of the old ones
    LOST = "lost"  # the files of the corpus's model are gone: its documents are embedded anew


ACTIVE = frozenset(
    {ChangeStage.EMBEDDING, ChangeStage.WAITING, ChangeStage.SWITCHING, ChangeStage.PAUSED, ChangeStage.FAILED}
)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """An embedding model: numbers of a vector, most tokens that it reads of a chunk; 0 where that is not known yet."""

    name: str
    fingerprint: str
    dimension: int = 0
    max_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ChangeCost:
    """What the whole change costs: bytes in memory and on disk meanwhile, time in seconds where a rate is known.

    `model_bytes` are the weights of the second model, `index_bytes` the second index; for the time of the change both
    models are in memory. `measured`: rate and `model_bytes` were measured on this machine.
    """

    chunks: int
    seconds: float | None
    disk_bytes: int
    model_bytes: int
    index_bytes: int
    measured: bool


@dataclass(frozen=True, slots=True)
class ModelChangeStatus:
    """Where the change is: `done` of `total` chunks have their vector of the coming model.

    `brings` says in words what the change brings, `reason` why it waits, `person` who paused, started or cancelled it
    last ("": the service itself). `lost` is the name of the corpus's model where its files are gone.
    """

    stage: ChangeStage
    serving: ModelFacts
    coming: ModelFacts | None = None
    done: int = 0
    total: int = 0
    chunks_per_second: float | None = None
    seconds_left: float | None = None
    person: str = ""
    started_at: datetime | None = None
    changed_at: datetime | None = None
    reason: str = ""
    error: str = ""
    hint: str = ""
    lost: str = ""
    brings: tuple[str, ...] = ()
    cost: ChangeCost | None = None

    @property
    def share(self) -> float:
        """The share that is done, 0 to 1."""
        return self.done / self.total if self.total else 0.0
