"""Second stage of the pipeline: embeds chunks in batches that mix several files.

Batches are large, seconds of work, and files take turns in them. What comes meanwhile does not wait for the end of a
large batch: a second thread embeds small files of people who get nothing ready with it. A batch that several share is
short enough to be waited for, unless the machine is slow.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from services.core.errors import CancelledError, MillpondError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.knowledge.ingestion.state import IngestTask, PipelineState, TaskSlice
from services.knowledge.ingestion.turns import Flow, FlowTurns
from services.knowledge.store.chunks import Vectors
from services.knowledge.types import DocumentStatus, JobProgress

if TYPE_CHECKING:
    from services.core.admission import Reservation
    from services.knowledge.embedding.embedder_protocol import EmbeddingModel

# Chunks of a batch: enough for the embedder to sort by length, few enough to show progress.
BATCH_CHUNKS = 256
BATCH_CHUNKS_LOW_MEMORY = 64
# Nobody's chunks are done before the whole batch is: several flows share a shorter one, of about so many seconds.
SHARED_BATCH_CHUNKS = 64
SHARED_BATCH_SECONDS = 1.5
LEAST_BATCH_CHUNKS = 16
# Chunks of one file in a batch while other files wait.
CHUNKS_PER_FILE = 64
# Chunks of a batch beside the large one, about a second of work, and of a file that goes into it.
QUICK_BATCH_CHUNKS = 16
QUICK_FILE_CHUNKS = 64
# RAM of a chunk in this process until it is stored, and of the forward pass however small the batch is.
CHUNK_BYTES = 64 * 1024
FORWARD_PASS_BYTES = 8 * MEGABYTE
# A batch that is not large is waited for, if it takes no longer than this.
SHORT_SECONDS = 2.5
_POLL_SECONDS = 1.0


class EmbedStage:
    """Embeds the chunks of parsed files; one thread may call `run`, another one `run_quick`."""

    def __init__(self, state: PipelineState, embedder: EmbeddingModel) -> None:
        self._state = state
        self._embedder = embedder
        self._turns = FlowTurns()
        self._main: list[TaskSlice] = []  # the batch that `run` embeds; guarded by the lock of `state`
        self._began = 0.0
        self._chunk_seconds = 0.0  # of the last batch: what else the machine does changes it by far
        self.pause_reason = ""

    def run(self) -> None:
        """Embed queued chunks until the pipeline stops."""
        while not self._state.stopping.is_set():
            try:
                self._process(self._next_batch())
            finally:
                with self._state.to_embed:
                    self._main = []

    def run_quick(self) -> None:
        """Embed small files beside large batches until the pipeline stops."""
        while not self._state.stopping.is_set():
            self._process(self._next_quick_batch(), quick=True)

    def _process(self, batch: list[TaskSlice], *, quick: bool = False) -> None:
        state = self._state
        reservation = self._reserve(batch) if batch else None
        if reservation is None:
            return
        try:
            with reservation:
                self._embed(batch)
        except CancelledError:
            # All files of the batch were cancelled, or the pipeline stops.
            return
        except MillpondError as error:
            for part in batch:
                state.fail(part.task, error)
        except Exception as error:  # noqa: BLE001 - the boundary of the thread: one defect costs the jobs of one batch
            for part in batch:
                state.fail_unexpectedly(part.task, error)
        else:
            state.pass_on(batch, quick=quick)

    def _reserve(self, batch: list[TaskSlice]) -> Reservation | None:
        """Wait until memory can be reserved for a batch; None: the pipeline stops. `pause_reason` says why it waits."""
        state = self._state
        needed = FORWARD_PASS_BYTES + CHUNK_BYTES * sum(len(part.drafts) for part in batch)
        try:
            while not state.stopping.is_set():
                what = _("Embedding")
                reservation = state.admission.try_reserve(needed, what)
                if reservation is not None:
                    return reservation
                self.pause_reason = state.admission.shortage(needed, what)
                state.stopping.wait(_POLL_SECONDS)
        finally:
            self.pause_reason = ""
        return None

    def _next_batch(self) -> list[TaskSlice]:
        """Wait for chunks and return some of each file, by turns."""
        state = self._state
        with state.to_embed:
            if not state.parsed and not state.stopping.is_set():
                state.to_embed.wait(_POLL_SECONDS)
            state.parsed[:] = [task for task in state.parsed if not task.cancelled.is_set()]
            room = self._batch_chunks({task.flow for task in state.parsed})
            if state.admission.low_memory:
                room = min(room, BATCH_CHUNKS_LOW_MEMORY)
            share = min(CHUNKS_PER_FILE, room) if len(state.parsed) > 1 else room
            self._began = time.monotonic()
            self._main = batch = self._shared_out(state.parsed, room, share)
            if state.parsed:
                state.to_embed.notify_all()  # some of what is left may go beside it
        return _filled(batch)

    def _next_quick_batch(self) -> list[TaskSlice]:
        """Wait for small files of flows from which a large batch completes none, and return some of their chunks."""
        state = self._state
        with state.to_embed:
            served = {part.task.flow for part in self._main if part.last}
            small = [
                task
                for task in state.parsed
                # The chunks of a file are stored in their order: none of them may be on its way in a large batch.
                if task.remaining <= QUICK_FILE_CHUNKS
                and task.taken == task.stored
                and task.flow not in served
                and not task.cancelled.is_set()
            ]
            if not small or self._may_be_waited_for():
                state.to_embed.wait(_POLL_SECONDS)
                return []
            batch = self._shared_out(small, QUICK_BATCH_CHUNKS, QUICK_BATCH_CHUNKS)
        return _filled(batch)

    def _batch_chunks(self, flows: set[Flow]) -> int:
        """Return the most chunks of a batch that these flows share."""
        if len(flows) <= 1:
            return BATCH_CHUNKS
        fitting = int(SHARED_BATCH_SECONDS / self._chunk_seconds) if self._chunk_seconds else SHARED_BATCH_CHUNKS
        return min(SHARED_BATCH_CHUNKS, max(LEAST_BATCH_CHUNKS, fitting))

    def _may_be_waited_for(self) -> bool:
        chunks = sum(part.count for part in self._main)
        return not chunks or (chunks <= SHARED_BATCH_CHUNKS and time.monotonic() - self._began < SHORT_SECONDS)

    def _shared_out(self, tasks: list[IngestTask], room: int, share: int) -> list[TaskSlice]:
        """Return slices of tasks, by turns, with at most `room` chunks in all and `share` of each; without the chunks.

        A task is in one batch at a time, so that its chunks are stored in their order.
        """
        flows: dict[Flow, list[IngestTask]] = {}
        for task in tasks:
            flows.setdefault(task.flow, []).append(task)
        batch: list[TaskSlice] = []
        while flows and room:
            flow = self._turns.next(flows)
            task = flows[flow].pop(0)
            count = min(share, room, task.remaining)
            self._turns.charge(flow, count)
            batch.append(TaskSlice(task, [], last=count == task.remaining, count=count))
            room -= count
            if not flows[flow]:
                del flows[flow]
        for part in batch:
            self._state.parsed.remove(part.task)
        return batch

    def _embed(self, batch: list[TaskSlice]) -> None:
        started = time.monotonic()
        texts = [draft.text for part in batch for draft in part.drafts]
        fingerprint, vectors = embedded(
            self._embedder,
            texts,
            cancelled=lambda: all(self._state.should_stop(part.task) for part in batch),
            on_progress=self._progress_callback(batch),
        )
        took = time.monotonic() - started
        self._chunk_seconds = took / len(texts)
        self._state.events.embedded(took)
        start = 0
        for part in batch:
            part.vectors = vectors[start : start + len(part.drafts)]
            part.fingerprint = fingerprint
            start += len(part.drafts)

    def _progress_callback(self, batch: list[TaskSlice]) -> Callable[[int], None]:
        """Return a callback that updates the progress board: finished chunks count for the files in their order."""
        ends = list(accumulate(len(part.drafts) for part in batch))
        first = 0

        def report(done: int) -> None:
            nonlocal first
            for number in range(first, len(batch)):
                part = batch[number]
                start = ends[number] - len(part.drafts)
                if done <= start:
                    break
                own = min(done, ends[number]) - start
                if not part.task.cancelled.is_set():
                    progress = JobProgress(part.task.taken - len(part.drafts) + own, part.task.total, "chunk")
                    self._state.board.update(part.task.claim.job_id, DocumentStatus.EMBEDDING, progress)
                if done < ends[number]:
                    break
                first = number + 1

        return report


def embedded(
    embedder: EmbeddingModel,
    texts: Sequence[str],
    *,
    cancelled: Callable[[], bool] = lambda: False,
    on_progress: Callable[[int], None] = lambda _done: None,
) -> tuple[str, Vectors]:
    """Return the vectors of chunks, float32 (n, d), with the fingerprint of the model that made them all.

    Raises:
        CancelledError: `cancelled` returned true.
    """
    while True:
        fingerprint = embedder.fingerprint
        vectors = embedder.embed_chunks(texts, cancelled=cancelled, on_progress=on_progress)
        if embedder.fingerprint == fingerprint:  # else another one may have taken its place before it began
            return fingerprint, vectors


def _filled(batch: list[TaskSlice]) -> list[TaskSlice]:
    """Return slices with their chunks, which may be read from the disk."""
    for part in batch:
        part.drafts = part.task.next_drafts(part.count)
        # Fewer than there were: another revision has taken over, and the task is being cancelled.
        part.last = part.task.remaining <= 0
    return [part for part in batch if part.drafts]
