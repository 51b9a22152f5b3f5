"""Progress of the active ingestion jobs, in memory, shared by all sessions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from services.knowledge.types import DocumentStatus, JobProgress


class ProgressBoard:
    """Status and progress by job, and a version that changes with every visible change. Thread-safe."""

    def __init__(self) -> None:
        self._jobs: dict[int, tuple[DocumentStatus, JobProgress]] = {}
        self._version = 0
        self._changed = threading.Condition()

    @property
    def version(self) -> int:
        """A number that is different after every visible change (about 0.1 microseconds)."""
        return self._version

    def mark_changed(self) -> None:
        """Record a visible change elsewhere: new version, waiters wake."""
        with self._changed:
            self._version += 1
            self._changed.notify_all()

    def update(self, job_id: int, status: DocumentStatus, progress: JobProgress | None = None) -> None:
        """Set the status and progress of an active job."""
        with self._changed:
            self._jobs[job_id] = (status, progress or JobProgress())
            self._version += 1
            self._changed.notify_all()

    def remove(self, job_id: int) -> None:
        """Remove a job that is no longer active."""
        with self._changed:
            self._jobs.pop(job_id, None)
            self._version += 1
            self._changed.notify_all()

    def live(self) -> dict[int, tuple[DocumentStatus, JobProgress]]:
        """Return status and progress of every active job, by job id."""
        with self._changed:
            return dict(self._jobs)

    def wait(self, condition: Callable[[], bool], timeout: float | None, *, poll_seconds: float = 1.0) -> bool:
        """Wait until `condition` holds, checked after every change and every `poll_seconds`; return whether it does."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            version = self._version
            if condition():
                return True
            left = poll_seconds if deadline is None else min(poll_seconds, deadline - time.monotonic())
            if left <= 0:
                return False
            with self._changed:
                if self._version == version:
                    self._changed.wait(left)
