from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from services.core.events import NullEventSink
from services.memory.clock import Clock
from services.memory.gc_experiment.runner import ExperimentEnvironment, Experiments
from services.memory.gc_experiment.types import Workload
from tests.memory.gc_experiment.tiny import operations
from tests.servers import eventually

MB = 2**20


def fake_environment(
    how: str = "", *, size: int = 50, expected: int = 200 * MB, headroom: int = 1000 * MB
) -> ExperimentEnvironment:
    """Return an environment whose children run a tiny workload; `how` is the way it fails."""
    return ExperimentEnvironment(
        ("tests.memory.gc_experiment.tiny",),
        lambda count, seed: Workload(operations(count, size), seed),
        lambda: {"how": how},
        lambda: expected,
        lambda: headroom,
    )


@contextmanager
def running_experiments(
    folder: Path, lab: ExperimentEnvironment, reporter: NullEventSink | None = None
) -> Iterator[Experiments]:
    experiments = Experiments(folder, Clock(), reporter or NullEventSink(), lab)
    try:
        yield experiments
    finally:
        experiments.close()


def children() -> list[psutil.Process]:
    """Return the experiment's processes that this process has started, and theirs."""
    return [
        each
        for each in psutil.Process().children(recursive=True)
        if each.is_running() and "tests.memory.gc_experiment.tiny" in " ".join(_command(each))
    ]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def finished(experiments: Experiments, seconds: float = 120.0) -> None:
    eventually(lambda: not experiments.running, seconds=seconds, what="the end of the experiment")


def leftovers(folder: Path) -> list[str]:
    """Return the files in an experiments folder other than results."""
    return [path.name for path in folder.iterdir() if path.suffix != ".json"] if folder.is_dir() else []
