from __future__ import annotations

from pathlib import Path

from console.cli.ingest import files_of


def test_folders_are_walked_and_hidden_files_left_out(tmp_path: Path) -> None:
    """A folder yields its files in order, those of subfolders named with their folder; what is hidden is left out."""
    for name in ("b.txt", "a.txt", "guides/intro.md", "guides/deep/intro.md", ".git/config", "guides/.cache/x", ".env"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    assert [entry.name for entry in files_of([tmp_path])] == [
        "a.txt",
        "b.txt",
        "guides › deep › intro.md",
        "guides › intro.md",
    ]


def test_a_file_that_is_named_is_always_meant(tmp_path: Path) -> None:
    """A single file is taken under its own name, hidden or not, and an empty folder yields nothing."""
    (tmp_path / ".notes.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    assert [entry.name for entry in files_of([tmp_path / ".notes.txt", tmp_path / "empty"])] == [".notes.txt"]
