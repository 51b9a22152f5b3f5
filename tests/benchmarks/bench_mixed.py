"""Prose in a mixed library: XQuAD's questions with a table, a log, source code and more beside its paragraphs."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from tests.benchmarks import companions
from tests.benchmarks.bench_retrieval import FILES_PER_REQUEST, HITS, Question, load
from tests.benchmarks.server import Server, serve
from tests.benchmarks.table import Row

ASKED = 240  # of each language, the same ones each time
# Least share of the questions that are right without the companion, and that are right beside it.
TARGET = 0.97
COMPANIONS = {
    "a table of 2,000 rows": companions.table,
    "a log of 3,000 lines": companions.log,
    "source code": companions.source_code,
    "a price list": companions.price_list,
    "near-duplicates": companions.duplicates,
    "keys in hex": companions.unreadable,
}


def run() -> list[Row]:
    chance = random.Random(1)
    files: list[companions.File] = []
    asked: dict[str, list[Question]] = {}
    for language, name in (("en", "English"), ("zh", "Chinese")):
        paragraphs, questions = load(language)
        files += [(f"{language} {document}", text) for document, text in paragraphs]
        asked[name] = [
            Question(each.text, f"{language} {each.document}", each.answers) for each in chance.sample(questions, ASKED)
        ]
    asked["typing errors in long words"] = [
        Question(companions.with_typing_error(each.text, number), each.document, each.answers)
        for number, each in enumerate(asked["English"])
    ]
    scan = companions.misread([text.decode() for _name, text in files[:60]])
    beside = {**{name: make() for name, make in COMPANIONS.items()}, "a misread scan": scan}
    rows = []
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as server:
        _upload(server, files)
        alone = {kind: _right(server, questions) for kind, questions in asked.items()}
        for name, documents in {**beside, "all of them": [file for each in beside.values() for file in each]}.items():
            added = _upload(server, documents)
            trust = server.client.post("/api/search", json={"query": "Where is it?"}).json()["dense_trust"]
            for kind, questions in asked.items():
                right = _right(server, questions)
                lost = len(alone[kind] - right)
                rows.append(
                    Row(
                        f"right document first beside {name}, over alone, {kind}",
                        len(right) / len(alone[kind]),
                        TARGET,
                        at_least=True,
                        detail=f"{len(alone[kind])} of {len(questions)} alone; {lost} lost; trust in prose {trust:.2f}",
                    )
                )
            for document in added:
                server.client.delete(f"/api/documents/{document}").raise_for_status()
    return rows


def _upload(server: Server, files: list[companions.File]) -> list[int]:
    added = []
    for start in range(0, len(files), FILES_PER_REQUEST):
        added += server.upload(files[start : start + FILES_PER_REQUEST])
    server.wait_idle()
    return added


def _right(server: Server, questions: list[Question]) -> set[str]:
    """Return the questions whose document is found first."""
    right = set()
    for question in questions:
        answer = server.client.post("/api/search", json={"query": question.text, "k": HITS}).raise_for_status()
        if [hit["document"] for hit in answer.json()["hits"]][:1] == [question.document]:
            right.add(question.text)
    return right
