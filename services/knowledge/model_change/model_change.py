"""Change of the corpus's embedding model, as people see and steer it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from services.core.actor import Actor, Permission
from services.core.admission import Admission
from services.core.auditing import Action, Target, TargetKind
from services.core.claims import ALONE, Claims
from services.core.database import Database
from services.core.errors import ConflictError
from services.core.events import EventKind, EventSink, NullEventSink
from services.core.i18n import _
from services.core.memory_report import MemoryReport
from services.knowledge.files.file_store import FileStore
from services.knowledge.model_change.cost import change_brings, change_cost, facts_of, weight_bytes
from services.knowledge.model_change.model_choice import ModelChoice
from services.knowledge.model_change.types import ChangeStage, ModelChangeStatus, ModelFacts, NodesBeside
from services.knowledge.model_change.worker import ChangeWorker
from services.knowledge.store.model_changes import ChangeState, CorpusModel, ModelChangeStore

if TYPE_CHECKING:
    from services.knowledge.embedding import Embedder
    from services.knowledge.embedding.serving_model import ServingModel
    from services.knowledge.ingestion import Ingestion
    from services.knowledge.parsing.pool import ParserPool
    from services.knowledge.store.dense_index import DenseIndexManager

MEASURED_CHUNKS = 64


class ModelChange:
    """Tells what a change of the embedding model brings, costs and has done; starts, pauses and cancels it.

    Thread-safe. What is decided is on disk when a method returns, and holds across restarts.
    """

    def __init__(  # noqa: PLR0917 - the composition root calls it, nobody else
        self,
        database: Database,
        files: FileStore,
        serving: ServingModel,
        index: DenseIndexManager,
        ingestion: Ingestion,
        parser: ParserPool,
        choice: ModelChoice,
        load: Callable[[], Embedder],
        *,
        reporter: EventSink | None = None,
        admission: Admission | None = None,
        claims: Claims = ALONE,
        nodes: NodesBeside | None = None,
    ) -> None:
        """`load` returns the coming model; it is changed to while no other node works (`nodes`)."""
        self._nodes = nodes or NodesBeside()
        self._store = ModelChangeStore(database)
        self._serving = serving
        self._ingestion = ingestion
        self._choice = choice
        self._reporter = reporter or NullEventSink()
        self._admission = admission or Admission()
        self._deciding = threading.Lock()
        self._weight_bytes = weight_bytes(choice.coming) if choice.coming is not None else 0
        self._worker = ChangeWorker(
            database,
            self._store,
            files,
            serving,
            index,
            ingestion,
            parser,
            load,
            self._weight_bytes,
            self._reporter,
            self._admission,
            claims,
            self._nodes,
        )

    def start_worker(self) -> None:
        """Start to work on what is decided; an interrupted change goes on."""
        coming = self._store.coming()
        if coming is not None:
            text = {
                ChangeState.RUNNING: _("change of the embedding model to {name} goes on"),
                ChangeState.OFFERED: _("the embedding model can be changed to {name}"),
            }.get(coming.state)
            if text is not None:
                self._reporter.event(EventKind.MODEL, text.format(name=coming.name))
        if self._choice.missing is not None:
            text = _("the files of the embedding model {name} are gone; its documents are embedded anew")
            self._reporter.event(EventKind.MODEL, text.format(name=self._choice.missing.name))
        self._worker.start()

    def close(self) -> None:
        """Stop after the batch in work; the next start goes on."""
        self._worker.close()

    def memory_reports(self) -> list[MemoryReport]:
        """Return what a change holds in memory."""
        return self._worker.memory_reports()

    def status(self) -> ModelChangeStatus:
        """Return where the change is, what it brings and what it costs."""
        coming, worker = self._store.coming(), self._worker
        files = self._serving.files
        serving = ModelFacts(files.name, self._serving.fingerprint, self._serving.dimension, self._serving.max_tokens)
        stage = self._stage(coming)
        missing = self._choice.missing
        lost = missing.name if missing is not None and stage is ChangeStage.LOST else ""
        if coming is None:
            return ModelChangeStatus(stage, serving, lost=lost)
        target = self._choice.coming
        known = facts_of(target, coming) if target is not None else ModelFacts(coming.name, coming.fingerprint)
        started = stage not in {ChangeStage.OFFERED, ChangeStage.CANCELLED}
        done, total = self._store.progress(coming.fingerprint)
        done = done if started else 0
        rate = worker.rate or coming.chunks_per_second
        return ModelChangeStatus(
            stage,
            serving,
            known,
            done=done,
            total=total,
            chunks_per_second=rate,
            seconds_left=(total - done) / rate if rate else None,
            person=coming.person,
            started_at=coming.started_at if started else None,
            changed_at=coming.changed_at,
            reason=worker.reason if stage is ChangeStage.WAITING else "",
            error=coming.error if stage is ChangeStage.FAILED else "",
            hint=coming.hint if stage is ChangeStage.FAILED else "",
            brings=change_brings(serving, known),
            cost=change_cost(known, total, coming, self._weight_bytes),
        )

    def measure(self, actor: Actor) -> ModelChangeStatus:
        """Load the coming model, embed a sample of the documents with it, and return the status with what it took.

        Raises:
            ForbiddenError: `actor` may not configure the service.
            ConflictError: there is no other model, or the change is running, which measures by itself.
            MillpondError: the model cannot be loaded, or memory is short; nothing was changed.
        """
        actor.require(Permission.CONFIGURE, _("Measure an embedding model"))
        with self._deciding:
            coming = self._require()
            if coming.state is ChangeState.RUNNING:
                raise ConflictError(_("The change is running, and measured all the time; nothing was done."))
            size = coming.model_bytes or self._weight_bytes
            with self._admission.reserve(size, _("The coming embedding model")):
                rate, held = self._worker.measure(MEASURED_CHUNKS)
            self._store.update_coming(chunks_per_second=rate, model_bytes=held)
        return self.status()

    def start(self, actor: Actor) -> ModelChangeStatus:
        """Start the change, or go on with one that was paused or has failed.

        Raises:
            ForbiddenError: `actor` may not configure the service.
            ConflictError: there is no other model, the change is running already, or other nodes are.
        """
        return self._decide(
            actor,
            ChangeState.RUNNING,
            frozenset(ChangeState) - {ChangeState.RUNNING},
            _("Change the embedding model"),
            _("The change is running already; nothing was changed."),
        )

    def pause(self, actor: Actor) -> ModelChangeStatus:
        """Pause the change; what is done is kept, the second model is released. Errors: as for `start`."""
        return self._decide(
            actor,
            ChangeState.PAUSED,
            frozenset({ChangeState.RUNNING}),
            _("Pause the change of the embedding model"),
            _("The change is not running; nothing was changed."),
        )

    def resume(self, actor: Actor) -> ModelChangeStatus:
        """Go on with a change that was paused or has failed. Errors: as for `start`."""
        return self._decide(
            actor,
            ChangeState.RUNNING,
            frozenset({ChangeState.PAUSED, ChangeState.FAILED}),
            _("Resume the change of the embedding model"),
            _("The change is not paused; nothing was changed."),
        )

    def cancel(self, actor: Actor) -> ModelChangeStatus:
        """Cancel the change: the vectors made for it are deleted, and no start begins it anew. Errors: as for `start`.

        Once the coming model answers there is nothing to cancel: configure the one before, and change back.
        """
        return self._decide(
            actor,
            ChangeState.CANCELLED,
            frozenset(ChangeState) - {ChangeState.CANCELLED},
            _("Cancel the change of the embedding model"),
            _("The change was cancelled already; nothing was changed."),
        )

    def _decide(
        self, actor: Actor, state: ChangeState, allowed: frozenset[ChangeState], action: str, refusal: str
    ) -> ModelChangeStatus:
        actor.require(Permission.CONFIGURE, action)
        if state is ChangeState.RUNNING:
            self._nodes.require_alone(_("The embedding model cannot be changed"))
        with self._deciding, self._ingestion.writer.exclusively():  # never during the switch
            coming = self._require()
            if coming.state not in allowed:
                raise ConflictError(refusal)
            values: dict[str, object] = {"state": state, "person": actor.name, "error": "", "hint": ""}
            if state is ChangeState.RUNNING and coming.state in {ChangeState.OFFERED, ChangeState.CANCELLED}:
                values["started_at"] = datetime.now(UTC)
            done, total = self._store.progress(coming.fingerprint)
            self._store.update_coming(**values)
            words = _STATES[state]().format(name=coming.name)
            target = Target(TargetKind.SETTING, "embedding_model", coming.name)
            self._reporter.audit(actor, Action.MODEL_CHANGE, target, detail=f"{state.value}, {done:,} / {total:,}")
            self._reporter.action(actor.name, EventKind.MODEL, words, done=done, total=total)
        self._worker.wake()
        return self.status()

    def _require(self) -> CorpusModel:
        coming = self._store.coming()
        if coming is None:
            raise ConflictError(
                _("The documents have the configured embedding model; there is nothing to change."),
                _("Name another model in MILLPOND_EMBEDDING_MODEL and restart Millpond."),
            )
        return coming

    def _stage(self, coming: CorpusModel | None) -> ChangeStage:
        worker = self._worker
        if coming is None:
            if self._choice.missing is not None and self._ingestion.job_store.unfinished():
                return ChangeStage.LOST
            return ChangeStage.TIDYING if worker.tidying else ChangeStage.NONE
        if coming.state is not ChangeState.RUNNING:
            return ChangeStage(coming.state.value)
        if worker.switching:
            return ChangeStage.SWITCHING
        return ChangeStage.WAITING if worker.reason else ChangeStage.EMBEDDING


_STATES: dict[ChangeState, Callable[[], str]] = {
    ChangeState.RUNNING: lambda: _("change of the embedding model to {name} started"),
    ChangeState.PAUSED: lambda: _("change of the embedding model to {name} paused"),
    ChangeState.CANCELLED: lambda: _("change of the embedding model to {name} cancelled"),
}
