"""Metrics of a change of the documents' embedding model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from services.operations.metrics import Family, MetricValue

if TYPE_CHECKING:
    from services.knowledge.model_change import ModelChange

_STAGE = Family(
    "millpond_model_change_stage", "1 for the stage that a change of the embedding model is in.", ("stage",)
)
_CHUNKS = Family("millpond_model_change_chunks", "Chunks that a change of the embedding model has to embed.")
_DONE = Family("millpond_model_change_chunks_done", "Chunks of them that are embedded by the coming model.")
_RATE = Family("millpond_model_change_chunks_per_second", "Pace of the change, as measured last; 0: not measured.")
FAMILIES = (_STAGE, _CHUNKS, _DONE, _RATE)


def read(change: ModelChange) -> Iterator[MetricValue]:
    """Return where the change is."""
    status = change.status()
    for stage in type(status.stage):
        yield MetricValue(_STAGE, float(stage is status.stage), (stage.value,))
    yield MetricValue(_CHUNKS, status.total)
    yield MetricValue(_DONE, status.done)
    yield MetricValue(_RATE, status.chunks_per_second or 0.0)
