"""How the work reaches a service: the same calls for Millpond and for the naive baseline."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from tests.soak.workload import Question, Upload, Visit
from tests.visitors import visiting

ANSWER_SECONDS = 900.0  # longer than the service's own limit, so that its answer is what is seen
LEFT_SECONDS = 60.0
HISTORY_TURNS = 5  # what a client of the OpenAI protocol sends along


class FailedError(Exception):
    """A request did not do what it should; the text says which and how."""


@dataclass(frozen=True, slots=True)
class Answered:
    """How long an answer took, whether it names the figure that was asked for, and the text."""

    seconds: float
    correct: bool
    text: str


class Target(Protocol):
    """What the driver needs of a service. Every call raises FailedError or httpx.HTTPError when it goes wrong."""

    def ask(self, question: Question) -> Answered | None:
        """Ask; None when the question was one whose asker hangs up."""

    def upload(self, upload: Upload) -> int:
        """Hand in a file and return its document's id."""

    def delete(self, document: int) -> None:
        """Delete a document."""

    def visit(self, visit: Visit) -> int:
        """Be a browser session; return how many pages it saw."""

    def settle(self) -> None:
        """Wait until the service has finished what it was given."""

    def document_named(self, name: str) -> int | None:
        """Return the id of a document, None where there is none."""

    def close(self) -> None:
        """Hang up."""


