"""Clients that add, delete, search, ask and sign in through the front all the while, and keep what they were told."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from tests.drill.history import History, now
from tests.front.fronts import Front
from tests.front.outcomes import Attempt

# Who signs in.
NAME, PASSWORD = "uma", "violet tractor under seven moons"
_PAUSE_SECONDS = 0.1
_PATIENCE = 30.0
# An answer may give what was deleted, or take a session that ended, so many seconds before it was asked for.
FORGOTTEN_SECONDS = 1.0
_LOOK_SECONDS = 2.0  # for a node that is asked past the front, and may hang
_ENDED_SESSIONS = 3  # the last ones are tried
_COOKIE = "__Host-millpond"
_CONSONANTS, _VOWELS = "bdfgklmnprstvz", "aeiou"


def bearer(token: str) -> dict[str, str]:
    """Return the headers of whoever acts with a token, none for ""."""
    return {"Authorization": f"Bearer {token}"} if token else {}


def past_front(address: str, token: str, **headers: str) -> httpx.Client:
    """Return a client of one node, past the front, that acts with a token."""
    return httpx.Client(base_url=f"http://{address}", headers={**bearer(token), **headers}, timeout=60.0)


class Clients:
    """Asks while the block runs; what was told is in `history`."""

    def __init__(self, front: Front, nodes: Mapping[str, str], token: str = "") -> None:
        """`nodes`: their addresses by name. Without a `token` there are no accounts, and nobody signs in."""
        self.history = History()
        self._url, self._trusted = front.url, front.trusted
        self._token = token
        self._nodes = nodes
        self._random = random.Random(13)
        self._numbers = itertools.count(1)
        self._left: set[str] = set()  # conversations in which there was no answer
        self._stop = threading.Event()
        steps: dict[str, Callable[[httpx.Client], None]] = {
            "adds": self._add,
            "deletes": self._delete,
            "searches": self._search,
            "searches more": self._search,
            "asks": self._ask,
        }
        if token:
            steps |= {"signs in": self._sign_in, "tries ended sessions": self._try_ended}
        self._threads = [threading.Thread(target=self._run, args=each, name=each[0]) for each in steps.items()]

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for each in self._threads:
            each.join()

    def _run(self, name: str, step: Callable[[httpx.Client], None]) -> None:  # noqa: ARG002 - the thread's name
        # Each request has a connection of its own: which node it goes to is the front's choice.
        limits = httpx.Limits(max_keepalive_connections=0)
        with httpx.Client(
            base_url=self._url, verify=self._trusted, timeout=_PATIENCE, limits=limits, trust_env=False
        ) as client:
            while not self._stop.wait(_PAUSE_SECONDS):
                step(client)

    def _send(self, client: httpx.Client, kind: str, method: str, path: str, **content: Any) -> httpx.Response | None:
        """Send a request and record it; None where there was no answer that says that it was done."""
        began = now()
        name = threading.current_thread().name
        if "headers" not in content:
            content["headers"] = bearer(self._token)
        try:
            answer = client.request(method, path, **content)
        except httpx.HTTPError as error:
            self.history.record(Attempt(name, kind, began, now(), type(error).__name__))
            return None
        if answer.is_success or answer.is_redirect:
            self.history.record(Attempt(name, kind, began, now()))
            return answer
        excused = answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and "Retry-After" in answer.headers
        self.history.record(Attempt(name, kind, began, now(), str(answer.status_code), excused=excused))
        return None

    def _add(self, client: httpx.Client) -> None:
        word = self._word()
        text = f"The boat number {next(self._numbers)} is called {word}. It lies in the pond of the mill."
        files = {"file": (f"{word}.txt", text.encode())}
        with self.history.lock:
            self.history.contents[word] = text.encode()
        answer = self._send(client, "add", "POST", "/api/documents", files=files)
        with self.history.lock:
            if answer is None:
                self.history.doubtful.add(word)
            else:
                self.history.added[word] = int(answer.json()["documents"][0]["id"])

    def _delete(self, client: httpx.Client) -> None:
        living = self.history.living()
        if len(living) < 20:
            return
        word = self._random.choice(living[:-10])
        with self.history.lock:
            self.history.doubtful.add(word)
        answer = self._send(client, "delete", "DELETE", f"/api/documents/{self.history.added[word]}")
        if answer is not None:
            with self.history.lock:
                self.history.deleted[word] = now()
                self.history.doubtful.discard(word)

    def _search(self, client: httpx.Client) -> None:
        with self.history.lock:
            known = [*self.history.added]
            gone = {word for word, at in self.history.deleted.items() if at < now() - FORGOTTEN_SECONDS}
        if not known:
            return
        word = self._random.choice(known)
        answer = self._send(client, "search", "POST", "/api/search", json={"query": f"Which boat is called {word}?"})
        if answer is not None:
            self._check({hit["document"] for hit in answer.json()["hits"]}, gone, "found")

    def _ask(self, client: httpx.Client) -> None:
        with self.history.lock:
            known = [*self.history.added]
            gone = {word for word, at in self.history.deleted.items() if at < now() - FORGOTTEN_SECONDS}
            asked = [name for name, questions in self.history.asked.items() if len(questions) < 5]
        open_ones = [name for name in asked if name not in self._left]
        if not known:
            return
        if not open_ones:
            made = self._send(client, "conversation", "POST", "/api/conversations", json={})
            if made is None:
                return
            open_ones = [str(made.json()["id"])]
            with self.history.lock:
                self.history.asked[open_ones[0]] = []
        conversation = open_ones[-1]
        question = f"Which boat is called {self._random.choice(known)}? ({next(self._numbers)})"
        path = f"/api/conversations/{conversation}/questions"
        answer = self._send(client, "ask", "POST", path, json={"question": question, "stream": False})
        if answer is None:
            self._left.add(conversation)  # it may be a node's that is gone: a person opens another one
            return
        with self.history.lock:
            self.history.asked[conversation].append(question)
        self._check({each["document"] for each in answer.json()["citations"]}, gone, "cited")

    def _sign_in(self, client: httpx.Client) -> None:
        """Sign in with a password, do something in the session, sign out."""
        form = {"Origin": self._url, "Sec-Fetch-Site": "same-origin"}
        data = {"name": NAME, "password": PASSWORD}
        answer = self._send(client, "sign in", "POST", "/sign-in", data=data, headers=form)
        if answer is None:
            return
        session = {**form, "Cookie": f"{_COOKIE}={answer.cookies[_COOKIE]}"}
        client.cookies.clear()
        with self.history.lock:
            self.history.sessions += 1
        for _time in range(3):
            self._send(client, "session", "GET", "/api/account", headers=session)
        if self._send(client, "sign out", "POST", "/sign-out", headers=session) is not None:
            client.cookies.clear()
            with self.history.lock:
                self.history.signed_out[session["Cookie"]] = now()

    def _try_ended(self, _client: httpx.Client) -> None:
        """Show each node sessions that have ended; it is as if the front had sent them there."""
        with self.history.lock:
            ended = [cookie for cookie, at in self.history.signed_out.items() if at < now() - FORGOTTEN_SECONDS]
        for cookie in ended[-_ENDED_SESSIONS:]:
            for name, address in self._nodes.items():
                headers = {"Cookie": cookie, "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https"}
                try:
                    url = f"http://{address}/api/account"
                    answer = httpx.get(url, headers=headers, timeout=_LOOK_SECONDS, trust_env=False)
                except httpx.HTTPError:
                    continue
                if answer.is_success:
                    with self.history.lock:
                        self.history.wrong.append(f"a session was taken at {name} more than a second after it ended")

    def _check(self, names: set[str], gone: set[str], what: str) -> None:
        wrong = {name.removesuffix(".txt") for name in names} & gone
        with self.history.lock:
            self.history.wrong += [f"{word} was {what} more than a second after it was deleted" for word in wrong]

    def _word(self) -> str:
        return "".join(self._random.choice(_CONSONANTS) + self._random.choice(_VOWELS) for _syllable in range(5))
