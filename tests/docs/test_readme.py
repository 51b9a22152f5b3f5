from __future__ import annotations

import re

from tests.docs.generate import README, ROOT, section, settings_table


def test_settings_are_listed() -> None:
    """The README lists every setting with its present default and description."""
    assert section(README.read_text(), "settings") == settings_table(), "run: python -m tests.docs.generate"


def test_pictures_exist() -> None:
    """Every picture that the README shows is in the repository."""
    missing = [path for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README.read_text()) if not (ROOT / path).exists()]
    assert missing == []


def test_make_targets_exist() -> None:
    """Every `make` target that the README names is in the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)", README.read_text()))
    assert named <= targets
