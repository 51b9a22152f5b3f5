"""Runs a plan against a service, block by block, and waits for it to become idle between the blocks."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.exceptions import WebSocketException

from tests.soak.target import FailedError, Target
from tests.soak.workload import Block, Plan, Question, Upload, Visit
from tests.visitors import PageError

ASKERS = 4
FAILURES_KEPT = 200
WORK_SHARE = 0.85  # of a paced block's time; the rest is for becoming idle

EXPECTED = (FailedError, PageError, httpx.HTTPError, WebSocketException, OSError, TimeoutError)


class StoppedError(Exception):
    """The run was stopped from outside."""


@dataclass
class Log:
    """What was done, and its results. `answers`: (seconds since the start, latency in s) of each complete answer."""

    began: float = field(default_factory=time.monotonic)
    answers: list[tuple[float, float]] = field(default_factory=list)
    model_answers: list[tuple[float, float]] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)
    failed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop: threading.Event = field(default_factory=threading.Event)  # failures after it is set are our own doing

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def count(self, what: str, number: int = 1) -> None:
        with self.lock:
            self.done[what] += number

    def answered(self, seconds: float, *, correct: bool) -> None:
        with self.lock:
            self.answers.append((self.seconds, seconds))
            self.done["answers"] += 1
            self.done["answers that name the figure"] += correct

    def fail(self, what: str, error: BaseException) -> None:
        """Record a failure; nothing is retried."""
        if self.stop.is_set():
            return
        with self.lock:
            self.failed += 1
            if len(self.failures) < FAILURES_KEPT:
                self.failures.append(
                    {"seconds": round(self.seconds, 1), "what": what, "error": f"{type(error).__name__}: {error}"[:600]}
                )


class Driver:
    """Runs a plan. `on_block_end(block)` is called after each block, `diagnose(name)` for its diagnostics.

    `seconds` is how long the whole plan takes; 0: as fast as possible.
    """

    def __init__(
        self,
        target: Target,
        plan: Plan,
        log: Log,
        *,
        seconds: float = 0.0,
        askers: int = ASKERS,
        stop: threading.Event | None = None,
        diagnose: Callable[[str], None] | None = None,
        on_block_end: Callable[[int], None] | None = None,
        ask_model: Callable[[Sequence[Question]], None] | None = None,
    ) -> None:
        self._target = target
        self._plan = plan
        self.log = log
        self._seconds = seconds
        self._askers = askers
        self.stop = stop or threading.Event()
        log.stop = self.stop
        self._diagnose = diagnose
        self._on_block_end = on_block_end
        self._ask_model = ask_model
        self._old: list[int] = []  # documents to delete in the next block
        self._dropped: list[str] = []  # the same, by the name under which a page was given them

    def upload_corpus(self) -> None:
        """Upload the documents that all questions are about, one after the other, so that every service gets there."""
        from tests.soak.target import Millpond

        for name, text in self._plan.corpus:
            self._check_stop()
            if isinstance(self._target, Millpond):
                answer = self._target.client.post("/api/documents", files={"file": (name, text.encode())})
                answer.raise_for_status()
            else:
                self._target.upload(Upload(name, "txt", 0, text))
        self._target.settle()

    def run(self) -> bool:
        """Run the plan; return whether it was completed."""
        began = time.monotonic()
        blocks = self._plan.blocks
        for number, block in enumerate(blocks):
            if self.stop.is_set():
                return False
            until = began + self._seconds * (number + 1) / len(blocks)
            share = self._seconds / len(blocks) * WORK_SHARE
            self._work(block, share)
            if self.stop.is_set():
                return False
            if block.model_questions and self._ask_model:
                self._ask_model(block.model_questions)
            try:
                self._target.settle()
            except EXPECTED as error:
                self.log.fail("coming to rest", error)
            if self._on_block_end:
                self._on_block_end(number)
            self.stop.wait(max(0.0, until - time.monotonic()))
        return not self.stop.is_set()

    def _work(self, block: Block, seconds: float) -> None:
        shares = [[q for q in block.questions if q.conversation % self._askers == n] for n in range(self._askers)]
        with ThreadPoolExecutor(self._askers + 3, thread_name_prefix="soak") as pool:
            jobs = [pool.submit(self._paced, share, seconds, self._ask) for share in shares]
            jobs.append(pool.submit(self._upload_and_delete, block.uploads, block.visits, seconds))
            jobs.append(pool.submit(self._paced, block.visits, seconds, self._visit))
            if self._diagnose:
                jobs.append(pool.submit(self._paced, block.diagnostics, seconds, self._run_diagnostic))
            for job in jobs:
                job.result()

    def _paced(self, items: Sequence[Any], seconds: float, do: Callable[[Any], None]) -> None:
        began = time.monotonic()
        for number, item in enumerate(items):
            if self.stop.wait(max(0.0, began + seconds * number / len(items) - time.monotonic())):
                return
            do(item)

    def _ask(self, question: Question) -> None:
        try:
            answer = self._target.ask(question)
        except EXPECTED as error:
            self.log.fail("question", error)
            return
        self.log.count("questions")
        if answer is None:
            self.log.count("hung up")
        else:
            self.log.answered(answer.seconds, correct=answer.correct)
        if question.repeated:
            self.log.count("questions asked before")

    def _upload_and_delete(self, uploads: Sequence[Upload], visits: Sequence[Visit], seconds: float) -> None:
        """Upload this block's files; delete the ones of the block before."""
        old, self._old = self._old, []
        names, self._dropped = self._dropped, [visit.upload.name for visit in visits if visit.upload]
        for name in names:
            self._delete_named(name)
        fresh: dict[str, int] = {}

        def upload_one(upload: Upload) -> None:
            try:
                document = fresh[upload.name] = self._target.upload(upload)
                self.log.count("uploads")
                if document in old:  # a new version of a document of the last block: it stays for another
                    old.remove(document)
            except EXPECTED as error:
                self.log.fail("upload", error)
            if old:
                self._delete(old.pop())

        self._paced(uploads, seconds, upload_one)
        for document in old:
            self._delete(document)
        self._old = list(dict.fromkeys(fresh.values()))

    def _delete_named(self, name: str) -> None:
        try:
            document = self._target.document_named(name)
        except EXPECTED as error:
            self.log.fail("looking for a document", error)
            return
        if document is None:
            self.log.fail("upload through a page", FailedError(f"{name} is not in the library"))
        else:
            self._delete(document)

    def _delete(self, document: int) -> None:
        try:
            self._target.delete(document)
            self.log.count("deletions")
        except EXPECTED as error:
            self.log.fail("deletion", error)

    def _visit(self, visit: Visit) -> None:
        try:
            self.log.count("pages", self._target.visit(visit))
            self.log.count("sessions")
        except EXPECTED as error:
            self.log.fail("session", error)

    def _run_diagnostic(self, name: str) -> None:
        assert self._diagnose is not None
        try:
            self._diagnose(name)
            self.log.count(f"looks: {name}")
        except EXPECTED as error:
            self.log.fail(f"look: {name}", error)

    def _check_stop(self) -> None:
        if self.stop.is_set():
            raise StoppedError
