from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from unicodedata import east_asian_width

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.ui.shared.document_text import END_MARK, MARK, document_markdown
from console.ui.shared.formatting import (
    ago,
    answer_markdown,
    cut_middle,
    escape,
    escape_block,
    location,
    milliseconds,
    plain,
    progress_label,
    progress_share,
    shorten,
    signed_size,
    size,
    size_unit,
)
from services.knowledge.types import DocumentStatus, JobProgress

HOSTILE = [
    "<script>alert(1)</script>",
    "![x](http://evil.example/x.png)",
    "[x](javascript:alert(1))",
    "`code` **bold** _it_ ~~s~~",
    "$x^2$ and $5",
    ":red[big] :material/home: :tada: :streamlit:",
    "1. list\n- list\n# head\n> quote\n| a | b |",
    "    indented code",
    "www.evil.example and http://evil.example and a@b.example",
    "a -> b <= c",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_escaped_text_has_no_live_markdown(text: str) -> None:
    """No character that Markdown or Streamlit gives a meaning to stays unescaped."""
    for escaped in (escape(text), escape_block(text)):
        assert not re.search(r"(?<!\\)[*_`\[\]<>#$~|!]", escaped)
        assert not re.search(r":[A-Za-z]", escaped)
        assert "www." not in escaped.replace("\\.", ".")
        assert "://" not in escaped.replace("\\/", "/")


@given(st.text(max_size=200))
def test_escaping_loses_no_letter(text: str) -> None:
    """What a person reads afterwards has the same letters and digits in the same order."""
    letters = [character for character in text if character.isalnum()]
    assert [character for character in escape(text) if character.isalnum()] == letters
    assert [character for character in escape_block(text) if character.isalnum()] == letters


def test_names_cannot_be_turned_around() -> None:
    """Direction marks, by which exe.txt can look like txt.exe, and control characters are dropped."""
    assert plain("a\u202egpj.exe\x00\n b") == "agpj.exe b"


LIVE = r"(?<!\\)(?:\\\\)*"  # not escaped


@pytest.mark.parametrize(
    ("answer", "gone"),
    [
        ("![x](http://evil.example/x.png)", r"(?<!\\)!\["),
        ("[x](http://evil.example)", LIVE + r"\]\("),
        ("[x\\](http://evil.example)", LIVE + r"\]\("),
        ("\\`![x](http://evil.example)\\`", r"!\["),
        ("~~~\n```\n~~~\n![x](http://evil.example)", r"!\["),
        ("[x][1]\n\n[1]: http://evil.example", LIVE + r"\]:"),
        ("<img src=x>", "<"),
        ("see http://evil.example", r"(?<!\u2060)://(?!\u2060)"),
        ("```mermaid\ngraph TD\n```", "mermaid"),
        (":material/home:", r":material"),
    ],
)
def test_an_answer_keeps_no_image_link_html_or_diagram(answer: str, gone: str) -> None:
    """A model's answer cannot make the browser ask another host for anything."""
    rendered = answer_markdown(answer)
    assert not re.search(gone, rendered.replace("\u2060", "") if gone == "mermaid" else rendered)


def test_an_answer_keeps_its_formatting_and_code() -> None:
    """Bold, lists and code are what a model uses to be readable."""
    assert answer_markdown("**bold**\n- item\n\n```python\na[0] + (1 < 2)\n```") == (
        "**bold**\n- item\n\n```text\na[0] + (1 < 2)\n```"
    )


def test_citations_become_badges_only_when_they_exist() -> None:
    """`[1]` of a known source is marked, also right after a word or another mark; other brackets stay text."""
    rendered = answer_markdown("每十二个月[1][2]，见 [7] 和 a[3](x)", {1, 2, 3})
    assert rendered.count(":blue-badge[1]") == 1
    assert rendered.count(":blue-badge[2]") == 1
    assert ":blue-badge[7]" not in rendered
    assert ":blue-badge[3]" not in rendered


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ("Energy is $E = mc^2$ here.", "Energy is $E = mc^2$ here."),
        (r"So \(a_1 < b\) holds.", r"So $a_1 \lt b$ holds."),
        (r"\[ \frac{a}{b} \]", "\n\n$$\n\\frac{a}{b}\n$$\n\n"),
        ("$$x + y$$", "\n\n$$\nx + y\n$$\n\n"),
        ("It costs $5 and $6.", r"It costs \$5 and \$6."),
        ("From $5 to $10, or US$5-US$6, or $5-$6", r"From \$5 to \$10, or US\$5-US\$6, or \$5-\$6"),
        ("Set $HOME and $PATH, $A/$B", r"Set \$HOME and \$PATH, \$A/\$B"),
        ("5$ for bolts and 6$ for nuts", r"5\$ for bolts and 6\$ for nuts"),
        ("It is $5 a day, in winter 4$ a day", r"It is \$5 a day, in winter 4\$ a day"),
        ("`$x$` and\n```\n$y$\n```", "`$x$` and\n```text\n$y$\n```"),
    ],
)
def test_formulas_are_told_from_prices(answer: str, shown: str) -> None:
    """What is between dollar signs is a formula only where it can be one."""
    assert answer_markdown(answer) == shown


@pytest.mark.parametrize(
    "formula",
    [r"\href{http://evil.example}{x}", r"\includegraphics{http://evil.example/x.png}", "[x](y)", r"\def\x{y}", "a`b`"],
)
def test_a_formula_loads_and_defines_nothing(formula: str) -> None:
    """What no formula needs is no formula."""
    assert not answer_markdown(f"${formula}$").startswith("$")


