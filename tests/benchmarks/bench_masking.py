"""Masking: time for 10 KB of ordinary text and for hostile megabytes, precision and recall, what a log line costs.

Times are CPU time of the thread.
"""

from __future__ import annotations

import io
import itertools
import logging
import random
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from services.core.masking import PersonalKind, find
from services.operations import logging as log_setup
from services.operations.log_masking import mask_values
from tests.benchmarks.server import paragraphs, percentile
from tests.benchmarks.table import Row
from tests.core.masking.figures import measure
from tests.core.masking.held_out_style import HeldOutStyle

ROOT = Path(__file__).resolve().parents[2]
CHARACTERS = 10_000
MEGABYTE = 1_000_000
ROUNDS = 200
SAMPLES = 3000
HOSTILE = (
    "1", "a", "@", "+", "0", "1 ", "1-", "1.", "a@", "a.", "a%40", "138 1234 5678 ", "4111 ", "AA00", "E12345678 ",
    "eyJ", "sk-", '"', "password=", 'password:"', "token ", "bearer ", "cookie: ", "://a:",
    "-----BEGIN PRIVATE KEY-----", "GB82 WEST 1234 5698 ", "密码：", "０", "中",
)  # fmt: skip


def run() -> list[Row]:
    """Measure everything."""
    return [*_ordinary(), _numbers(), _hostile(), *_figures(), *_log_lines()]


def _texts() -> dict[str, str]:
    chosen = random.Random(1)
    moment = "2025-11-29T08"
    requests = (
        f'{{"event":"request","method":"GET","path":"/api/documents/{i}","status":200,"ms":{chosen.random() * 50:.1f},'
        f'"rss_mb":{300 + i},"timestamp":"{moment}:{i % 60:02}:11.123456Z",'
        f'"request_id":"{chosen.getrandbits(128):032x}"}}\n'
        for i in range(400)
    )
    return {
        "English": "\n".join(paragraphs("en")),
        "Chinese": "\n".join(paragraphs("zh")),
        "code": (ROOT / "services" / "core" / "settings.py").read_text(),
        "log lines": "".join(requests),
        "CSV": "".join(",".join(str(chosen.randint(1, 99_999)) for _cell in range(8)) + "\n" for _row in range(2000)),
    }


def _ordinary() -> list[Row]:
    rows = []
    for name, text in _texts().items():
        starts = range(0, len(text) - CHARACTERS, CHARACTERS)
        pieces = itertools.cycle([text[at : at + CHARACTERS] for at in starts] or [text])
        taken = [_milliseconds(find, next(pieces)) for _round in range(ROUNDS)]
        p50, p95 = percentile(taken, 0.5), percentile(taken, 0.95)
        target = 1.0 if name in {"English", "Chinese"} else None
        rows.append(
            Row(f"masking {CHARACTERS:,} characters: {name}, ms (p50)", p50, target, False, f"p95 {p95:.2f} ms")
        )
    return rows


def _numbers() -> Row:
    text = " ".join(str(random.Random(2).randint(1, 9999)) for _number in range(4000))[:CHARACTERS]
    taken = [_milliseconds(find, text) for _round in range(50)]
    return Row("masking nothing but numbers, ms (p50)", percentile(taken, 0.5), None, False, "10,000 characters")


def _hostile() -> Row:
    """A megabyte of one thing over half of it: 2 where the time is proportional."""
    worst, what, longest = 0.0, "", 0.0
    for piece in HOSTILE:
        text = piece * (MEGABYTE // len(piece))
        whole, half = _milliseconds(find, text), _milliseconds(find, text[: len(text) // 2])
        longest = max(longest, whole)
        if whole / max(half, 50.0) > worst:
            worst, what = whole / max(half, 50.0), piece
    detail = f"{len(HOSTILE)} kinds; worst {what!r}; longest {longest:.0f} ms for a megabyte"
    return Row("masking a hostile megabyte over half of it", worst, 3.0, False, detail)


def _figures() -> list[Row]:
    style = HeldOutStyle(1)
    found = measure(style.sample() for _number in range(SAMPLES))
    rows = []
    for kind in ("all", *(kind.value for kind in PersonalKind)):
        figures = found[kind]
        detail = f"{figures.planted:,} planted, {figures.found:,} found"
        rows += [
            Row(f"masking, precision: {kind}", figures.precision, 0.98, True, detail),
            Row(f"masking, recall: {kind}", figures.recall, 0.98, True, detail),
        ]
    return rows


def _log_lines() -> list[Row]:
    rows = []
    for style in ("json", "text"):
        log_setup.configure(style=style, stream=io.StringIO())
        log = structlog.get_logger("bench")

        def line(log: structlog.stdlib.BoundLogger = log) -> None:
            log.info("request", method="GET", path="/api/documents/12", status=200, ms=1.2, request_id="5f" * 16)

        formatter = logging.getLogger().handlers[0].formatter
        assert isinstance(formatter, structlog.stdlib.ProcessorFormatter)
        with_masking = percentile([_milliseconds(line) for _round in range(2000)], 0.5)
        formatter.processors = [each for each in formatter.processors if each is not mask_values]
        without = percentile([_milliseconds(line) for _round in range(2000)], 0.5)
        detail = f"{without * 1000:.0f} us without"
        rows.append(Row(f"log line ({style}) with masking, us (p50)", with_masking * 1000, None, False, detail))
    return rows


def _milliseconds(call: Callable[..., object], *arguments: object) -> float:
    began = time.thread_time()
    call(*arguments)
    return (time.thread_time() - began) * 1000
