"""Second stage of the pipeline: embeds chunks in batches that mix several files."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from itertools import accumulate
from typing import TYPE_CHECKING

from services.core.errors import CancelledError, MillpondError
from services.core.i18n import _
from services.core.machine import MEGABYTE
from services.knowledge.ingestion.state import PipelineState, TaskSlice
from services.knowledge.types import DocumentStatus, JobProgress

if TYPE_CHECKING:
    from services.core.admission import Reservation
    from services.knowledge.embedding import Embedder

# Chunks of a batch: enough for the embedder to sort by length, few enough to show progress.
BATCH_CHUNKS = 256
BATCH_CHUNKS_LOW_MEMORY = 64
# Chunks of one file in a batch while other files wait.
CHUNKS_PER_FILE = 64
# RAM of a chunk in this process until it is stored, and of the forward pass however small the batch is.
CHUNK_BYTES = 64 * 1024
FORWARD_PASS_BYTES = 8 * MEGABYTE
_POLL_SECONDS = 1.0


class EmbedStage:
    """Embeds the chunks of parsed files; one thread may call `run`."""

    def __init__(self, state: PipelineState, embedder: Embedder) -> None:
        self._state = state
        self._embedder = embedder
        self.pause_reason = ""

    def run(self) -> None:
        """Embed queued chunks until the pipeline stops."""
        state = self._state
        while not state.stopping.is_set():
            batch = self._next_batch()
            reservation = self._reserve(batch) if batch else None
            if reservation is None:
                continue
            try:
                with reservation:
                    self._embed(batch)
            except CancelledError:
                # All files of the batch were cancelled, or the pipeline stops.
                continue
            except MillpondError as error:
                for part in batch:
                    state.fail(part.task, error)
            except Exception as error:  # noqa: BLE001 - the boundary of the thread: one defect costs the jobs of one batch
                for part in batch:
                    state.fail_unexpectedly(part.task, error)
            else:
                self._pass_on(batch)

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
        """Wait for chunks and return some of each file, round robin."""
        state = self._state
        largest = BATCH_CHUNKS_LOW_MEMORY if state.admission.low_memory else BATCH_CHUNKS
        with state.changed:
            if not state.parsed and not state.embedding and not state.stopping.is_set():
                state.changed.wait(_POLL_SECONDS)
            tasks = state.embedding
            tasks[:] = [task for task in tasks if not task.cancelled.is_set()]
            while state.parsed and sum(min(task.remaining, CHUNKS_PER_FILE) for task in tasks) < largest:
                tasks.append(state.parsed.popleft())
            state.changed.notify_all()
            tasks = list(tasks)
        batch: list[TaskSlice] = []
        room = largest
        share = min(CHUNKS_PER_FILE, largest) if len(tasks) > 1 else largest
        for task in tasks:
            drafts = task.next_drafts(min(share, room))
            if drafts:
                batch.append(TaskSlice(task, drafts, last=task.remaining <= 0))
                room -= len(drafts)
            if not room:
                break
        with state.changed:
            # Round robin: the files of this batch go to the end.
            for part in batch:
                state.embedding.remove(part.task)
                if not part.last:
                    state.embedding.append(part.task)
            state.changed.notify_all()
        return batch

    def _embed(self, batch: list[TaskSlice]) -> None:
        started = time.monotonic()
        texts = [draft.text for part in batch for draft in part.drafts]
        vectors = self._embedder.embed_chunks(
            texts,
            cancelled=lambda: all(self._state.should_stop(part.task) for part in batch),
            on_progress=self._progress_callback(batch),
        )
        self._state.events.embedded(time.monotonic() - started)
        start = 0
        for part in batch:
            part.vectors = vectors[start : start + len(part.drafts)]
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

    def _pass_on(self, batch: list[TaskSlice]) -> None:
        while not self._state.stopping.is_set():
            try:
                self._state.embedded.put(batch, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return
