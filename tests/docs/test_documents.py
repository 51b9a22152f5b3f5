"""The documents of the repository: what they show, list and name is there."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.docs.generate import ACCESS, ROOT, SETTINGS, access_tables, section, settings_table

README = ROOT / "README.md"
CHINESE = ROOT / "README.zh-CN.md"
FOR_DEVELOPERS = ("ARCHITECTURE.md", "GLOSSARY.md", "CONTRIBUTING.md")
DOCUMENTS = (
    README.name,
    CHINESE.name,
    *FOR_DEVELOPERS,
    *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))),
)
FOLDERS = ("console", "pages", "services", "tests", "deploy", "docs", ".ci", ".streamlit")
MOST_LINES = 200
# A question counts as answered when a word of it, or its beginning, stands in the file's name.
STEM = 4
LEAST_ANSWERED = 28


def test_settings_are_listed() -> None:
    """The list of settings has every one with its present default and description."""
    assert section(SETTINGS.read_text(), "settings") == settings_table(), "run: python -m tests.docs.generate"


def test_who_may_do_what_is_listed() -> None:
    """The list of rights is the one by which the service decides."""
    text = ACCESS.read_text()
    listed = {name: section(text, name) for name in ("paths", "routes", "pages", "messages")}
    assert listed == access_tables(), "run: python -m tests.docs.generate"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_pictures_and_links_exist(document: str) -> None:
    """Every picture that a document shows, and every file that it links to, is in the repository."""
    path = ROOT / document
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text())
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    assert [target for target in local if not (path.parent / target).exists()] == []


def test_the_readme_shows_pictures() -> None:
    """Fails if the pictures are lost from the README, or the files are empty."""
    shown = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README.read_text())
    assert len(shown) >= 6
    assert all((ROOT / each).stat().st_size > 10_000 for each in shown)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_make_targets_exist(document: str) -> None:
    """Every `make` target that a document names is in the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", (ROOT / document).read_text(), flags=re.MULTILINE))
    assert named <= targets


def test_the_chinese_readme_tells_the_same() -> None:
    """Commands, settings and figures that only one of the two knows are out of date in the other."""

    def told(path: Path) -> set[str]:
        text = path.read_text()
        figures = re.findall(r"^\|.*\| ([\d.]+)", text, flags=re.MULTILINE)
        return {
            *re.findall(r"MILLPOND_[A-Z_]+", text),
            *re.findall(r"^make [a-z]+", text, flags=re.MULTILINE),
            *figures,
        }

    assert told(CHINESE) - told(README) == {"MILLPOND_LANGUAGE"}
    assert {name for name in told(README) - told(CHINESE) if not name.startswith("MILLPOND_")} == set()


def test_the_readme_is_short() -> None:
    """The README is for users: what is longer stands in `docs/`."""
    assert len(README.read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize("document", FOR_DEVELOPERS)
def test_paths_exist(document: str) -> None:
    """Every path that a developer's document names exists, from the root or inside of one of the top folders."""
    named = re.findall(r"`([\w.*{},/-]+)`", (ROOT / document).read_text())
    paths = [name for name in named if _is_path(name)]
    assert len(paths) > 5
    missing = [name for name in paths if not any(_found(base, name) for base in _bases(name))]
    assert missing == []


def test_names_exist() -> None:
    """Every class, function, setting and metric that a developer's document names is in the code."""
    named = re.findall(r"`([\w.]+)(?:\(\))?`", "\n".join((ROOT / document).read_text() for document in FOR_DEVELOPERS))
    names = {part for name in named if not _is_path(name) for part in name.split(".") if _is_identifier(part)}
    assert len(names) > 15
    assert sorted(name for name in names if name not in _words()) == []


def test_where_is_it() -> None:
    """Of 30 questions of a newcomer, a file name alone answers at least 28; all the files exist."""
    table = section((ROOT / "CONTRIBUTING.md").read_text(), "where")
    rows = re.findall(r"^\| (.+?\?) \| `([^`]+)` \|$", table, flags=re.MULTILINE)
    assert len(rows) >= 30
    assert [path for _question, path in rows if not (ROOT / path).is_file()] == []
    unanswered = [question for question, path in rows if not _answers(path, question)]
    assert len(rows) - len(unanswered) >= LEAST_ANSWERED, unanswered


def _answers(path: str, question: str) -> bool:
    """Return whether a word of the file's name (not of its folders) is a word of the question."""
    stems = {word[:STEM] for word in re.findall(r"[a-z0-9]+", question.lower()) if len(word) > 2}
    return any(word[:STEM] in stems for word in re.findall(r"[a-z0-9]+", Path(path).stem.lower()) if len(word) > 1)


def _is_path(name: str) -> bool:
    return ("/" in name and name.split("/", maxsplit=1)[0] in {*FOLDERS, *_inside()}) or name.endswith(
        (".py", ".md", ".toml", ".js")
    )


@cache
def _inside() -> frozenset[str]:
    """The folders of `services` and `console`: within a section they are named without these."""
    return frozenset(path.name for base in ("services", "console") for path in (ROOT / base).iterdir() if path.is_dir())


@cache
def _bases(name: str) -> tuple[Path, ...]:
    """Where a path may begin: the root, `services`, `console`; a short one anywhere in these."""
    inside = [path.parent for base in ("services", "console") for path in (ROOT / base).rglob("*.py")]
    return (ROOT, ROOT / "services", ROOT / "console", *(sorted(set(inside)) if name.count("/") <= 1 else ()))


def _found(base: Path, name: str) -> bool:
    """Return whether a path, which may be a pattern like `build_*.py` or `{a,b}/`, is there."""
    alternatives = re.search(r"\{([^}]*)\}", name)
    if alternatives:
        return all(_found(base, name.replace(alternatives[0], each)) for each in alternatives[1].split(","))
    return any(base.glob(name.rstrip("/"))) if "*" in name else (base / name).exists()


def _is_identifier(name: str) -> bool:
    """Return whether a name is one of the code's own: has an underscore, or begins with a capital."""
    return bool(re.fullmatch(r"_?[a-z]+(_[a-z0-9]+)+|[A-Z][A-Za-z0-9]+|MILLPOND_[A-Z_]*[A-Z]", name))


@cache
def _words() -> frozenset[str]:
    """Every word of the source, of its tests and of what describes the project."""
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".yml", ".js"}]
    files += [ROOT / "pyproject.toml", ROOT / "Makefile", SETTINGS]
    return frozenset(word for path in files for word in re.findall(r"\w+", path.read_text(errors="replace")))
