"""The budget case: 150 MB above what the process needs when ready, and work that would need more.

Measured: the peak from outside, whether the process lives, what each refusal said, and when everything works again.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx

from services.core.machine import MEGABYTE
from tests.servers import Server, spawn
from tests.soak.documents import document, filler
from tests.soak.driver import EXPECTED
from tests.soak.models import gguf_file
from tests.soak.process_watch import Watch
from tests.soak.workload import CORPUS_FACTS, Plan
from tests.visitors import PageRefusedError, visiting

HEADROOM_MB = 150
SAMPLE_SECONDS = 0.03
UPLOADERS, ASKERS, TABS = 6, 8, 6
FILE_MB = (4.0, 8.0, 16.0)
QUESTION_CHARACTERS = 3600
RECOVERY_SECONDS = 300.0
EXAMPLES = 12
TIMED_OUT = 504  # the service's own limit for an answer, which a busy machine reaches
KINDS = {"budget", "release", "collection", "trim", "restart", "model", "access", "breaker"}


@dataclass
class Refusals:
    """What was refused and how it was said; everything else that went wrong; what was done."""

    done: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    explained: int = 0
    unexpected: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    examples: list[dict[str, Any]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def record(self, what: str, response: httpx.Response) -> bool:
        """Note an answer; return whether it was a good one."""
        with self.lock:
            self.statuses[response.status_code] += 1
            if response.status_code < 400:
                self.done[what] += 1
                return True
            document = _problem(response)
            if response.status_code == TIMED_OUT and document.get("hint"):
                self.done[f"{what}, ended by the time limit"] += 1
                return False
            if response.status_code not in {429, 503}:
                self.unexpected += 1
                self._other(f"{what}: {response.status_code} {response.text[:300]}")
                return False
            self.refused += 1
            if document.get("detail") and document.get("hint"):
                self.explained += 1
            self._example(what, response.status_code, document)
            return False

    def fail(self, what: str, error: BaseException) -> None:
        with self.lock:
            self.unexpected += 1
            self._other(f"{what}: {type(error).__name__}: {error}"[:300])

    def _example(self, what: str, status: int, document: dict[str, Any]) -> None:
        example = {
            "what": what,
            "status": status,
            "detail": document.get("detail", ""),
            "hint": document.get("hint", ""),
        }
        shapes = {_shape(example) for example in self.examples}
        if len(self.examples) < EXAMPLES and _shape(example) not in shapes:
            self.examples.append(example)

    def _other(self, text: str) -> None:
        if len(self.others) < EXAMPLES and text not in self.others:
            self.others.append(text)


def _shape(example: dict[str, Any]) -> str:
    """Return a refusal without its figures."""
    return re.sub(r"\d+", "0", f"{example['what']} {example['detail']}")


def budget(planned: Plan, folder: Path, *, minutes: float, stop: threading.Event) -> dict[str, Any]:
    """Measure what the work takes with no limit of ours in the way, then the same work under the budget."""
    free = _pressed(planned, folder / "free", minutes=minutes, stop=stop, limit_mb=0)
    ready = free["ready"]
    limit_mb = ready // MEGABYTE + HEADROOM_MB
    tight = _pressed(planned, folder / "tight", minutes=minutes, stop=stop, limit_mb=limit_mb)
    return {
        **tight,
        "ready": ready,
        "limit": limit_mb * MEGABYTE,
        "free_peak": free["peak"],
        "free": {name: free[name] for name in ("done", "statuses", "peak", "ready", "unexpected", "others")},
        "headroom_mb": HEADROOM_MB,
        "model": "a local GGUF model" if gguf_file() is not None else "no model (quoting)",
    }


def _pressed(planned: Plan, folder: Path, *, minutes: float, stop: threading.Event, limit_mb: int) -> dict[str, Any]:
    settings: dict[str, Any] = {"log_level": "warning"}
    if limit_mb:
        settings |= {"memory_limit_mb": limit_mb, "budget_sustained_seconds": 2, "budget_cool_down_seconds": 10}
    else:
        settings |= {"budget": "off"}
    if gguf_file() is not None:
        settings["gguf_path"] = str(gguf_file())  # the first question would load it
    server = spawn(folder, apart=True, **settings)
    refusals = Refusals()
    _files()
    try:
        server.wait_ready()
        with Watch(server.process.pid, seconds=SAMPLE_SECONDS, most=60_000) as watch:
            lowest = watch.floor(5.0)
            ready = lowest.rss if lowest else 0
            start, began = len(watch.samples), time.monotonic()
            _press(server, planned, refusals, until=began + minutes * 60, stop=stop)
            pressed = time.monotonic() - began
            rate = (len(watch.samples) - start) / pressed
            recovered = _recovered(server, stop) if limit_mb else None
        alive = server.process.poll() is None
        events, state = _service_report(server) if alive else ([], None)
    finally:
        server.stop()
    return {
        "ready": ready,
        "peak": watch.peak,
        "samples": watch.figures(),
        "samples_per_second": rate,
        "pressed_seconds": pressed,
        "alive": alive,
        "done": dict(refusals.done),
        "refused": refusals.refused,
        "explained": refusals.explained,
        "unexpected": refusals.unexpected,
        "statuses": {str(status): number for status, number in sorted(refusals.statuses.items())},
        "examples": refusals.examples,
        "others": refusals.others,
        "recovered_seconds": recovered,
        "events": events,
        "state": state,
    }


@lru_cache(maxsize=1)
def _files() -> tuple[list[bytes], list[bytes]]:
    """Return texts and PDFs, made before the pressure: this process samples the other one meanwhile."""
    texts = [filler(megabytes, number) for number, megabytes in enumerate(FILE_MB)]
    pdfs = [document("pdf", n, sentences=120, picture_mb=megabytes) for n, megabytes in enumerate(FILE_MB)]
    return texts, pdfs


def _press(server: Server, planned: Plan, refusals: Refusals, *, until: float, stop: threading.Event) -> None:
    """Everything at once, until time is up."""
    client = httpx.Client(base_url=server.url, timeout=300.0, trust_env=False, limits=httpx.Limits(max_connections=64))
    texts, pdfs = _files()
    for name, text in planned.corpus[:20]:
        refusals.record("shelf", client.post("/api/documents", files={"file": (name, text.encode())}))

    def repeated(work: Callable[[int], None], first: int) -> None:
        number = first
        while time.monotonic() < until and not stop.is_set() and server.process.poll() is None:
            try:
                work(number)
            except PageRefusedError as refused:
                refusals.record("upload through a page", refused.answer)
                stop.wait(1.0)
            except EXPECTED as error:
                refusals.fail(work.__name__, error)
                stop.wait(0.5)
            number += 100

    def upload(number: int) -> None:
        mark = f"\n%{number}\n".encode()  # every file is another one; a PDF may end in a comment
        if number % 2:
            content, name = texts[number % len(texts)] + mark, f"large-{number}.txt"
        else:
            content, name = pdfs[number % len(pdfs)] + mark, f"large-{number}.pdf"
        if not refusals.record("upload", client.post("/api/documents", files={"file": (name, content)})):
            stop.wait(1.0)  # as the answer's Retry-After asks for

    def question(number: int) -> None:
        long = "".join(f"{fact[1]} " for fact in planned.corpus)[number % 1000 :][: QUESTION_CHARACTERS - 100]
        text = f"What do you know about this ({number}, {CORPUS_FACTS})? {long}"
        body = {"messages": [{"role": "user", "content": text}], "user": f"reader {number}"}
        if not refusals.record("long question", client.post("/v1/chat/completions", json=body)):
            stop.wait(1.0)

    def session(number: int) -> None:
        with visiting(server.url) as visitor:
            visitor.open("memory")
            visitor.upload((f"dropped-{number}.txt", texts[1] + f"\n{number}\n".encode()))
            refusals.done["session"] += 1

    with ThreadPoolExecutor(UPLOADERS + ASKERS + TABS) as pool:
        jobs = [pool.submit(repeated, upload, number) for number in range(UPLOADERS)]
        jobs += [pool.submit(repeated, question, 1000 + number) for number in range(ASKERS)]
        jobs += [pool.submit(repeated, session, 2000 + number) for number in range(TABS)]
        for job in jobs:
            job.result()
    client.close()


def _recovered(server: Server, stop: threading.Event) -> float | None:
    """Return after how many seconds an upload, a long question and a page work again; None if they never do."""
    began = time.monotonic()
    with httpx.Client(base_url=server.url, timeout=120.0, trust_env=False) as client:
        _drop_queue(client)
        while time.monotonic() - began < RECOVERY_SECONDS and not stop.is_set():
            if server.process.poll() is not None:
                return None
            try:
                if _works(server, client):
                    return time.monotonic() - began
            except EXPECTED:
                pass
            stop.wait(2.0)
    return None


def _drop_queue(client: httpx.Client) -> None:
    """Cancel what still waits to be taken in: the pressure is over."""
    try:
        jobs = client.get("/api/jobs", params={"unfinished": True, "limit": 1000}).json()["jobs"]
        for job in jobs:
            client.post(f"/api/jobs/{job['id']}/cancel")
    except EXPECTED:
        return


def _works(server: Server, client: httpx.Client) -> bool:
    name = f"after-{time.monotonic_ns()}.txt"
    content = b"The reserve pump is tested every forty days. " + str(time.monotonic_ns()).encode()
    taken = client.post("/api/documents", files={"file": (name, content)})
    if taken.status_code >= 400:
        return False
    found = client.get(f"/api/documents/{taken.json()['documents'][0]['id']}").json()
    text = "How often is the reserve pump tested? " + "Please look closely. " * 100
    body = {"messages": [{"role": "user", "content": text}], "user": "afterwards"}
    asked = client.post("/v1/chat/completions", json=body)
    with visiting(server.url) as visitor:
        visitor.open("documents")
    deadline = time.monotonic() + 60
    while found["status"] in {"queued", "parsing", "embedding"} and time.monotonic() < deadline:
        time.sleep(0.3)
        found = client.get(f"/api/documents/{found['id']}").json()
    return asked.status_code == 200 and found["status"] == "ready"


def _service_report(server: Server) -> tuple[list[dict[str, Any]], Any]:
    """Return the events of the service about its memory, and the state of its budget."""
    try:
        events = server.client.get("/api/memory/events", params={"range": "24h", "limit": 2000}).json()["events"]
        state = server.client.get("/api/budget")
    except EXPECTED:
        return [], None
    kept = [
        {"time": event["time"], "kind": event["kind"], "detail": event["detail"][:300]}
        for event in events
        if event["kind"] in KINDS
    ]
    return kept[:400], state.json() if state.status_code == 200 else None


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        found = response.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
