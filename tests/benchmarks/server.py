"""A real server process for benchmarks, and the files that are thrown at it."""

from __future__ import annotations

import io
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[2]
XQUAD = ROOT.parent / "shared" / "data"
DEADLINE_SECONDS = 1800


@dataclass
class Server:
    """A running `millpond serve` and a client for it."""

    process: psutil.Process
    client: httpx.Client

    def rss(self) -> int:
        return int(self.process.memory_info().rss)

    def upload(self, files: list[tuple[str, bytes]]) -> list[int]:
        answer = self.client.post("/api/documents", files=[("file", file) for file in files])
        answer.raise_for_status()
        return [document["id"] for document in answer.json()["documents"]]

    def unfinished(self) -> int:
        return int(self.client.get("/api/status").raise_for_status().json()["counts"]["jobs_unfinished"])

    def wait_idle(self) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self.unfinished():
            if time.monotonic() > deadline:
                raise TimeoutError("ingestion did not finish")
            time.sleep(0.5)

    def search_ms(self, query: str) -> float:
        started = time.perf_counter()
        self.client.post("/api/search", json={"query": query, "k": 5}).raise_for_status()
        return (time.perf_counter() - started) * 1000


@contextmanager
def serve(
    data_dir: Path, *, cached: bool = False, module: str = "console", database_url: str = "", **settings: str
) -> Iterator[Server]:
    """Start a server on a free port over `data_dir`, with caches if `cached`, yield it once it is ready, stop it."""
    command = [sys.executable, "-m", module, "serve", "--port", "0", "--data-dir", str(data_dir)]
    # The same questions come again and again: what is measured is finding answers, not remembering them.
    without_caches = {"MILLPOND_EMBEDDING_CACHE_MB": "0", "MILLPOND_ANSWER_CACHE_MB": "0"}
    environment = os.environ | (without_caches if not cached else {}) | {"MILLPOND_DATABASE_URL": database_url}
    environment |= {f"MILLPOND_{name.upper()}": value for name, value in settings.items()}
    with (data_dir / "server.log").open("w+") as log:
        child = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            url = _wait_for_url(child, Path(log.name))
            with httpx.Client(base_url=url, timeout=DEADLINE_SECONDS) as client:
                while client.get("/readyz").status_code != 200:
                    time.sleep(0.2)
                yield Server(psutil.Process(child.pid), client)
        finally:
            child.terminate()
            child.wait(timeout=60)


def _wait_for_url(child: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = re.search(r"ready at (http://\S+)", log.read_text())
        if found:
            return found[1].rstrip("/")
        if child.poll() is not None:
            break
        time.sleep(0.2)
    raise RuntimeError(f"the server did not start:\n{log.read_text()}")


def paragraphs(language: str) -> list[str]:
    """Return XQuAD's 240 paragraphs in "en" or "zh"."""
    return [paragraph["context"] for paragraph, _ in _xquad(language)]


def questions(language: str) -> list[str]:
    """Return XQuAD's 1,190 questions in "en" or "zh"."""
    return [question["question"] for _, questions in _xquad(language) for question in questions]


def _xquad(language: str) -> Iterator[tuple[dict[str, str], list[dict[str, str]]]]:
    data = json.loads((XQUAD / f"xquad.{language}.json").read_text())["data"]
    for article in data:
        for paragraph in article["paragraphs"]:
            yield paragraph, paragraph["qas"]


def text_files(count: int, sentences: int, seed: int) -> list[tuple[str, bytes]]:
    """Return `count` distinct text files of `sentences` shuffled sentences each."""
    pool = [sentence for text in paragraphs("en") for sentence in re.split(r"(?<=\.)\s+", text) if len(sentence) > 40]
    chance = random.Random(seed)
    return [
        (f"notes-{seed}-{number}.txt", " ".join(chance.sample(pool, sentences)).encode()) for number in range(count)
    ]


def pdf_file(seed: int, megabytes: float) -> bytes:
    """Return a PDF of about `megabytes` MB: three pages of text and an incompressible picture."""
    from PIL import Image
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.utils import ImageReader
    from reportlab.pdfgen.canvas import Canvas

    chance = random.Random(seed)
    side = int((megabytes * 1_000_000 / 3) ** 0.5)
    picture = Image.frombytes("RGB", (side, side), chance.randbytes(side * side * 3))
    output = io.BytesIO()
    canvas = Canvas(output, pagesize=A4, pageCompression=1)
    canvas.drawImage(ImageReader(picture), 50, 50, 200, 200)
    words = " ".join(chance.sample(paragraphs("en"), 6)).split()
    for page in range(3):
        for line in range(30):
            start = (page * 30 + line) * 9 % max(1, len(words) - 9)
            canvas.drawString(50, 800 - 15 * line, " ".join(words[start : start + 9]))
        canvas.showPage()
    canvas.save()
    return output.getvalue()


def percentile(values: list[float], share: float) -> float:
    """Return the value below which `share` of `values` lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
