"""Puts documents into a library, asks every question without a language model, and judges the answers."""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.app.startup import Application
from services.chat.types import Finished, MessageRole
from services.core.actor import SERVICE
from services.core.settings import Settings
from tests.benchmarks.everyday.asked import Asked, Verdict, judge

DEADLINE_SECONDS = 120


@dataclass(frozen=True)
class Answered:
    """A question with its answer and the verdict on it."""

    asked: Asked
    answer: str
    verdict: Verdict


def ask_all(documents: Sequence[tuple[str, bytes]], questions: Sequence[Asked]) -> list[Answered]:
    """Return the judged answers of a fresh library with these documents."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Application(Settings(data_dir=Path(folder), answer_cache_mb=0)) as services,
    ):
        for name, data in documents:
            services.library.add(SERVICE, io.BytesIO(data), name)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while services.library.counts(SERVICE).jobs_unfinished:
            if time.monotonic() > deadline:
                raise TimeoutError("ingestion did not finish")
            time.sleep(0.05)
        services.retriever.measure_trust()
        found = []
        for asked in questions:
            stream = services.answers.complete(SERVICE, [(MessageRole.USER, asked.text)])
            message = next(event.message for event in stream if isinstance(event, Finished))
            found.append(Answered(asked, message.text, judge(asked, message.text)))
        return found
