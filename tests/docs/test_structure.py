"""The structure of the source: no circles, modules of a size that one can read, names that stand for one thing."""

from __future__ import annotations

import ast
import statistics
from collections import Counter, defaultdict
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from tests.docs.generate import ROOT

FOLDERS = ("console", "pages", "services")
MOST_MODULES = 930
MEDIAN_LINES = (120, 180)
MOST_LINES = 400
MOST_LINES_IN_ALL = 130_000
MOST_SHARED_CLASS_NAMES = 5
MOST_SHARED_FILE_NAMES = 8
# Verbs that stood for a term of the field; a method that is named so alone says nothing.
VAGUE = {"take", "look", "tell", "note", "hear", "give"}


@cache
def modules() -> dict[str, tuple[Path, str]]:
    """Path and text of every module, by its dotted name."""
    found = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path, path.read_text()
    return found


@cache
def trees() -> dict[str, ast.Module]:
    return {name: ast.parse(text) for name, (_path, text) in modules().items()}


def imports_of(name: str) -> set[str]:
    """Return which of our modules a module imports: at its top, late in a function, or for types alone."""
    found = set()
    for node in ast.walk(trees()[name]):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in trees() else node.module)
    return {each for each in found if each in trees() and each != name}


def test_no_import_circles() -> None:
    """No module imports itself by way of others, late imports and those for types included."""
    try:
        TopologicalSorter({name: imports_of(name) for name in trees()}).prepare()
    except CycleError as error:
        raise AssertionError("circle: " + " -> ".join(error.args[1])) from None


def test_a_circle_would_be_found() -> None:
    """Fails if the search for circles reads no imports: every folder of services is imported by somebody."""
    imported = {each for name in trees() for each in imports_of(name)}
    assert {"services.core.settings", "services.memory.monitor", "services.knowledge.library"} <= imported
    assert len(imported) > 200


def test_modules_can_be_read() -> None:
    """Not too many modules, none of them long, most of the size of a few screens."""
    lines = {name: len(text.splitlines()) for name, (_path, text) in modules().items()}
    lines = {name: count for name, count in lines.items() if count > 1}  # a package that says only what it is
    assert len(lines) <= MOST_MODULES
    assert MEDIAN_LINES[0] <= statistics.median(lines.values()) <= MEDIAN_LINES[1]
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}
    assert sum(lines.values()) <= MOST_LINES_IN_ALL


def test_class_names_stand_for_one_thing() -> None:
    """Hardly any class shares its name with another one; private ones count, too."""
    places = defaultdict(list)
    for name, tree in trees().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(name)
    shared = {name: found for name, found in places.items() if len(found) > 1}
    assert len(shared) <= MOST_SHARED_CLASS_NAMES, shared


def test_file_names_stand_for_one_thing() -> None:
    """Hardly any file name is used more than twice."""
    names = Counter(path.name for path, _text in modules().values())
    shared = {name: count for name, count in names.items() if count > 2 and name not in {"__init__.py", "types.py"}}
    assert len(shared) <= MOST_SHARED_FILE_NAMES, shared


def test_public_names_are_terms_of_the_field() -> None:
    """No public function or method is called by a verb that says nothing of what it does."""
    vague = [
        f"{name}.{node.name}"
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in VAGUE
    ]
    assert vague == []


def test_nothing_explains_a_missing_part_by_its_name() -> None:
    """No `__getattr__` and no look into `vars`: a part that is not there is a type, not an accident."""
    found = [
        f"{name}:{node.lineno}"
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if (isinstance(node, ast.FunctionDef) and node.name == "__getattr__")
        or (
            isinstance(node, ast.Compare)
            and any(isinstance(each, ast.In | ast.NotIn) for each in node.ops)
            and any(isinstance(each, ast.Call) and getattr(each.func, "id", "") == "vars" for each in node.comparators)
        )
    ]
    assert found == []
