"""Second stage: embeds chunks, those of several files together."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from itertools import accumulate
from typing import TYPE_CHECKING

from services.core.errors import CancelledError, MillpondError
from services.core.i18n import _
from services.core.settings import MEGABYTE
from services.knowledge.ingestion.state import PipelineState, TaskSlice
from services.knowledge.types import DocumentStatus, JobProgress

if TYPE_CHECKING:
    from services.core.admission import Reservation
    from services.knowledge.embedding import Embedder

# Chunks that go to the embedder together: enough for it to sort by length, few enough to show progress.
GROUP = 256
GROUP_WHEN_TIGHT = 64
# Chunks of one file in a group as long as others wait.
SHARE = 64
# What a chunk takes in this process until it is stored, and what the arithmetic takes however small the group is.
CHUNK_BYTES = 64 * 1024
ARITHMETIC_BYTES = 8 * MEGABYTE
_LOOK_AGAIN_SECONDS = 1.0


class EmbedStage:
    """One thread may be in `run`."""

    def __init__(self, line: PipelineState, embedder: Embedder) -> None:
        self._line = line
        self._embedder = embedder
        self.paused = ""

    def run(self) -> None:
        """Embed what is handed over until the pipeline stops."""
        line = self._line
        while not line.stopping.is_set():
            group = self._next_group()
            room = self._room(group) if group else None
            if room is None:
                continue
            try:
                with room:
                    self._embed(group)
            except CancelledError:
                # All files of the group were taken away, or the pipeline stops.
                continue
            except MillpondError as error:
                for piece in group:
                    line.fail(piece.work, error)
            except Exception as error:  # noqa: BLE001 - the boundary of the thread: one defect costs the jobs of one group
                for piece in group:
                    line.fail_unexpectedly(piece.work, error)
            else:
                self._pass_on(group)

    def _room(self, group: list[TaskSlice]) -> Reservation | None:
        """Wait until there is room in memory for a group, which `paused` explains; None: the pipeline stops."""
        line = self._line
        needed = ARITHMETIC_BYTES + CHUNK_BYTES * sum(len(piece.drafts) for piece in group)
        try:
            while not line.stopping.is_set():
                what = _("EmbedStage")
                room = line.admission.try_reserve(needed, what)
                if room is not None:
                    return room
                self.paused = line.admission.shortage(needed, what)
                line.stopping.wait(_LOOK_AGAIN_SECONDS)
        finally:
            self.paused = ""
        return None

    def _next_group(self) -> list[TaskSlice]:
        """Wait for chunks and return some of each file, in turn."""
        line = self._line
        largest = GROUP_WHEN_TIGHT if line.admission.low_memory else GROUP
        with line.changed:
            if not line.parsed and not line.embedding and not line.stopping.is_set():
                line.changed.wait(_LOOK_AGAIN_SECONDS)
            works = line.embedding
            works[:] = [work for work in works if not work.cancelled.is_set()]
            while line.parsed and sum(min(work.remaining, SHARE) for work in works) < largest:
                works.append(line.parsed.popleft())
            line.changed.notify_all()
            works = list(works)
        group: list[TaskSlice] = []
        room = largest
        share = min(SHARE, largest) if len(works) > 1 else largest
        for work in works:
            drafts = work.take(min(share, room))
            if drafts:
                group.append(TaskSlice(work, drafts, last=work.remaining <= 0))
                room -= len(drafts)
            if not room:
                break
        with line.changed:
            # Those whose turn it was go to the end.
            for piece in group:
                line.embedding.remove(piece.work)
                if not piece.last:
                    line.embedding.append(piece.work)
            line.changed.notify_all()
        return group

    def _embed(self, group: list[TaskSlice]) -> None:
        started = time.monotonic()
        texts = [draft.text for piece in group for draft in piece.drafts]
        vectors = self._embedder.embed_chunks(
            texts,
            cancelled=lambda: all(self._line.stopped(piece.work) for piece in group),
            on_progress=self._reporter(group),
        )
        self._line.report.embedded(time.monotonic() - started)
        start = 0
        for piece in group:
            piece.vectors = vectors[start : start + len(piece.drafts)]
            start += len(piece.drafts)

    def _reporter(self, group: list[TaskSlice]) -> Callable[[int], None]:
        """Return what shows progress: chunks that are done count for the files in their order."""
        ends = list(accumulate(len(piece.drafts) for piece in group))
        first = 0

        def report(done: int) -> None:
            nonlocal first
            for number in range(first, len(group)):
                piece = group[number]
                start = ends[number] - len(piece.drafts)
                if done <= start:
                    break
                own = min(done, ends[number]) - start
                if not piece.work.cancelled.is_set():
                    progress = JobProgress(piece.work.taken - len(piece.drafts) + own, piece.work.total, "chunk")
                    self._line.board.show(piece.work.claim.job_id, DocumentStatus.EMBEDDING, progress)
                if done < ends[number]:
                    break
                first = number + 1

        return report

    def _pass_on(self, group: list[TaskSlice]) -> None:
        while not self._line.stopping.is_set():
            try:
                self._line.finished.put(group, timeout=_LOOK_AGAIN_SECONDS)
            except queue.Full:
                continue
            return
