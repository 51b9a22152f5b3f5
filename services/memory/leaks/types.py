"""The verdict of the detector: whether memory grows, what kind, how fast, since when, and the suspects."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from services.memory.leaks.course import Course, Step


class VerdictState(StrEnum):
    """What the detector can say now."""

    UNKNOWN = "too_little_data"
    FLAT = "flat"
    WATCH = "watch"
    LEAK = "leak"


class LeakKind(StrEnum):
    """What grows."""

    PYTHON = "python_objects"
    NATIVE = "native_memory"
    RETENTION = "allocator_retention"
    THREADS = "threads"
    DESCRIPTORS = "file_descriptors"
    GPU = "gpu_memory"


class SuspectKind(StrEnum):
    """What a suspect is."""

    OWNER = "owner"
    CONTAINER = "container"
    TYPE = "type"
    LINE = "line"
    THREAD = "thread"
    DESCRIPTOR = "descriptor"


@dataclass(frozen=True, slots=True)
class Suspect:
    """Something that grows along with the memory. `slope` is an hour's growth, bytes or a count of threads, files."""

    kind: SuspectKind
    name: str
    detail: str
    slope: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the detector says and the evidence for it.

    Slopes are of the series that was judged (live bytes, or RSS where only RSS grows; a count for threads and
    descriptors), those of a flat verdict of RSS. `window_seconds` is the length of the window that the verdict is based
    on, `window_end` its end where that is not `time`, `level_bytes` the RSS at `time`. `course` is how RSS went until
    then, and `left_out` are the steps that the slope leaves out.
    """

    state: VerdictState
    time: float
    window_seconds: float = 0.0
    level_bytes: float = 0.0
    kind: LeakKind | None = None
    slope_per_hour: float | None = None
    interval: tuple[float, float] | None = None
    per_request: float | None = None
    per_request_interval: tuple[float, float] | None = None
    seconds_to_limit: float | None = None
    evidence: tuple[str, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    since: float | None = None  # when this state began
    window_end: float | None = None
    left_out: tuple[Step, ...] = ()
    course: Course | None = None


@dataclass(frozen=True, slots=True)
class Trimmed:
    """What a trim gave back: RSS in bytes before and after, and in words what that says about the growth."""

    time: float
    rss_before_bytes: int
    rss_after_bytes: int
    words: str

    @property
    def freed_bytes(self) -> int:
        """Bytes that were free in the allocator and are the system's again."""
        return max(0, self.rss_before_bytes - self.rss_after_bytes)
