from __future__ import annotations

import pytest

from services.knowledge.file_names import LONGEST_NAME, collection_name, display_name


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\windows\\win.ini", "win.ini"),
        ("C:\\Users\\me\\年度报告.docx", "年度报告.docx"),
        ("a\x00b\x1b[31m.txt", "ab[31m.txt"),
        ("two\nlines\tof.txt", "two lines of.txt"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("\u2066\u200fright.txt\u2069", "right.txt"),
        ("<script>alert(1)</script>.md", "script>.md"),
        ("<img src=x onerror=alert(1)>.md", "<img src=x onerror=alert(1)>.md"),
        ("  spaced   out .txt ", "spaced out .txt"),
        ("می\u200cخواهم.txt", "می\u200cخواهم.txt"),
        ("e\u0301te\u0301.txt", "été.txt"),
        ("no extension", "no extension"),
        ("", "unnamed file"),
        ("..", "unnamed file"),
        ("folder/", "unnamed file"),
        ("\x00\u202e", "unnamed file"),
        ("\ud800broken.txt", "broken.txt"),
    ],
)
def test_name_is_fit_to_be_shown(raw: str, shown: str) -> None:
    """Folders, control characters and direction marks go; letters of any script, blanks and markup stay."""
    assert display_name(raw) == shown


def test_long_name_keeps_its_extension() -> None:
    """A name of 300 characters is cut before its extension."""
    assert display_name("x" * 300 + ".pdf") == "x" * (LONGEST_NAME - 4) + ".pdf"
    assert len(display_name("字" * 300)) == LONGEST_NAME
    assert len(display_name("a." + "b" * 300)) == LONGEST_NAME


def test_collection_name_is_one_visible_line() -> None:
    """Slashes belong to a collection's name, invisible characters do not; nothing visible makes it empty."""
    assert collection_name(" Law / tax\n2026\u202e ") == "Law / tax 2026"
    assert collection_name("\u200b\n ") == ""
    assert len(collection_name("n" * 300)) == LONGEST_NAME
