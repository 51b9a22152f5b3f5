"""A hundred people ask and search at the same time, for three minutes."""

from __future__ import annotations

import random
import tempfile
import threading
import time
from pathlib import Path

import httpx

from tests.servers import Server, serving
from tests.siege.neighbours import WORDS, client_at, page_of_text, percentile, search_seconds
from tests.siege.report import Report

CLIENTS = 100
SECONDS = 180.0
LIBRARY = 300
ASKS = 0.1  # the share of questions; the others are searches
PAUSE_SECONDS = 2.0  # that somebody reads before the next one, on average


def run(report: Report, seconds: float = SECONDS, clients: int = CLIENTS) -> None:
    """Have everybody search and ask with pauses, and report how long that takes."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "data", answer_cache_mb=0) as server:
        for number in range(LIBRARY):
            server.add(f"{number}.txt", page_of_text(str(number)))
        while server.client.get("/api/status").raise_for_status().json()["counts"]["jobs_unfinished"]:
            time.sleep(0.2)
        people = [Person(server, number, time.monotonic() + seconds) for number in range(clients)]
        for person in people:
            person.start()
        for person in people:
            person.join()
        searches = [each for person in people for each in person.searches]
        answers = [each for person in people for each in person.answers]
        errors = [each for person in people for each in person.errors]
        report(
            f"search p95 with {clients} clients", round(percentile(searches), 2), 1.5, "s", f"{len(searches)} searches"
        )
        report("answer p95", round(percentile(answers), 2), 15.0, "s", f"{len(answers)} answers")
        report("errors", len(errors), 0, "", "; ".join(errors[:3]))
        report("errors in the log", server.log.read_text().count('"level": "error"'), 0, "")


class Person(threading.Thread):
    """Searches and asks, at an address of its own, until a moment."""

    def __init__(self, server: Server, number: int, until: float) -> None:
        super().__init__()
        self._server = server
        self._until = until
        self._chance = random.Random(number)
        self._address = f"127.0.1.{number + 1}"
        self.searches: list[float] = []
        self.answers: list[float] = []
        self.errors: list[str] = []

    def run(self) -> None:
        with client_at(self._server, self._address) as client:
            while time.monotonic() < self._until:
                try:
                    if self._chance.random() < ASKS:
                        self.answers.append(self._ask(client))
                    else:
                        self.searches.append(search_seconds(client, self._chance))
                except httpx.HTTPError as error:
                    self.errors.append(repr(error))
                time.sleep(self._chance.uniform(0.0, 2 * PAUSE_SECONDS))

    def _ask(self, client: httpx.Client) -> float:
        words = " ".join(self._chance.choice(WORDS) for _word in range(3))
        question = f"What is said of {words} {self._chance.randrange(10**6)}?"
        began = time.monotonic()
        body = {"model": "millpond", "messages": [{"role": "user", "content": question}]}
        client.post("/v1/chat/completions", json=body).raise_for_status()
        return time.monotonic() - began
