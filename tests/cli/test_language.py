"""Commands speak the language of the terminal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from services.core.i18n import _, speaking, translated
from tests.servers import ROOT, environment


def spoken(*arguments: str, **locale: str) -> str:
    """Return what a command says."""
    done = subprocess.run(
        [sys.executable, "-m", "console", *arguments],
        cwd=ROOT,
        env=environment() | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"} | locale,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=180,
        check=False,
    )
    return done.stderr or done.stdout


def test_a_command_speaks_by_the_locale_of_its_terminal(tmp_path: Path) -> None:
    """Also before any setting was read; without a locale the setting counts."""
    missing = tmp_path / "missing.toml"
    with speaking("zh_CN"):
        hint = _("MILLPOND_CONFIG must name a file in TOML.")
    assert hint in spoken("status", LC_ALL="zh_CN.UTF-8", MILLPOND_CONFIG=str(missing))
    assert "MILLPOND_CONFIG must name" in spoken("status", LANG="en_US.UTF-8", MILLPOND_CONFIG=str(missing))


def test_without_a_locale_the_setting_counts(tmp_path: Path) -> None:
    """A service has no terminal: its messages are in the language that is configured."""
    folder = tmp_path / "nothing"
    chinese = spoken(
        "models", "verify", str(ROOT / "pyproject.toml"), MILLPOND_LANGUAGE="zh-TW", MILLPOND_DATA_DIR=str(folder)
    )
    assert any("\u4e00" <= character <= "\u9fff" for character in chinese)


def test_help_is_told_in_the_language_of_the_terminal() -> None:
    """Whoever reads only Chinese finds out from --help what there is."""
    with speaking("zh_CN"):
        asked = translated("Ask the documents and print the answer with its sources.")
    assert asked in spoken("ask", "--help", LC_ALL="zh_CN.UTF-8")
    assert "Ask the documents and print" in spoken("ask", "--help")


def test_every_command_asks_the_terminal() -> None:
    """One that takes the setting alone would speak another language than those beside it."""
    commands = sorted((ROOT / "console" / "cli").glob("*.py"))
    assert [path.name for path in commands if " use_language(" in path.read_text(encoding="utf-8")] == []
