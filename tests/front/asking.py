"""Clients that ask all the while, and what became of each request."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.front.fronts import Front
from tests.front.outcomes import Attempt, Outcome, outcome_of

PAUSE_SECONDS = 0.02
_PATIENCE = 60.0


@dataclass(frozen=True)
class Kind:
    """What a client asks, and whether it keeps the front's cookie, as a browser does."""

    method: str
    path: str
    body: str | None = None
    keeps_cookie: bool = False


READ = Kind("GET", "/api/documents?limit=1")
SEARCH = Kind("POST", "/api/search", json.dumps({"query": "How long is a pump covered?"}))
BROWSER = Kind("GET", "/api/documents?limit=1", keeps_cookie=True)
ALL = (READ, READ, SEARCH, SEARCH, BROWSER, BROWSER)


class Asking:
    """Clients that ask one request after the other, each over a new connection, while the block runs."""

    def __init__(self, front: Front, kinds: Sequence[Kind] = ALL) -> None:
        place = urlsplit(front.url)
        assert place.hostname is not None
        assert place.port is not None
        self._place: tuple[str, int] = (place.hostname, place.port)
        self._trusted: ssl.SSLContext = front.trusted
        self._stop = threading.Event()
        self.attempts: list[Attempt] = []
        self._threads = [threading.Thread(target=self._ask, args=each) for each in enumerate(kinds)]

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

    def nodes(self, since: float = 0.0) -> Counter[str]:
        """Return how many answers each node gave to requests that began after a time."""
        return Counter(each.node for each in list(self.attempts) if each.began >= since and not each.error)

    def outcome(self, fault: float) -> Outcome:
        """Return what came of everything that ended after the fault (by the monotonic clock)."""
        return outcome_of(list(self.attempts), fault)

    def _ask(self, client: int, kind: Kind) -> None:
        cookie = ""
        while not self._stop.wait(PAUSE_SECONDS):
            headers = {"Content-Type": "application/json", "Connection": "close"}
            if cookie:
                headers["Cookie"] = cookie
            began = time.monotonic()
            node, error = "", ""
            connection = http.client.HTTPSConnection(*self._place, timeout=_PATIENCE, context=self._trusted)
            try:
                connection.request(kind.method, kind.path, kind.body, headers)
                answer = connection.getresponse()
                answer.read()
                node = answer.headers.get("X-Millpond-Node", "")
                if answer.status != http.HTTPStatus.OK:
                    error = str(answer.status)
                elif kind.keeps_cookie and (given := answer.headers.get("Set-Cookie", "")):
                    cookie = given.partition(";")[0]
            except (OSError, http.client.HTTPException) as fault:
                error = type(fault).__name__
            finally:
                connection.close()
            self.attempts.append(Attempt(str(client), kind.method, began, time.monotonic(), error, node=node))