def test_a_link_shows_its_address() -> None:
    """It is text: where it would lead is seen, and it leads nowhere; a picture stays as it is written."""
    shown = answer_markdown("See [the site](https://evil.example/a?b=1 'x') and ![p](https://evil.example/p.png)")
    assert shown.replace("\u2060", "") == (
        "See the site (https://evil.example/a?b=1) and !\\[p\\](https://evil.example/p.png)"
    )


def test_a_citation_that_does_not_exist_is_marked() -> None:
    """It is neither a badge of a source nor swallowed."""
    assert answer_markdown("So it is [1][7: no such source].", {1}) == (
        "So it is :blue-badge[1]:red-badge[7: no such source]."
    )


def test_text_of_documents_keeps_tables_code_and_formulas() -> None:
    """Cells, lines of code and everything else are escaped; highlights stay inside cells."""
    text = f"# A\n| Code | *Meaning* |\n{MARK}| E15 | [x](y) |{END_MARK}\nIt is $x^2$, not $5.\n```\na = *b*\n```"
    assert document_markdown(text).split("\n") == [
        r"\# A  ", "", r"| Code | \*Meaning\* |", "| --- | --- |",
        r"| :orange-background[E15] | :orange-background[\[x\]\(y\)] |", "",
        r"It is $x^2$, not \$5\.  ", "", "````text", "a = *b*", "````", "",
    ]  # fmt: skip


def test_numbers_have_units() -> None:
    """Sizes and durations read well at every magnitude."""
    assert [size(n) for n in (None, 0, 1023, 1536, 150 * 1024, 5 * 2**20, 3 * 2**30)] == [
        "–", "0 B", "1023 B", "1.5 KB", "150 KB", "5.0 MB", "3,072 MB",
    ]  # fmt: skip
    assert size(12 * 2**30) == "12.00 GB"
    assert signed_size(-2048) == "−2.0 KB"
    assert [milliseconds(n) for n in (None, 0.52, 42.4, 2310)] == ["–", "0.5 ms", "42 ms", "2.31 s"]


def test_a_column_has_one_unit() -> None:
    """0.3 GB beside 312 MB cannot be compared at a glance, and a million KB cannot be read."""
    assert [size_unit([n, 5, None]).name for n in (0, 9_999, 10_000, 9_999 * 1024, 2**30, 9 * 2**30, 2**34)] == [
        "B", "B", "KB", "KB", "MB", "MB", "GB",
    ]  # fmt: skip
    assert size_unit([]).name == "B"
    assert size_unit([3], [-(2**30)]).name == "MB", "columns that are read together have units of their own"
    unit = size_unit([300 * 2**20, 2**30])
    assert unit.column([300 * 2**20, 2**30, None]) == [300.0, 1024.0, None]
    assert (unit.text(2**30), unit.number, unit.change) == ("1,024.00 MB", "%.2f", "%+.2f")


def test_times_are_relative_until_a_week() -> None:
    """What is recent is told by its age, the rest by its date."""
    now = datetime(2026, 5, 20, 12, tzinfo=UTC)
    ages = [timedelta(seconds=5), timedelta(minutes=7), timedelta(hours=3), timedelta(days=2), timedelta(days=30)]
    assert [ago(now - age, now) for age in ages] == ["just now", "7 min ago", "3 h ago", "2 d ago", "2026-04-20"]


def test_places_name_what_is_known() -> None:
    """Page, sheet and headings, in this order, without empty parts."""
    assert location(3, "", ("Care", " ", "Seals")) == "p. 3 · Care › Seals"
    assert location(None, "Costs") == "sheet Costs"
    assert location() == ""


def test_shortened_names_keep_their_ending() -> None:
    """What kind of file it is can be seen in a short name too."""
    assert shorten("a" * 60 + ".pdf", 20) == "a" * 15 + "….pdf"
    assert shorten("a sentence. And another one", 12) == "a sentence.…"


def test_progress_never_divides_by_nothing() -> None:
    """An unknown total shows what is done, not a share of zero."""
    assert progress_label(DocumentStatus.PARSING, JobProgress(3, 0, "page")) == "Parsing page 3"
    assert progress_label(DocumentStatus.PARSING, JobProgress(3, 12, "page")) == "Parsing page 3 of 12"
    assert progress_label(DocumentStatus.EMBEDDING, JobProgress()) == "Embedding"
    assert progress_share(JobProgress(3, 0, "page")) == 0.0
    assert progress_share(JobProgress(30, 12, "page")) == 1.0


def test_a_long_name_is_cut_in_its_middle() -> None:
    """What comes last tells files apart; Chinese characters are twice as wide, and would push it out of the column."""
    assert cut_middle("mill.txt", 20) == "mill.txt"
    assert cut_middle("Report on the seals of 2023 (signed).pdf", 20) == "Report on t…ned).pdf"
    assert cut_middle("二〇二三年度水务局报告最终签署版.pdf", 20) == "二〇二三年…署版.pdf"


@given(st.text(max_size=80), st.integers(5, 60))
def test_a_cut_name_fits(text: str, width: int) -> None:
    """It is never wider than it may be, and only what is too wide loses anything."""

    def columns(text: str) -> int:
        return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)

    cut = cut_middle(text, width)
    assert columns(cut) <= width
    assert (cut == plain(text)) == (columns(plain(text)) <= width)
