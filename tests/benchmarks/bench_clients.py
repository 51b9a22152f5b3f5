"""Many clients at once: questions a second over one client, none of them asked before."""

from __future__ import annotations

import itertools
import json
import random
import statistics
import tempfile
from pathlib import Path

from tests.benchmarks.load_client import Load, ask
from tests.benchmarks.server import Server, paragraphs, questions, serve
from tests.benchmarks.table import Row

LEVELS = (1, 2, 4, 8, 16)
ROUNDS = 3
FILES_PER_REQUEST = 40
WARM_UP = 60
# Of each level and round; every question is asked once in all.
ASKED = {1: 80, 2: 100, 4: 140, 8: 180, 16: 240}
P95_MS = 120.0


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as server:
        fill(server)
        return rows(measure(server))


def fill(server: Server) -> None:
    """Hand in XQuAD's 480 paragraphs, each a document."""
    files = [
        (f"{language}-{number}.txt", text.encode())
        for language in ("en", "zh")
        for number, text in enumerate(paragraphs(language))
    ]
    for start in range(0, len(files), FILES_PER_REQUEST):
        server.upload(files[start : start + FILES_PER_REQUEST])
    server.wait_idle()


def measure(server: Server) -> dict[int, list[Load]]:
    """Return what each number of clients saw, round by round."""
    asked = [*questions("en"), *questions("zh")]
    random.Random(1).shuffle(asked)
    bodies = itertools.cycle([json.dumps({"query": question, "k": 5}).encode() for question in asked])
    url = str(server.client.base_url)
    ask(server.process, url, list(itertools.islice(bodies, WARM_UP)), 4)
    found: dict[int, list[Load]] = {level: [] for level in LEVELS}
    for _round in range(ROUNDS):
        for level in LEVELS:
            found[level].append(ask(server.process, url, list(itertools.islice(bodies, ASKED[level])), level))
    return found


def rows(found: dict[int, list[Load]]) -> list[Row]:
    """Return the figures: medians over the rounds, each ratio within its round."""
    rate = {level: statistics.median(load.rate for load in loads) for level, loads in found.items()}
    most = LEVELS[-1]
    ratio = statistics.median(many.rate / one.rate for many, one in zip(found[most], found[1], strict=True))
    loads = found[most]
    client = sum(load.client_cpu for load in loads) / sum(load.seconds for load in loads)
    server = sum(load.server_cpu for load in loads) / sum(load.answered for load in loads) * 1000
    return [
        Row(
            f"{most} clients searching at once over one client, questions a second, nothing cached",
            ratio,
            2.0,
            at_least=True,
            detail=f"{', '.join(f'{rate[level]:.0f}' for level in LEVELS)} a second with "
            f"{', '.join(str(level) for level in LEVELS)} clients; {server:.1f} ms of the server's CPU a question; "
            f"the clients took {client:.2f} of one core; {sum(load.refused for load in loads)} refused",
        ),
        Row(
            f"question p95 with {most} clients, ms",
            statistics.median(load.percentile(0.95) for load in loads),
            P95_MS,
            at_least=False,
            detail=f"p50 {statistics.median(load.percentile(0.5) for load in loads):.0f} ms; one client: p50 "
            f"{statistics.median(load.percentile(0.5) for load in found[1]):.1f}, p95 "
            f"{statistics.median(load.percentile(0.95) for load in found[1]):.1f} ms",
        ),
    ]