class Millpond:
    """A running `millpond serve`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = httpx.Client(
            base_url=url, timeout=ANSWER_SECONDS, trust_env=False, limits=httpx.Limits(max_keepalive_connections=16)
        )
        self._conversations: dict[int, str] = {}
        self._histories: dict[int, list[dict[str, str]]] = {}
        self._left: set[int] = set()  # stored conversations whose last asker hung up
        self._lock = threading.Lock()

    def ask(self, question: Question) -> Answered | None:
        self._come_back(question)
        path, body = self._request(question)
        began = time.perf_counter()
        if question.hang_up:
            with self.client.stream("POST", path, json={**body, "stream": True}) as response:
                _check(response)
                next(response.iter_raw(), None)  # gone after the first piece
            if question.stored:
                with self._lock:
                    self._left.add(question.conversation)
            return None
        text = self._streamed(path, body) if question.streamed else self._whole(path, body)
        seconds = time.perf_counter() - began
        if not text.strip():
            raise FailedError("an empty answer")
        if not question.stored:
            self._remember(question, text)
        return Answered(seconds, question.expected in text, text)

    def _come_back(self, question: Question) -> None:
        """Look at a conversation that was left in the middle of an answer, until what there was of it is stored."""
        with self._lock:
            if not question.stored or question.conversation not in self._left:
                return
            self._left.discard(question.conversation)
        path = f"/api/conversations/{self._conversation(question.conversation)}/messages?limit=1"
        deadline = time.monotonic() + LEFT_SECONDS
        while time.monotonic() < deadline:
            found = self.client.get(path)
            _check(found)
            if found.json()["messages"][-1]["role"] == "assistant":
                return
            time.sleep(0.2)
        raise FailedError("an answer whose asker had gone was not ended")

    def _request(self, question: Question) -> tuple[str, dict[str, Any]]:
        user = f"reader {question.conversation}"
        if question.stored:
            conversation = self._conversation(question.conversation)
            return f"/api/conversations/{conversation}/questions", {"question": question.text, "user": user}
        with self._lock:
            history = list(self._histories.get(question.conversation, ()))
        messages = [*history, {"role": "user", "content": question.text}]
        return "/v1/chat/completions", {"messages": messages, "user": user}

    def _remember(self, question: Question, text: str) -> None:
        with self._lock:
            history = self._histories.setdefault(question.conversation, [])
            history += [{"role": "user", "content": question.text}, {"role": "assistant", "content": text}]
            del history[: -2 * HISTORY_TURNS]

    def _conversation(self, number: int) -> str:
        with self._lock:
            known = self._conversations.get(number)
        if known:
            return known
        response = self.client.post("/api/conversations", json={})
        _check(response)
        with self._lock:
            return self._conversations.setdefault(number, str(response.json()["id"]))

    def _whole(self, path: str, body: dict[str, Any]) -> str:
        response = self.client.post(path, json={**body, "stream": False})
        _check(response)
        found = response.json()
        return str(found["text"] if "text" in found else found["choices"][0]["message"]["content"])

    def _streamed(self, path: str, body: dict[str, Any]) -> str:
        pieces: list[str] = []
        ended = False
        kind = ""
        with self.client.stream("POST", path, json={**body, "stream": True}) as response:
            _check(response)
            for line in response.iter_lines():
                if line.startswith("event: "):
                    kind = line[7:]
                elif line == "data: [DONE]":
                    ended = True
                elif line.startswith("data: "):
                    event = json.loads(line[6:])
                    if kind == "error" or ("error" in event and not kind):
                        raise FailedError(f"the stream ended with an error: {event}")
                    ended = ended or kind == "finished"
                    pieces.append(_text_of(kind, event))
        if not ended:
            raise FailedError("the stream ended without its last event")
        return "".join(pieces)

    def upload(self, upload: Upload) -> int:
        response = self.client.post("/api/documents", files={"file": (upload.name, upload.content())})
        _check(response)
        document = int(response.json()["documents"][0]["id"])
        deadline = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < deadline:
            found = self.client.get(f"/api/documents/{document}")
            _check(found)
            state = found.json()
            if state["status"] == "ready":
                return document
            if state["status"] not in {"queued", "parsing", "embedding"}:
                raise FailedError(f"{upload.name}: {state['status']}: {state['error']}")
            time.sleep(0.1)
        raise FailedError(f"{upload.name} was not taken in within {ANSWER_SECONDS:g} s")

    def delete(self, document: int) -> None:
        _check(self.client.delete(f"/api/documents/{document}"))

    def visit(self, visit: Visit) -> int:
        with visiting(self.url) as visitor:
            for page in visit.pages:
                visitor.open("" if page == "chat" else page)
            seen = len(visit.pages)
            if visit.upload is not None:
                visitor.upload((visit.upload.name, visit.upload.content()))
                seen += 1
            if visit.question is not None:
                visitor.open()
                visitor.ask(visit.question.text, wait=not visit.abrupt)
                seen += 1
            if visit.abrupt:
                visitor.break_off()
        return seen

    def settle(self) -> None:
        deadline = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < deadline:
            response = self.client.get("/api/status")
            _check(response)
            status = response.json()
            if not status["counts"]["jobs_unfinished"] and not any(status["answers"].values()):
                return
            time.sleep(0.2)
        raise FailedError("the service did not come to rest")

    def document_named(self, name: str) -> int | None:
        response = self.client.get("/api/documents", params={"query": name, "limit": 1000})
        _check(response)
        found = [document["id"] for document in response.json()["documents"] if document["name"] == name]
        return int(found[0]) if found else None

    def close(self) -> None:
        self.client.close()


class Naive:
    """The baseline's small server."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, timeout=ANSWER_SECONDS, trust_env=False)

    def ask(self, question: Question) -> Answered | None:
        began = time.perf_counter()
        body = {"conversation": question.conversation, "question": question.text}
        answer = self.client.post("/ask", json=body)
        _check(answer)
        text = str(answer.json()["text"])
        if question.hang_up:
            return None
        return Answered(time.perf_counter() - began, question.expected in text, text)

    def upload(self, upload: Upload) -> int:
        return self._upload(upload, "/upload")

    def _upload(self, upload: Upload, path: str) -> int:
        response = self.client.post(path, params={"name": upload.name}, content=upload.content())
        _check(response)
        return int(response.json()["id"])

    def delete(self, document: int) -> None:
        _check(self.client.post("/delete", params={"id": document}))

    def visit(self, visit: Visit) -> int:
        """Come, upload, ask, go. The baseline has no pages to look at, which is in its favour."""
        response = self.client.post("/session")
        _check(response)
        session = int(response.json()["session"])
        if visit.upload is not None:
            self._upload(visit.upload, f"/session/{session}/upload")
        if visit.question is not None:
            body = {"conversation": -1 - session, "question": visit.question.text}
            _check(self.client.post("/ask", json=body))
        return 1

    def settle(self) -> None:
        """Everything is done when it has answered."""

    def document_named(self, name: str) -> int | None:
        response = self.client.get("/document", params={"name": name})
        _check(response)
        found = response.json()["id"]
        return None if found is None else int(found)

    def close(self) -> None:
        self.client.close()


def _check(response: httpx.Response) -> None:
    if response.status_code >= 400:
        response.read()
        raise FailedError(
            f"{response.request.method} {response.request.url.path}: {response.status_code} {response.text[:500]}"
        )


def _text_of(kind: str, event: dict[str, Any]) -> str:
    if kind:
        return str(event["text"]) if kind == "token" else ""
    choices = event.get("choices") or []
    return str(choices[0]["delta"].get("content") or "") if choices else ""
