"""Answers without a language model to everyday questions over mixed documents: answered, with nothing irrelevant."""

from __future__ import annotations

from collections.abc import Sequence

from tests.benchmarks.everyday import held_out
from tests.benchmarks.everyday.asked import Asked
from tests.benchmarks.everyday.documents import documents
from tests.benchmarks.everyday.measure import ask_all
from tests.benchmarks.everyday.questions import QUESTIONS
from tests.benchmarks.table import Row

ANSWERED, CLEAN = 0.85, 0.9


def run() -> list[Row]:
    return [
        *_rows("everyday questions", documents(), QUESTIONS),
        *_rows("everyday questions, held out", held_out.documents(), held_out.QUESTIONS),
    ]


def _rows(name: str, files: Sequence[tuple[str, bytes]], questions: Sequence[Asked]) -> list[Row]:
    found = ask_all(files, questions)
    answered = sum(one.verdict.answered for one in found) / len(found)
    clean = sum(not one.verdict.irrelevant for one in found) / len(found)
    detail = f"{len(questions)} questions over {len(files)} documents, no language model"
    return [
        Row(f"{name}: answered in the first quote", answered, ANSWERED, at_least=True, detail=detail),
        Row(f"{name}: nothing irrelevant quoted", clean, CLEAN, at_least=True, detail=detail),
    ]
