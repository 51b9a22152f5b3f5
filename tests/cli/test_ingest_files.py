from __future__ import annotations

import os
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


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    """The second of two files of one name replaces the first in silence; a file that is given twice is there once."""
    for name in ("a/x/README.md", "b/x/README.md", "c/README.md", "d/guide.md", "e/guide.md"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    given = [tmp_path / name for name in ("a/x/README.md", "b/x/README.md", "c/README.md", "c/README.md")]
    assert [entry.name for entry in files_of(given)] == ["a › x › README.md", "b › x › README.md", "c › README.md"]
    assert [entry.name for entry in files_of([tmp_path / "d", tmp_path / "e"])] == ["d › guide.md", "e › guide.md"]
    assert [entry.name for entry in files_of([tmp_path / "d", tmp_path / "d" / "guide.md"])] == ["guide.md"]


def test_names_in_other_encodings_are_read(tmp_path: Path) -> None:
    """A name whose bytes are not UTF-8 ends the walk, or cannot be stored."""
    for name in ("Rückgabe für Küchengeräte.txt".encode("latin-1"), "退货费用说明.txt".encode("gbk")):
        (tmp_path / os.fsdecode(name)).write_text("x")
    assert sorted(entry.name for entry in files_of([tmp_path])) == [
        "Rückgabe für Küchengeräte.txt",
        "退货费用说明.txt",
    ]
