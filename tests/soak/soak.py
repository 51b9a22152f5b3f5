"""The soak itself: a real server process, driven through a plan, with a floor measured after each block."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.servers import Server, spawn
from tests.soak.browsers import BrowserError, Browsers
from tests.soak.driver import EXPECTED, Driver, Log, StoppedError
from tests.soak.figures import MB, Floor, summary, tenths
from tests.soak.models import ChatModel, chat_model
from tests.soak.process_watch import Watch
from tests.soak.responses import by_kind, caches, checked, unlabelled
from tests.soak.target import FailedError, Millpond
from tests.soak.workload import Plan, Question

FLOOR_SECONDS = 3.0
MODEL_SECONDS = 600  # longest time for an answer: a small machine that does other things, too, takes its time
LEAVING_SECONDS = 20.0  # a closed tab's web socket is gone by then
COLLECT = "/api/collector/collect"
# Full within the warm-up: a cache that is still filling up to its budget would look like growth.
SMALL_CACHES = {"embedding_cache_mb": 1, "answer_cache_mb": 2}


@dataclass(frozen=True, slots=True)
class SoakOptions:
    """Options of a soak. `seconds`: the work is spread over so many (0: as fast as possible); `tabs`: open Chromium
    tabs, without which no chat model is chosen; `stub`: a stub model even where there is a real one.
    """

    seconds: float = 0.0
    tabs: int = 2
    floor_seconds: float = FLOOR_SECONDS
    stub: bool = False


class Soak:
    """One server and the work on it."""

    def __init__(self, server: Server, planned: Plan, options: SoakOptions, stop: threading.Event) -> None:
        self.server = server
        self.plan = planned
        self.options = options
        self.log = Log()
        self.floors: list[Floor] = []
        self.target = Millpond(server.url)
        self.tools: list[str] = []
        self.verdicts: list[dict[str, Any]] = []
        self._stop = stop
        self._watch: Watch | None = None
        self._browsers: Browsers | None = None
        self._model: ChatModel | None = None
        self._client = httpx.Client(base_url=server.url, timeout=180.0, trust_env=False)
        self._paths: set[str] = set(self._client.get("/openapi.json").raise_for_status().json()["paths"])

    def run(self) -> dict[str, Any]:
        """Upload the corpus, run the plan, read the final state; return all results."""
        began = time.monotonic()
        finished, before = False, None
        with ExitStack() as stack:
            stack.callback(self._client.close)
            stack.callback(self.target.close)
            self._watch = watch = stack.enter_context(Watch(self.server.process.pid))
            self._model = stack.enter_context(chat_model(stub=self.options.stub))
            driver = Driver(
                self.target,
                self.plan,
                self.log,
                seconds=self.options.seconds,
                stop=self._stop,
                diagnose=self.diagnose,
                on_block_end=self.on_block_end,
                ask_model=self.ask_model,
            )
            try:
                driver.upload_corpus()
                if self.options.tabs:
                    self._browsers = stack.enter_context(Browsers(self.server.url, self.options.tabs))
                before = watch.sample()
                self.log.began = time.monotonic()
                finished = driver.run()
            except StoppedError:
                pass  # the report says that it was interrupted
            except BrowserError as error:
                self.log.fail("opening the tabs", error)
            ending = self._ending()
        return {
            "finished": finished,
            "seconds": time.monotonic() - began,
            "paced_seconds": self.options.seconds,
            "amount": asdict(self.plan.amount),
            "model": self._model.description,
            "tabs": self.options.tabs,
            "tools": sorted(set(self.tools)),
            "samples": watch.figures(),
            "peak": watch.peak,
            "peak_with_children": watch.peak_with_children,
            "floors": [asdict(floor) for floor in self.floors],
            **summary(self.floors),
            "tenths": tenths(self.log.answers),
            "model_tenths": tenths(self.log.model_answers),
            "done": dict(self.log.done),
            "failed": self.log.failed,
            "failures": self.log.failures,
            "start": _ends(before),
            "end": _ends(watch.samples[-1] if watch.samples else None),
            "verdicts": self.verdicts,
            **ending,
        }

    def diagnose(self, name: str) -> None:
        """Request what an operator of the service requests."""
        if name == "memory":
            self._get("/api/memory")
        elif name == "history":
            self._get("/api/memory/history?range=5m")
        elif name == "metrics":
            self._get("/metrics")
        elif name == "census":
            self._post("/api/objects/census", {})
        elif name == "tracing":
            self._trace()
        elif name == "trim":
            self._post("/api/memory/trim")

    def _trace(self) -> None:
        """A short tracemalloc session with a snapshot, which is deleted again."""
        self._post("/api/tracing/start", {"frames": 1, "minutes": 1})
        try:
            self._stop.wait(1.0)
            taken = self._post("/api/tracing/snapshots", {}).json()
            checked(self._client.delete(f"/api/tracing/snapshots/{taken['id']}"))
        finally:
            self._post("/api/tracing/stop")

    def ask_model(self, questions: Sequence[Question]) -> None:
        """Choose the chat model, ask it, go back to quoting: the model is loaded and unloaded each time."""
        if self._browsers is None or self._model is None:
            return
        try:
            self._browsers.use_model(path=self._model.path, url=self._model.url, model=self._model.model)
            self.log.count("model chosen")
            for question in questions:
                if self._stop.is_set():
                    break
                self._ask_model(question)
        except EXPECTED as error:
            self.log.fail("choosing the chat model", error)
        except BrowserError as error:
            self.log.fail("choosing the chat model", error)
        finally:
            try:
                self._browsers.use_model()
            except BrowserError as error:
                self.log.fail("going back to quoting", error)

    def _ask_model(self, question: Question) -> None:
        try:
            answer = self.target.ask(question)
        except EXPECTED as error:
            self.log.fail("model question", error)
            return
        self.log.count("model questions")
        if answer is not None:
            self.log.model_answers.append((self.log.seconds, answer.seconds))

    def on_block_end(self, block: int) -> None:
        """Collect, trim, and measure the floor."""
        assert self._watch is not None
        try:
            self._wait_for_tabs_to_leave()
            self._collect_and_trim()
            lowest = self._watch.floor(self.options.floor_seconds)
            memory = self._get("/api/memory").json()
            sessions = self._sessions()
        except EXPECTED as error:
            self.log.fail("taking the floor", error)
            return
        if lowest is None:
            self.log.fail("taking the floor", FailedError("the process is gone"))
            self._stop.set()  # nothing that follows could succeed
            return
        self.verdicts.append(
            {"block": block, "state": memory["verdict"]["state"], "text": memory["verdict"]["headline"]}
        )
        floor = Floor(
            block=block,
            questions=self.log.done["questions"] + self.log.done["model questions"],
            seconds=self.log.seconds,
            rss=lowest.rss,
            uss=int(self._watch.process.memory_full_info().uss),
            threads=lowest.threads,
            fds=lowest.fds,
            sessions=sessions,
            owners={owner["name"]: owner["bytes"] for owner in memory["owners"]},
        )
        self.floors.append(floor)
        print(
            f"block {block + 1}/{len(self.plan.blocks)}: {floor.questions} questions, {floor.seconds:.0f} s, "
            f"floor {floor.rss / MB:.1f} MB (USS {floor.uss / MB:.1f}), {floor.threads} threads, {floor.fds} files, "
            f"{self.log.failed} failed",
            flush=True,
        )

    def _collect_and_trim(self) -> None:
        """Collect generation 2 and trim over the API; the report says by what."""
        if COLLECT in self._paths:
            self._post(COLLECT, {"generation": 2})
            self.tools.append(f"`POST {COLLECT}` of generation 2")
        self._post("/api/memory/trim")
        self.tools.append("`POST /api/memory/trim`")

    def _wait_for_tabs_to_leave(self) -> None:
        deadline = time.monotonic() + LEAVING_SECONDS
        while self._sessions() > self.options.tabs and time.monotonic() < deadline:
            time.sleep(0.5)

    def _sessions(self) -> int:
        return int(unlabelled(self._get("/metrics").text).get("millpond_sessions", 0))

    def _ending(self) -> dict[str, Any]:
        """Return the state after the run: verdict, caches, restarts, charts drawn."""
        found: dict[str, Any] = {"alive": self.server.process.poll() is None, "charts": [], "browser_errors": []}
        if self._browsers is not None:
            with contextlib.suppress(BrowserError):
                found["charts"] = self._browsers.updates()
            found["browser_errors"] = self._browsers.errors
            for error in self._browsers.errors:
                self.log.fail("an open tab", BrowserError(error))
        try:
            memory = self._get("/api/memory").json()
            found["verdict"] = memory["verdict"]
            found["owners"] = memory["owners"]
            found["held"] = memory["held"]
            found["caches"] = caches(self._get("/metrics").text)
            found["events"] = by_kind(self._get("/api/memory/events?range=24h&limit=2000").json()["events"])
            # Requested separately: of all events only the newest are returned.
            starts = self._get("/api/memory/events?range=24h&kind=start").json()["events"]
            found["restarts"] = len(starts) - 1
        except EXPECTED as error:
            self.log.fail("the last look", error)
        return found

    def _get(self, path: str) -> httpx.Response:
        return checked(self._client.get(path))

    def _post(self, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        return checked(self._client.post(path, json=body) if body is not None else self._client.post(path))


def soak(planned: Plan, folder: Path, options: SoakOptions, stop: threading.Event) -> dict[str, Any]:
    """Start a server in `folder`, drive it through the plan, stop it; return the results."""
    server = spawn(folder / "data", apart=True, log_level="warning", answer_seconds=MODEL_SECONDS, **SMALL_CACHES)
    try:
        server.wait_ready()
        found = Soak(server, planned, options, stop).run()
    finally:
        code = server.stop()
    return {**found, "exit_code": code}


def _ends(sample: Any) -> dict[str, Any] | None:
    return asdict(sample) if sample is not None else None
