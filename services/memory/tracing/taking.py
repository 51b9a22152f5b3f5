"""Taking a snapshot: a forked copy writes it to disk, so this process neither stops nor grows for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from services.errors import StorageError
from services.memory.forked import run_forked
from services.memory.tracing.shelf import Shelf
from services.memory.tracing.traces import collect, write
from services.memory.tracing.types import SnapshotInfo, TracingStatus
from services.texts import _

_SECONDS = 120.0


def take(shelf: Shelf, status: TracingStatus, now: float, *, automatic: bool) -> SnapshotInfo:
    """Put a snapshot of the present traces on the shelf. Errors as `run_forked` and `Shelf.add`."""

    def write_to(path: Path) -> SnapshotInfo:
        found = run_forked(lambda: _work(path), seconds=_SECONDS, what=_("snapshot of allocations"))
        return SnapshotInfo(
            id="",
            time=now,
            run=status.since,
            frames=status.frames,
            overhead=status.overhead,
            paused=found.paused,
            took=found.took,
            automatic=automatic,
            **found.value,
        )

    return shelf.add(write_to)


def _work(path: Path) -> dict[str, Any]:
    """What the child does."""
    traces, left_out, total, blocks = collect()
    try:
        size = write(traces, path)
    except OSError as error:
        raise StorageError(
            _("The snapshot could not be written: {reason}. Those there were are kept.").format(
                reason=error.strerror or error
            ),
            _("Free some disk space."),
        ) from error
    return {"bytes": total, "blocks": blocks, "tracebacks": len(traces), "left_out": left_out, "size": size}
