from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from services.core.actor import SERVICE
from services.knowledge.types import Document, DocumentStatus
from tests.knowledge.kill_target import QuickEmbedder, content, open_harness
from tests.knowledge.library_harness import LibraryHarness

KILLS = int(os.environ.get("MILLPOND_TEST_KILLS", "12"))
SEED = int(os.environ.get("MILLPOND_TEST_KILL_SEED", "0")) or random.SystemRandom().randrange(10**9)
LONGEST_LIFE = 1.5

Key = tuple[int, str]


@dataclass
class Expected:
    """What has to be there: by collection and name the sha256 of the content, or of either while it is not certain.

    None stands for "no such document".
    """

    certain: dict[Key, str] = field(default_factory=dict)
    uncertain: dict[Key, set[str | None]] = field(default_factory=dict)
    orders: int = 0

    def possible(self, key: Key) -> set[str | None]:
        return self.uncertain.get(key) or {self.certain.get(key)}

    def note(self, order: dict[str, Any], answer: str | None) -> None:
        """Take in what became of an order; an answer of None means that the process was killed over it."""
        key = (order["collection"], order["name"])
        after: str | None = self.certain.get(key)
        if order["do"] == "add":
            after = hashlib.sha256(content(order["seed"], order["paragraphs"])).hexdigest()
        elif order["do"] == "delete":
            after = None
        if answer is None:
            self.uncertain[key] = self.possible(key) | {after}
            return
        self.orders += 1
        if answer in {"duplicate", "refused", "begun"}:
            return
        self.uncertain.pop(key, None)
        if after is None:
            self.certain.pop(key, None)
        else:
            self.certain[key] = after


class Life:
    """One process from its start to its kill."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self._log = folder.with_suffix(".log")
        with self._log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.knowledge.kill_target", str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._seconds = seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        code = self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                with suppress(BrokenPipeError):
                    pipe.close()
        assert code == -signal.SIGKILL, f"it ended by itself: {self._log.read_text()[-4000:]}"

    def until_killed(self, expected: Expected, plan: random.Random) -> None:
        """Give orders, one after the other, until the kill comes at its time."""
        timer = threading.Timer(self._seconds, self.process.kill)
        if plan.random() < 0.15:
            timer.start()  # may hit the start itself, with all that it puts in order
        if self._answer() is None:
            timer.cancel()
            return
        if not timer.is_alive():
            timer.start()
        while True:
            order = next_order(expected, plan)
            answer = self._ask(order)
            expected.note(order, answer)
            if answer is None:
                timer.join()
                return

    def _ask(self, order: dict[str, Any]) -> str | None:
        assert self.process.stdin
        try:
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return None
        return self._answer()

    def _answer(self) -> str | None:
        assert self.process.stdout
        line = self.process.stdout.readline()
        return line.strip() if line.endswith("\n") else None


def next_order(expected: Expected, plan: random.Random) -> dict[str, Any]:
    collection = plan.randrange(2)
    known = [
        name for where, name in expected.certain if where == collection and not expected.uncertain.get((where, name))
    ]
    chance = plan.random()
    if known and chance < 0.15:
        return {"do": "delete", "collection": collection, "name": plan.choice(known)}
    if known and chance < 0.25:
        return {"do": "rechunk", "collection": collection, "name": plan.choice(known), "tokens": plan.choice([48, 96])}
    again = known and chance < 0.45
    # Few enough seeds that contents come up twice, in one collection and across both.
    return {
        "do": "add",
        "collection": collection,
        "name": plan.choice(known) if again else f"file {plan.randrange(10**6)}.txt",
        "seed": plan.randrange(60),
        "paragraphs": plan.choice([1, 3, 3, 10, 60]),
    }


def test_nothing_acknowledged_is_lost_to_kills(tmp_path: Path) -> None:
    """After kills at random moments every acknowledged file is ready exactly once, and nothing else is left over."""
    print(f"MILLPOND_TEST_KILL_SEED={SEED}")
    folder = tmp_path / "data"
    plan = random.Random(SEED)
    expected = Expected()
    for _ in range(KILLS):
        with Life(folder, plan.uniform(0.02, LONGEST_LIFE)) as life:
            life.until_killed(expected, plan)
    assert expected.orders > KILLS
    with open_harness(folder) as harness:
        harness.idle()
        check_all(harness, expected)
    # What was saved last is what the next start has.
    with open_harness(folder) as harness:
        harness.idle()
        check_all(harness, expected)


def check_all(harness: LibraryHarness, expected: Expected) -> None:
    harness.check()
    default = harness.library.default_collection(SERVICE).id
    found: dict[Key, Document] = {}
    for document in harness.library.documents(SERVICE, limit=100_000):
        assert document.status is DocumentStatus.READY, document
        assert document.chunks > 0
        found[int(document.collection_id != default), document.name] = document
    for key in {*expected.certain, *expected.uncertain, *found}:
        document = found.get(key)
        assert (document.sha256 if document else None) in expected.possible(key), key
    contents = [(d.collection_id, d.sha256) for d in found.values()]
    embedder = QuickEmbedder()
    for document in found.values():
        path, _document = harness.library.reader.original(SERVICE, document.id)
        data = path.read_bytes()
        assert hashlib.sha256(data).hexdigest() == document.sha256
        chunks = harness.library.reader.chunks(SERVICE, document.id, limit=10_000)
        assert all(chunk.text.split(".")[0] in data.decode() for chunk in chunks)
        assert data.decode().rsplit(" ", 1)[-1] in chunks[-1].text
        ids, vectors = harness.chunks.vectors([chunk.id for chunk in chunks])
        assert len(ids) == len(chunks)
        assert abs(vectors[0] - embedder.vector(chunks[0].text)).max() < 1e-6
    assert len(contents) == len(set(contents)), "a content was taken twice in one collection"
