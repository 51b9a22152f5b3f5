"""What a change of the embedding model brings and costs, before it is made."""

from __future__ import annotations

from services.core.i18n import _
from services.knowledge.embedding.model_files import ModelFiles
from services.knowledge.model_change.types import ChangeCost, ModelFacts
from services.knowledge.store.model_changes import CorpusModel

_VECTOR_ROW_BYTES = 96  # of a vector beside, without the vector: keys, fingerprint, the rest of its page
_INDEX_ROW_BYTES = 12  # id and group


def facts_of(files: ModelFiles, model: CorpusModel) -> ModelFacts:
    """Return what the folder of a model tells of it."""
    config = files.config
    dimension = next((int(config[name]) for name in ("hidden_size", "dim", "d_model") if config.get(name)), 0)
    return ModelFacts(model.name, model.fingerprint, dimension, files.max_tokens)


def weight_bytes(files: ModelFiles) -> int:
    """Return the size of a model's weights on disk: what it takes in memory at most."""
    try:
        return files.weights.stat().st_size
    except OSError:
        return 0


def change_brings(serving: ModelFacts, coming: ModelFacts) -> tuple[str, ...]:
    """Return in sentences what another model brings."""
    found = [_known(coming.name)]
    if coming.max_tokens and coming.max_tokens != serving.max_tokens:
        found.append(
            _("It reads {new} tokens of a chunk, {old} before; chunks stay as they were cut.").format(
                new=coming.max_tokens, old=serving.max_tokens
            )
        )
    if coming.dimension and coming.dimension != serving.dimension:
        found.append(
            _("A vector has {new} numbers, {old} before: the index takes {factor:.1f} times the memory.").format(
                new=coming.dimension, old=serving.dimension, factor=coming.dimension / serving.dimension
            )
        )
    found.append(
        _("Meanwhile questions are answered with {old}, and new documents are found at once.").format(old=serving.name)
    )
    return tuple(text for text in found if text)


def _known(name: str) -> str:
    if "e5" in name.lower() and "multilingual" in name.lower():
        return _("It knows a hundred languages: a question finds what a document says in another one.")
    if "minilm-l6" in name.lower():
        return _("It knows English, and is fast.")
    return ""


def change_cost(coming: ModelFacts, chunks: int, model: CorpusModel, weights: int) -> ChangeCost:
    """Return what it costs to embed so many chunks with the coming model; `weights`: their bytes on disk."""
    rate = model.chunks_per_second
    return ChangeCost(
        chunks=chunks,
        seconds=chunks / rate if rate else None,
        disk_bytes=chunks * (4 * coming.dimension + _VECTOR_ROW_BYTES),
        model_bytes=model.model_bytes or weights,
        index_bytes=chunks * (coming.dimension + _INDEX_ROW_BYTES),
        measured=bool(rate and model.model_bytes),
    )
