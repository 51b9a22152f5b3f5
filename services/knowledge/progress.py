"""What the jobs that are being worked on are doing: kept in the process, the same for every session."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from services.knowledge.types import DocumentStatus, JobProgress


class ProgressBoard:
    """Progress by job, and a version that changes whenever something visible changes. Thread-safe."""

    def __init__(self) -> None:
        self._jobs: dict[int, tuple[DocumentStatus, JobProgress]] = {}
        self._version = 0
        self._changed = threading.Condition()

    @property
    def version(self) -> int:
        """A number that is different after every visible change (about 0.1 microseconds)."""
        return self._version

    def changed(self) -> None:
        """Say that something visible changed."""
        with self._changed:
            self._version += 1
            self._changed.notify_all()

    def show(self, job_id: int, status: DocumentStatus, progress: JobProgress | None = None) -> None:
        """Say what a job is doing."""
        with self._changed:
            self._jobs[job_id] = (status, progress or JobProgress())
            self._version += 1
            self._changed.notify_all()

    def forget(self, job_id: int) -> None:
        """Say that a job is not being worked on any more."""
        with self._changed:
            self._jobs.pop(job_id, None)
            self._version += 1
            self._changed.notify_all()

    def live(self) -> dict[int, tuple[DocumentStatus, JobProgress]]:
        """Return what every job in work is doing, by job id."""
        with self._changed:
            return dict(self._jobs)

    def wait(self, condition: Callable[[], bool], timeout: float | None, *, poll_seconds: float = 1.0) -> bool:
        """Wait until `condition` holds, looking after every change; return whether it does."""
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
