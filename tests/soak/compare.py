"""The naive baseline on the same work, and the cases: both services on one kind of work alone."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.servers import ROOT, spawn
from tests.soak.driver import EXPECTED, Driver, Log, StoppedError
from tests.soak.figures import MB, tenths
from tests.soak.models import gguf_file
from tests.soak.process_watch import Watch
from tests.soak.target import Millpond, Naive, Target
from tests.soak.workload import Plan, Question, only

CASES = ("questions", "uploads", "sessions")
SHELF_SECONDS = 900.0  # longest time for what is there from the start


@contextmanager
def naive_process(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the baseline; yields the process and its address."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.soak.baseline", str(folder), str(gguf_file() or "")]
    environment = dict(os.environ) | {"PYTHONPATH": str(ROOT), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    with (folder.parent / "naive.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def naive(planned: Plan, folder: Path, *, minutes: float, cap_mb: int, stop: threading.Event) -> dict[str, Any]:
    """Drive the baseline through the plan as fast as it goes, for at most `minutes` and up to `cap_mb` of RSS."""
    log, limit = Log(), threading.Event()
    with naive_process(folder) as (process, url), Watch(process.pid, cap_bytes=cap_mb * MB) as watch:
        target = Naive(url)
        finished = _driven(target, planned, log, limit, stop, minutes, watch, ask_model=_asker(target, log))
        outcome = _outcome(planned, log, watch, finished=finished, minutes=minutes, cap_mb=cap_mb)
    return {
        "finished": finished,
        "capped": watch.capped,
        "said": outcome,
        "seconds": log.seconds,
        "samples": watch.figures(),
        "peak": watch.peak,
        "peak_with_children": watch.peak_with_children,
        "tenths": tenths(log.answers),
        "done": dict(log.done),
        "failed": log.failed,
        "failures": log.failures[:10],
    }


def cases(
    planned: Plan, folder: Path, *, minutes: float, cap_mb: int, stop: threading.Event, names: Sequence[str] = CASES
) -> list[dict[str, Any]]:
    """Return the peaks of both services for each kind of work, each in fresh processes."""
    found = []
    for name in names:
        if stop.is_set():
            break
        part = only(planned, name)
        theirs = naive(part, folder / f"naive-{name}", minutes=minutes, cap_mb=cap_mb, stop=stop)
        ours = _ours(part, folder / f"ours-{name}", minutes=minutes, stop=stop)
        found.append(
            {
                "name": f"{name} only",
                "ours": ours["peak_with_children"],
                "naive": theirs["peak_with_children"],
                "said": theirs["said"],
                "done": {"ours": ours["done"], "naive": theirs["done"]},
                "failed": {"ours": ours["failed"], "naive": theirs["failed"]},
                "failures": {"ours": ours["failures"], "naive": theirs["failures"]},
                "amount": asdict(planned.amount),
            }
        )
        print(f"{name}: {found[-1]['ours'] / MB:.0f} MB against {found[-1]['naive'] / MB:.0f} MB", flush=True)
    return found


def _ours(planned: Plan, folder: Path, *, minutes: float, stop: threading.Event) -> dict[str, Any]:
    log, limit = Log(), threading.Event()
    server = spawn(folder, apart=True, log_level="warning")
    try:
        server.wait_ready()
        with Watch(server.process.pid) as watch:
            _driven(Millpond(server.url), planned, log, limit, stop, minutes, watch)
    finally:
        server.stop()
    return {
        "peak_with_children": watch.peak_with_children,
        "done": dict(log.done),
        "failed": log.failed,
        "failures": log.failures[:10],
    }


def _driven(
    target: Target,
    planned: Plan,
    log: Log,
    limit: threading.Event,
    stop: threading.Event,
    minutes: float,
    watch: Watch,
    ask_model: Callable[[Sequence[Question]], None] | None = None,
) -> bool:
    """Work until the plan is done, time is up, the process is gone or somebody stops; return whether it was done.

    Time counts from when the shelf is filled.
    """

    def guard() -> None:
        deadline = time.monotonic() + SHELF_SECONDS + minutes * 60
        while not limit.wait(0.2):
            late = time.monotonic() > deadline or (filled.is_set() and log.seconds > minutes * 60)
            if stop.is_set() or late or not watch.alive:
                limit.set()

    filled = threading.Event()
    threading.Thread(target=guard, daemon=True).start()
    try:
        driver = Driver(target, planned, log, stop=limit, ask_model=ask_model)
        driver.upload_corpus()
        log.began = time.monotonic()
        filled.set()
        return driver.run()
    except (StoppedError, *EXPECTED):
        return False
    finally:
        limit.set()
        target.close()


def _asker(target: Naive, log: Log) -> Callable[[Sequence[Question]], None]:
    """Return what asks the baseline's own chat model, which it loads for every question."""

    def ask(questions: Sequence[Question]) -> None:
        if gguf_file() is None:
            return
        for question in questions:
            body = {"conversation": question.conversation, "question": question.text, "model": True}
            try:
                target.client.post("/ask", json=body).raise_for_status()
                log.count("model questions")
            except EXPECTED as error:
                log.fail("model question", error)
                return

    return ask


def _outcome(planned: Plan, log: Log, watch: Watch, *, finished: bool, minutes: float, cap_mb: int) -> str:
    """Return how far the baseline got: its peak is that of the work it managed, nothing is extrapolated."""
    wanted = planned.amount
    if finished:
        return "it did all of the work"
    done = (
        f"{log.done['questions']} of {wanted.questions} questions, {log.done['uploads']} of {wanted.uploads} uploads, "
    )
    done += f"{log.done['sessions']} of {wanted.visits} sessions"
    if watch.capped:
        return f"it was ended when it passed {cap_mb:,} MB, after {done}"
    return f"it managed {done} in {minutes:g} minutes"
