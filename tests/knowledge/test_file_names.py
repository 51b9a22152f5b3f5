from __future__ import annotations

import pytest

from services.knowledge.file_names import LONGEST_NAME, collection_name, display_name, document_name


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


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("A/README.md", "A › README.md"),
        ("docs\\guides\\intro.md", "docs › guides › intro.md"),
        ("./a//b/c.txt", "a › b › c.txt"),
        ("../../etc/passwd", "passwd"),
        ("a/../b/c.txt", "c.txt"),
        ("/home/anna/offer.pdf", "offer.pdf"),
        ("C:\\Users\\anna\\offer.pdf", "offer.pdf"),
        ("\\\\server\\share\\offer.pdf", "offer.pdf"),
        ("guides › intro.md", "guides › intro.md"),
        ("a\x07b/\u202ec.txt", "ab › c.txt"),
    ],
)
def test_folders_that_a_client_names_are_kept(raw: str, shown: str) -> None:
    """Files of one name in two folders replace each other; or the folders of the sender's machine are shown."""
    assert document_name(raw) == shown


def test_long_names_with_folders_keep_their_ending() -> None:
    """A name that is cut loses the ending that says its format."""
    name = document_name("x" * 200 + "/" + "y" * 200 + ".pdf")
    assert len(name) <= LONGEST_NAME
    assert name.endswith("y.pdf")
    assert name.startswith("xxx")
