"""Which model serves after a start: the one that made the vectors of the corpus, also when another is configured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from services.core.errors import MillpondError
from services.core.settings import Settings
from services.knowledge.bundled_models import MINILM, MULTILINGUAL
from services.knowledge.embedding.model_files import ModelFiles, find_model
from services.knowledge.store.model_changes import ChangeState, CorpusModel, ModelChangeStore

log = structlog.get_logger(__name__)

# Settings by which a model that comes with Millpond is found, now or in a later version.
_BUNDLED = ("", MINILM, MULTILINGUAL)


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The settings by which the serving model is loaded.

    `coming` is the configured model, where the corpus has another one; `missing` is the model of the corpus, where its
    files are gone: then the configured one serves.
    """

    settings: Settings
    coming: ModelFiles | None = None
    missing: CorpusModel | None = None
    recorded: CorpusModel | None = None

    def without_corpus_model(self, settings: Settings) -> ModelChoice:
        """Return the choice for when the model of the corpus cannot be loaded: the configured one serves."""
        return ModelChoice(settings, missing=self.recorded, recorded=self.recorded)


def choose_model(settings: Settings, store: ModelChangeStore, configured: ModelFiles | None) -> ModelChoice:
    """Choose by what the data folder remembers and the settings; `configured` are their files where they are known.

    Raises:
        UnavailableError, DamagedError: the configured model cannot be used.
    """
    recorded = store.serving()
    if recorded is None or store.is_empty():
        return ModelChoice(settings)
    if configured is None:
        configured = find_model(settings.embedding_model, settings.embedding_sha256)
    if recorded.fingerprint == configured.fingerprint:
        return ModelChoice(settings)
    for value in dict.fromkeys((recorded.model, *_BUNDLED)):
        if value == settings.embedding_model:
            continue
        try:
            found = find_model(value, "")
        except MillpondError as error:
            log.debug("not the corpus's model", model=value, reason=str(error))
            continue
        if found.fingerprint == recorded.fingerprint:
            kept = settings.model_copy(update={"embedding_model": value, "embedding_sha256": ""})
            return ModelChoice(kept, coming=configured, recorded=recorded)
    return ModelChoice(settings, missing=recorded, recorded=recorded)


def record_choice(choice: ModelChoice, store: ModelChangeStore, serving: CorpusModel, settings: Settings) -> int:
    """Record what serves, and what the corpus is to become; return how many documents of a lost model still answer.

    A model that somebody has configured is changed to at once, unless that was cancelled; a new default is offered.
    """
    if choice.missing is not None:
        return store.adopt(serving)
    store.set_serving(serving)
    known, files = store.coming(), choice.coming
    if files is None:
        if known is not None:
            store.forget_coming()
        return 0
    if known is None or known.fingerprint != files.fingerprint:
        known = CorpusModel(files.fingerprint, files.name, settings.embedding_model)
        store.set_coming(known)
    if settings.embedding_model and known.state is ChangeState.OFFERED:
        started = replace(known, state=ChangeState.RUNNING, started_at=datetime.now(UTC))
        store.set_coming(started)
    return 0
