"""People beside an attack: each with an address of their own, handing in small files and searching all the time."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from tests.servers import Server

UNFINISHED = {"queued", "parsing", "embedding"}
WORDS = (
    *("river", "mountain", "bridge", "valley", "harbour", "forest", "island"),
    *("market", "garden", "castle", "railway", "engine", "letter", "winter"),
)
READY_SECONDS = 120.0


def client_at(server: Server, address: str) -> httpx.Client:
    """Return a client whose requests come from a loopback address."""
    return httpx.Client(
        base_url=server.url, timeout=60.0, trust_env=False, transport=httpx.HTTPTransport(local_address=address)
    )


def page_of_text(seed: str, words: int = 300) -> bytes:
    """Return a page of text that nobody else has."""
    chance = random.Random(seed)
    return (f"Page {seed}. " + " ".join(chance.choice(WORDS) for _word in range(words)) + ".").encode()


def seconds_until_ready(client: httpx.Client, name: str, content: bytes) -> float:
    """Hand in a file and return after how many seconds it is ready; `READY_SECONDS` if it is not by then."""
    began = time.monotonic()
    answer = client.post("/api/documents", files={"file": (name, content)})
    assert answer.status_code == 202, answer.text
    number = answer.json()["documents"][0]["id"]
    while time.monotonic() - began < READY_SECONDS:
        status = client.get(f"/api/documents/{number}").raise_for_status().json()["status"]
        if status == "ready":
            return time.monotonic() - began
        assert status in UNFINISHED, status
        time.sleep(0.1)
    return READY_SECONDS


def percentile(values: Sequence[float], share: float = 0.95) -> float:
    """Return the value below which so large a share of `values` lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


@dataclass
class Neighbour:
    """What somebody saw: seconds until each small file was ready, seconds of each search, what went wrong."""

    ready: list[float] = field(default_factory=list)
    searches: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


@contextmanager
def at_work(server: Server, address: str, *, file_every: float = 0.0, search_every: float = 0.0) -> Iterator[Neighbour]:
    """Have somebody hand in a page, and search, every so many seconds (0: never) until the block ends."""
    seen = Neighbour()
    stop = threading.Event()

    def repeat(action: Callable[[httpx.Client, int], None], every: float) -> None:
        with client_at(server, address) as client:
            number = 0
            while not stop.is_set():
                began = time.monotonic()
                try:
                    action(client, number)
                except (httpx.HTTPError, AssertionError) as error:
                    seen.faults.append(repr(error))
                number += 1
                stop.wait(max(0.0, every - (time.monotonic() - began)))

    def hand_in(client: httpx.Client, number: int) -> None:
        seed = f"{address}-{number}-{time.time()}"
        seen.ready.append(seconds_until_ready(client, f"{seed}.txt", page_of_text(seed)))

    def search(client: httpx.Client, number: int) -> None:
        seen.searches.append(search_seconds(client, random.Random(f"{address}-{number}")))

    threads = [
        threading.Thread(target=repeat, args=(action, every))
        for action, every in ((hand_in, file_every), (search, search_every))
        if every
    ]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def search_seconds(client: httpx.Client, chance: random.Random) -> float:
    """Search for a few words and return how long it took."""
    query = " ".join(chance.choice(WORDS) for _word in range(4)) + f" {chance.randrange(10**6)}"
    began = time.monotonic()
    client.post("/api/search", json={"query": query, "k": 5}).raise_for_status()
    return time.monotonic() - began
