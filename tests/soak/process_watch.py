"""Looking at a process from outside: memory, threads, descriptors at a steady pace, and its exact peak."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

MB = 1_000_000
USS_EVERY = 5  # samples: reading it takes the process's memory lock for some milliseconds


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. `seconds` since the watch began; bytes; `uss` and `children` as of the last time they were read."""

    seconds: float
    rss: int
    uss: int
    children: int
    threads: int
    fds: int


class Watch:
    """Samples a process until it is left; bounded: past `most` samples every second one is dropped."""

    def __init__(self, pid: int, *, seconds: float = 1.0, most: int = 20_000, cap_bytes: int = 0) -> None:
        self.process = psutil.Process(pid)
        self.samples: list[Sample] = []
        self.began = time.monotonic()
        self.capped = False
        self._seconds = seconds
        self._most = most
        self._cap = cap_bytes
        self._stop = threading.Event()
        self._uss = self._children = 0
        self._peak_with_children = 0
        self._hwm = 0
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self.sample()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def alive(self) -> bool:
        return self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE

    @property
    def peak(self) -> int:
        """The largest RSS in bytes: the kernel's own high-water mark, so nothing falls between two samples."""
        return max(self._hwm, max((sample.rss for sample in self.samples), default=0))

    @property
    def peak_with_children(self) -> int:
        """The largest sum of RSS and what the child processes have for themselves, in bytes, by sampling."""
        return max(self._peak_with_children, self.peak)

    def sample(self) -> Sample | None:
        """Take a sample now; None when the process is gone."""
        try:
            with self.process.oneshot():
                rss = int(self.process.memory_info().rss)
                threads, fds = self.process.num_threads(), self.process.num_fds()
            if len(self.samples) % USS_EVERY == 0:
                self._uss = int(self.process.memory_full_info().uss)
                self._hwm = max(self._hwm, high_water_mark(self.process.pid))
                self._children = _children(self.process)
        except (psutil.Error, OSError):
            return None
        sample = Sample(time.monotonic() - self.began, rss, self._uss, self._children, threads, fds)
        self.samples.append(sample)
        self._peak_with_children = max(self._peak_with_children, rss + self._children)
        if len(self.samples) > self._most:
            del self.samples[1::2]
            self._seconds *= 2
        return sample

    def floor(self, seconds: float) -> Sample | None:
        """Return the sample with the lowest RSS of the next `seconds`; USS is read anew."""
        deadline = time.monotonic() + seconds
        lowest: Sample | None = None
        while True:
            sample = self.sample()
            if sample is not None and (lowest is None or sample.rss < lowest.rss):
                lowest = sample
            if time.monotonic() >= deadline:
                return lowest
            time.sleep(0.2)

    def figures(self, points: int = 1500) -> list[dict[str, Any]]:
        """Return about `points` of the samples as plain values; of each stretch the one with the highest RSS."""
        stride = max(1, len(self.samples) // points)
        stretches = [self.samples[start : start + stride] for start in range(0, len(self.samples), stride)]
        return [asdict(max(stretch, key=lambda sample: sample.rss)) for stretch in stretches]

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            sample = self.sample()
            if sample is None:
                return
            if self._cap and sample.rss > self._cap:
                self.capped = True
                self.process.kill()
                return
            due = max(due + self._seconds, time.monotonic())
            self._stop.wait(due - time.monotonic())


def high_water_mark(pid: int) -> int:
    """Return a process's largest RSS so far in bytes, as the kernel keeps it; 0 where it does not say (proc(5))."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return 0
    return 0


def _children(process: psutil.Process) -> int:
    """Return what child processes have for themselves; what they share with the parent is counted there."""
    total = 0
    for child in process.children(recursive=True):
        try:
            total += int(child.memory_full_info().uss)
        except (psutil.Error, OSError):
            continue
    return total
