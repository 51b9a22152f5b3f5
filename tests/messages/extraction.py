"""Finds the texts of the product: literal arguments of `_` and `plural`, anywhere, in f-strings as well.

Babel's own reader of Python goes by tokens and sees nothing inside f-strings; this one goes by the syntax tree.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("console", "pages", "services")
# How many of the arguments are texts; both are defined in `services/core/i18n.py`.
KEYWORDS = {"_": 1, "plural": 2}


@dataclass(frozen=True, slots=True)
class Call:
    """A call that takes texts: where, which ones ("" each that is no literal), and whether an import makes it."""

    file: str
    line: int
    texts: tuple[str, ...]
    at_import: bool


@dataclass(slots=True)
class _Finder(ast.NodeVisitor):
    file: str
    found: list[Call] = field(default_factory=list)
    depth: int = 0

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        defaults = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
        for each in [*node.decorator_list, *defaults]:
            self.visit(each)
        self.depth += 1
        for each in node.body:
            self.visit(each)
        self.depth -= 1

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - ast's name

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.depth += 1
        self.visit(node.body)
        self.depth -= 1

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in KEYWORDS:
            literals = [
                each.value if isinstance(each, ast.Constant) and isinstance(each.value, str) else ""
                for each in node.args[: KEYWORDS[node.func.id]]
            ]
            self.found.append(Call(self.file, node.lineno, tuple(literals), not self.depth))
        self.generic_visit(node)


@cache
def calls() -> tuple[Call, ...]:
    """Return every call of the product that takes texts, by file and line."""
    return tuple(_calls(ROOT))


def _calls(root: Path) -> Iterator[Call]:
    for path in sorted(path for folder in FOLDERS for path in (root / folder).rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if name != "services/core/i18n.py":
            yield from calls_in(path.read_text(encoding="utf-8"), name)
    for text in (", ", "{label}: {text}"):
        yield Call("services/core/i18n.py", 1, (text,), at_import=False)


def calls_in(code: str, name: str) -> list[Call]:
    """Return the calls in a module's code."""
    finder = _Finder(name)
    finder.visit(ast.parse(code))
    return sorted(finder.found, key=lambda call: call.line)
