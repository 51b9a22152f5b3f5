"""Across languages, on XQuAD, whose paragraphs and questions are the same in English and Chinese.

Three ponds: the paragraphs of one language, of the other, of both. A fourth has half of the articles: questions about
the other half have no answer there.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from services.app.container import Services
from services.app.startup import Application
from services.core.actor import SERVICE
from services.core.settings import Settings
from tests.benchmarks.bench_retrieval import HITS, Question, load
from tests.benchmarks.server import XQUAD
from tests.benchmarks.table import Row

# Every so many questions.
STEP = int(os.environ.get("LANGUAGES_STEP", "2"))
NAMES = {"en": "English", "zh": "Chinese"}
# First and in the first five, by the language of the question.
ACROSS = {"en": (0.72, 0.93), "zh": (0.70, 0.91)}
TOGETHER = 0.97
UNRELATED, RELATED = 0.95, 0.985

Right = Callable[[int], set[str]]


def run() -> list[Row]:
    loaded = {language: load(language) for language in NAMES}
    files = {language: files for language, (files, _questions) in loaded.items()}
    asked = {language: list(enumerate(questions))[::STEP] for language, (_files, questions) in loaded.items()}
    document = [question.document for question in loaded["en"][1]]
    rows: list[Row] = []
    for language, other in (("en", "zh"), ("zh", "en")):
        with pond({other: files[other]}) as services:
            first, five = shares(services, asked[language], lambda place, other=other: {f"{other}-{document[place]}"})
        what = f"question {NAMES[language]}, documents {NAMES[other]}: right one"
        detail = f"{len(asked[language])} questions"
        rows += [
            Row(f"{what} first", first, ACROSS[language][0], at_least=True, detail=detail),
            Row(f"{what} in the first {HITS}", five, ACROSS[language][1], at_least=True, detail=detail),
        ]
    with pond(files) as services:
        for language, name in NAMES.items():
            first, _five = shares(
                services, asked[language], lambda place: {f"{one}-{document[place]}" for one in files}
            )
            what = f"both languages' documents in one pond, {name}: right one or its translation first"
            rows.append(Row(what, first, TOGETHER, at_least=True, detail=f"{len(asked[language])} questions"))
    return rows + [row for language in NAMES for row in unanswered(language, files[language], asked[language])]


def unanswered(language: str, files: Sequence[tuple[str, bytes]], asked: Sequence[tuple[int, Question]]) -> list[Row]:
    """Return how questions about articles that are not there are told from the others."""
    kept = articles(language)
    with pond({language: [file for file in files if kept[file[0]]]}) as services:
        flags: dict[bool, list[bool]] = {True: [], False: []}
        for _place, question in asked:
            flags[kept[question.document]].append(services.retriever.search(SERVICE, question.text).relevant)
    unrelated, related = flags[False], flags[True]
    return [
        Row(
            f"nothing in the documents, {NAMES[language]}: unrelated questions flagged",
            1 - sum(unrelated) / len(unrelated),
            UNRELATED,
            at_least=True,
            detail=f"{len(unrelated)} questions about the articles that were left out",
        ),
        Row(
            f"nothing in the documents, {NAMES[language]}: related ones not flagged",
            sum(related) / len(related),
            RELATED,
            at_least=True,
            detail=f"{len(related)} questions",
        ),
    ]


def articles(language: str) -> dict[str, bool]:
    """Return by document whether its article is in the pond: every second one is."""
    data = json.loads((XQUAD / f"xquad.{language}.json").read_text())["data"]
    kept = [number % 2 == 0 for number, article in enumerate(data) for _paragraph in article["paragraphs"]]
    return {f"{place:04d}.txt": is_kept for place, is_kept in enumerate(kept)}


@contextmanager
def pond(files: dict[str, list[tuple[str, bytes]]]) -> Iterator[Services]:
    """Yield services that hold these files, named by language, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), embedding_cache_mb=0, answer_cache_mb=0)
        with Application(settings) as services:
            for language, some in files.items():
                for name, content in some:
                    services.library.add(SERVICE, io.BytesIO(content), f"{language}-{name}")
            while services.library.counts(SERVICE).jobs_unfinished:
                time.sleep(0.1)
            services.retriever.measure_trust()
            yield services


def shares(services: Services, asked: Sequence[tuple[int, Question]], right: Right) -> tuple[float, float]:
    """Return for how many questions a right document is first, and in the first five."""
    first = five = 0
    for place, question in asked:
        hits = [hit.document for hit in services.retriever.search(SERVICE, question.text, k=HITS).hits]
        first += bool(hits) and hits[0] in right(place)
        five += not right(place).isdisjoint(hits)
    return first / len(asked), five / len(asked)
