from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# A number before a word that ends like a plural: "1 chunks" would be shown.
_COUNTED = re.compile(r"\{(\w+)(?::[^{}]*)?\}(?: more| other| further)? ([a-z]+s)\b")
# Settings and constants that are never 1, and words that end in s and are none.
_NEVER_ONE = {
    "limit", "most", "least", "low", "high", "small", "size", "ceiling", "frames", "usual", "worst", "speed", "dense",
    "shown", "need", "more", "tokens", "length", "pages", "head", "new", "factor"
}  # fmt: skip
# Texts that are said of many only, each by the condition before it.
_OF_MANY = (
    "The question has {count} characters;",
    "It affects everybody",
    "The chat model used up its {count} tokens",
    "a text has more than {count} characters",
    "The document unpacks to {size} MB in {count} parts",
    "The mail has more than {count} parts",
    "{prompt} + {answer} tokens",
    "It reaches more than is followed (at most {count} objects",
    "%{customdata:,} objects freed",  # filled in by the chart
    "The action runs twice to warm up, then {times} times.",
    "The request stood still: after {received:,} bytes",
    "{times:,.0f} times",
    "{count} days",
    "At least {count} characters;",
    "records {first} to {last}, older than {days} days",
    "A key in {where} is shorter than {count} characters.",
    "The name is longer than {count} characters.",
    "Try again in {seconds} seconds, or sign in",
    "The password is shorter than {count} characters;",
    "The password is longer than {count} characters;",
    "A token is valid for at most {count} days;",
)
_NO_PLURALS = {
    "is", "was", "has", "does", "its", "this", "as", "us", "less", "ms", "pass", "access", "needs", "answers",
    "reads", "wants", "failed", "always", "process", "across", "accepts", "knows", "lists", "works", "runs"
}  # fmt: skip
# Placeholders that hold names, texts or amounts with their unit, by the text that they stand in.
_NAMES = {
    "name", "type", "label", "server", "backend", "model", "what", "kind", "path", "file", "host", "where", "marks",
    "documents_words", "status", "unit", "method", "old", "url", "amount", "time", "bytes", "change"
}  # fmt: skip


def test_a_number_before_a_plural_goes_through_plural() -> None:
    """No text says "1 chunks": one with a count before a plural is looked up by that count."""
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for folder in ("console", "pages", "services")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, text in _texts(path)
        for placeholder, word in _COUNTED.findall(text)
        if placeholder not in _NEVER_ONE | _NAMES and not text.startswith(_OF_MANY) and word not in _NO_PLURALS
    ]
    assert found == []


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the texts that are looked up without a count."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_" and node.args:
            argument = node.args[0]
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield node.lineno, argument.value
