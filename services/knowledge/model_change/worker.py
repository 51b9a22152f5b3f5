"""The thread that changes the corpus to another embedding model: embeds beside, switches, tidies up.

Everything that is done is in the database after each batch; a kill costs the batch in work. Chunks are taken in the
order of their ids, which only grow: documents that come meanwhile are at the end, and are embedded before the switch.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from services.core.admission import Admission, Reservation
from services.core.claims import ClaimKind, Claims
from services.core.database import Database
from services.core.errors import CancelledError, ConflictError, MillpondError, StorageError, UnavailableError
from services.core.events import Counter, EventKind, EventSink
from services.core.i18n import _
from services.core.memory_report import MemoryReport
from services.core.thread_priority import start_low_priority_thread
from services.knowledge.files.file_store import FileStore
from services.knowledge.ingestion.embed_stage import CHUNK_BYTES, FORWARD_PASS_BYTES
from services.knowledge.model_change.types import NodesBeside
from services.knowledge.store.chunks import ChunkStore
from services.knowledge.store.model_changes import ChangeState, CorpusModel, ModelChangeStore, switch
from services.knowledge.store.unit_of_work import renew_version

if TYPE_CHECKING:
    from services.knowledge.embedding import Embedder
    from services.knowledge.embedding.serving_model import ServingModel
    from services.knowledge.ingestion import Ingestion
    from services.knowledge.parsing.pool import ParserPool
    from services.knowledge.store.dense_index import DenseIndex, DenseIndexManager

log = structlog.get_logger(__name__)

BATCH_CHUNKS = 128
BATCH_CHUNKS_LOW_MEMORY = 32
# So few chunks are embedded while those who write wait for the switch; more are embedded first.
LAST_CHUNKS = 32
# How much the newest batch counts for the rate.
_RATE_SHARE = 0.2
_POLL_SECONDS = 1.0
_RETRY_SECONDS = 5.0
_CLOSE_SECONDS = 30.0
_CLAIM = ClaimKind.MODEL_CHANGE
_STARTED = frozenset({ChangeState.RUNNING, ChangeState.PAUSED, ChangeState.FAILED})


class ChangeWorker:
    """Works on the change that the database has; `wake` after each decision. Thread-safe."""

    def __init__(  # noqa: PLR0917 - `ModelChange` calls it, nobody else
        self,
        database: Database,
        store: ModelChangeStore,
        files: FileStore,
        serving: ServingModel,
        index: DenseIndexManager,
        ingestion: Ingestion,
        parser: ParserPool,
        load: Callable[[], Embedder],
        expected_bytes: int,
        reporter: EventSink,
        admission: Admission,
        claims: Claims,
        nodes: NodesBeside,
    ) -> None:
        self._claims = claims
        self._nodes = nodes
        self._database = database
        self._store = store
        self._files = files
        self._serving = serving
        self._index = index
        self._ingestion = ingestion
        self._parser = parser
        self._load = load
        self._expected_bytes = expected_bytes  # of its weights, before they were loaded once
        self._reporter = reporter
        self._admission = admission
        self._stopping = threading.Event()
        self._interrupted = threading.Event()
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None
        self._loading = threading.Lock()
        self._model: Embedder | None = None
        self._beside: DenseIndex | None = None
        self._trusted = ""  # of which model the trust was measured
        self._last = 0.0
        self.rate: float | None = None  # chunks a second, pauses for questions included
        self.reason = ""
        self.switching = self.tidying = False

    def start(self) -> None:
        """Start the thread, where there is another model or something is left of one; it goes on where it was."""
        if self._store.coming() is None and not self._store.has_beside():
            return
        self._thread = start_low_priority_thread("model-change", self._run)

    def wake(self) -> None:
        """Look again at what is to be done; a batch that is in work for something else is dropped."""
        self._interrupted.set()
        self._woken.set()

    def close(self) -> None:
        """Stop, and release the coming model."""
        self._stopping.set()
        self.wake()
        if self._thread is not None:
            self._thread.join(_CLOSE_SECONDS)
        self._drop_model()

    def memory_reports(self) -> list[MemoryReport]:
        """Return what the change holds in memory: the second model, its tokenizer, the second index."""
        model, index = self._model, self._beside
        found = []
        if model is not None:
            found += [(model.memory_report(), _("Coming embedding model"))]
            found += [(model.tokenizer_memory_report(), _("Tokenizer of the coming embedding model"))]
        if index is not None and index is not self._index.index:
            found += [(index.memory_report(), _("Vector index of the coming model"))]
        return [replace(report, name=name) for report, name in found]

    def measure(self, most: int) -> tuple[float, int]:
        """Embed a sample with the coming model; return chunks a second, and the bytes of its weights.

        Raises:
            MillpondError: it cannot be loaded, or memory is short.
        """
        texts = self._store.sample(most)
        with self._loading:
            kept = self._model
            model = kept or self._load()
            try:
                model.embed_chunks(texts[:4])
                began = time.monotonic()
                model.embed_chunks(texts)
                took = time.monotonic() - began
                size = model.memory_report().bytes + model.tokenizer_memory_report().bytes
            finally:
                if kept is None:
                    model.discard()
        return len(texts) / max(took, 1e-6), size

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            self._interrupted.clear()
            try:
                worked = self._step()
            except CancelledError:
                continue
            except StorageError as error:
                self.reason = str(error)
                self._woken.wait(_RETRY_SECONDS)
            except MillpondError as error:
                log.warning("change of the embedding model failed", reason=str(error))
                self._fail(error)
            except Exception:
                reference = secrets.token_hex(4)
                log.exception("model change defect", reference=reference)
                self._fail(
                    UnavailableError(
                        _("Something unexpected went wrong (reference {reference}).").format(reference=reference),
                        _("Resume it; if it happens again, report it with the log lines of that reference."),
                    )
                )
            else:
                if not worked:
                    self._woken.wait(_POLL_SECONDS if self.reason else None)

    def _step(self) -> bool:
        """Do the next of what there is to do, unless another node does; return whether something was done."""
        with self._claims.held(_CLAIM) as ours:
            if ours:
                return self._work()
        self.reason = _("Another node works on it.")
        return False

    def _work(self) -> bool:
        coming = self._store.coming()
        kept = coming.fingerprint if coming is not None and coming.state in _STARTED else ""
        self.tidying = self._store.tidy(self._serving.fingerprint, kept)
        if self.tidying:
            self._give_way(0.05)
            return True
        if coming is None or coming.state is not ChangeState.RUNNING:
            self.reason, self._last = "", 0.0
            self._drop_model()
            return False
        self.reason = self._obstacle()
        if self.reason:
            self._last = 0.0
            if self._model is not None:
                self._model.release()
            return False
        model = self._loaded(coming)
        low = self._admission.low_memory
        batch = self._store.next_chunks(coming.fingerprint, BATCH_CHUNKS_LOW_MEMORY if low else BATCH_CHUNKS)
        if batch:
            self._embed(model, coming, batch)
            return True
        self._measure_trust(model, coming)
        self.switching = True
        try:
            self._switch(model, coming)
        finally:
            self.switching = False
        return True

    def _obstacle(self) -> str:
        """Return why nothing is done at present, "" where nothing is in the way."""
        if self._admission.pause_seconds:
            return _("Memory is short, or ingestion was slowed down; the change goes on by itself.")
        if names := self._nodes.names():
            return _("Other nodes are running ({names}); the change goes on by itself when they have ended.").format(
                names=names
            )
        return self._files.shortage()

    def _loaded(self, coming: CorpusModel) -> Embedder:
        if self._model is not None:
            return self._model
        what = _("The coming embedding model")
        with self._loading, self._reserve(coming.model_bytes or self._expected_bytes, what):
            began = time.monotonic()
            model = self._load()
        if model.fingerprint != coming.fingerprint:
            model.discard()
            raise ConflictError(
                _("The configured embedding model was changed on disk; its vectors so far are of another one."),
                _("Restart Millpond: it looks at the model again."),
            )
        with self._serving.in_use() as serving:
            model.share_priority(serving)
        self._model = model
        report = model.memory_report()
        self._store.update_coming(model_bytes=report.bytes + model.tokenizer_memory_report().bytes)
        self._reporter.event(
            EventKind.MODEL,
            _("coming embedding model loaded: {name}").format(name=report.detail),
            seconds=time.monotonic() - began,
            bytes=report.bytes,
        )
        return model

    def _embed(self, model: Embedder, coming: CorpusModel, batch: list[tuple[int, str]]) -> None:
        began = time.monotonic()
        with self._reserve(FORWARD_PASS_BYTES + CHUNK_BYTES * len(batch), _("Embedding")):
            self._keep(model, coming, batch)
        if self._ingestion.busy:
            self._give_way(time.monotonic() - began)

    def _keep(self, model: Embedder, coming: CorpusModel, batch: list[tuple[int, str]]) -> None:
        """Embed chunks and store their vectors."""
        began = time.monotonic()
        vectors = model.embed_chunks([text for _id, text in batch], cancelled=self._halted)
        now = time.monotonic()
        newest = len(batch) / max(now - (self._last or began), 1e-6)
        before = coming.chunks_per_second if self.rate is None else self.rate
        self.rate = newest if before is None else _RATE_SHARE * newest + (1 - _RATE_SHARE) * before
        self._last = now
        self._store.keep([chunk for chunk, _text in batch], vectors, coming.fingerprint, self.rate)
        self._reporter.count(Counter.CHUNKS_CHANGED, len(batch))

    def _halted(self) -> bool:
        """Whether something else was decided, or the process ends."""
        return self._interrupted.is_set() or self._stopping.is_set()

    def _give_way(self, seconds: float) -> None:
        """Rest, so that documents that are being taken in get their share, unless something is decided."""
        self._interrupted.wait(min(seconds, _RETRY_SECONDS))

    def _reserve(self, needed: int, what: str) -> Reservation:
        """Wait until memory can be reserved.

        Raises:
            CancelledError: something else was decided meanwhile.
        """
        while not self._halted():
            reservation = self._admission.try_reserve(needed, what)
            if reservation is not None:
                self.reason = ""
                return reservation
            self.reason = self._admission.shortage(needed, what)
            self._interrupted.wait(_POLL_SECONDS)
        raise CancelledError(_("Stopped."))

    def _measure_trust(self, model: Embedder, coming: CorpusModel) -> None:
        """Measure how well the coming model knows the languages of the corpus: it is known from the switch on."""
        if self._trusted != coming.fingerprint:
            from services.knowledge.retrieval.language_trust import LanguageTrust

            trust = LanguageTrust(self._database, ChunkStore(self._database), model)
            trust.measure(self._halted)
            self._trusted = coming.fingerprint

    def _switch(self, model: Embedder, coming: CorpusModel) -> None:
        """Have the coming model answer: one transaction, then model and index are replaced in memory.

        Its index is made before; who writes waits from the last chunks on, who asks does not. With too many last chunks
        nothing is done yet.
        """
        began, fingerprint, store = time.monotonic(), coming.fingerprint, self._store
        ids, groups = store.searchable_ids()
        embedded = ids <= store.position(fingerprint)
        size = self._index.bytes_needed(int(embedded.sum()), model.dimension)
        with self._reserve(size, _("The index of the coming model")):
            if self._beside is None:
                self._beside = self._index.build(ids[embedded], groups[embedded], fingerprint, model.dimension)
            else:
                self._index.bring_up_to_date(self._beside, ids[embedded], groups[embedded], fingerprint)
        with self._ingestion.writer.exclusively():
            last = store.next_chunks(fingerprint, LAST_CHUNKS + 1)
            if len(last) > LAST_CHUNKS:
                return
            if last:
                self._keep(model, coming, last)
            ids, groups = store.searchable_ids()
            self._index.bring_up_to_date(self._beside, ids, groups, fingerprint)
            with self._database.write() as connection:
                if self._nodes.names():
                    return  # one has joined meanwhile; in this transaction none can
                switch(connection, coming)
                renew_version(connection)
            self._index.adopt(self._beside, fingerprint)
            before = self._serving.replace(model)
            self._parser.use_tokenizer(model.tokenizer_file, model.max_tokens)
            self._nodes.on_changed(fingerprint)
        self._model = self._beside = None
        self.rate, self._last = None, 0.0
        while not self._serving.wait_unused(before, _POLL_SECONDS) and not self._stopping.is_set():
            pass
        before.discard()
        self._index.forget_before()
        log.info("embedding model changed", chunks=len(ids), model=coming.name)
        self._reporter.event(
            EventKind.MODEL,
            _("the documents are embedded with {name} now").format(name=coming.name),
            chunks=len(ids),
            seconds=time.monotonic() - began,
        )

    def _fail(self, error: MillpondError) -> None:
        self._drop_model()
        try:
            self._store.update_coming(state=ChangeState.FAILED, error=error.message, hint=error.hint)
        except MillpondError as second:
            self.reason = str(second)
            self._woken.wait(_RETRY_SECONDS)
        self._reporter.event(EventKind.MODEL, _("change of the embedding model failed: {reason}").format(reason=error))

    def _drop_model(self) -> None:
        model, self._model, self._beside = self._model, None, None
        if model is not None:
            model.discard()
