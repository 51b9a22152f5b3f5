from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chat.answer_filter import AnswerFilter
from services.chat.citations import MARK
from services.chat.quoted_answer import quoted_answer
from services.chat.source_headings import mark_headings
from services.chat.types import Quotations

PASSAGES = 3
HEADINGS = [
    "Sources",
    "**Sources:**",
    "### References",
    "<h3>Sources</h3>",
    "So\u200burces",
    "Ｓｏｕｒｃｅｓ",
    "_Works cited_",
    "Sources\n=======",
    "来源：",
    "## 参考资料",
    "資料來源",
    "Quellen",
    "Sources listed by Millpond",
]


def filtered(text: str, size: int) -> str:
    """Send a text through the filters of a model's answer in pieces of `size` characters."""
    text_filter = AnswerFilter(PASSAGES)
    pieces = [text_filter.feed(text[at : at + size]) for at in range(0, len(text), size)]
    return "".join(pieces) + text_filter.flush()


@pytest.mark.parametrize("heading", HEADINGS)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_models_list_of_sources_is_marked_as_the_models(heading: str, size: int) -> None:
    """Its heading says whose words it is, and its made-up items have no marks; the statement before keeps its own."""
    shown = filtered(
        f"It lasts 12 months [1].\n\n{heading}\n\n- [1] contract.pdf, http://example.org\n[2] other.pdf", size
    )
    assert "months [1]." in shown
    assert shown.count("not Millpond's list") == 1
    assert "(1) contract.pdf" in shown
    assert "(2) other.pdf" in shown


@pytest.mark.parametrize(
    "text",
    [
        "Sources of error are the sensor and the cable [1].",
        "The reference value is 12 [2].",
        "这个来源很好，因为它写得清楚而且比较长 [1]",
        "| Sources | Year |\n| --- | --- |\n| grid [1] | 2025 |",
        "```\nSources\n[1] x\n```",
        "A list:\n\n- one [1]\n- two [2]",
    ],
)
def test_other_text_stays(text: str) -> None:
    """Sentences about sources, tables and code are no lists of sources."""
    assert filtered(text, 1) == filtered(text, 1000) == text


def test_a_mark_is_never_a_link() -> None:
    """`[1](address)` and `[1]: address` would lead elsewhere than to the source wherever Markdown is drawn."""
    assert filtered("As said [1](http://example.org) and [2].\n[1]: http://example.org", 3) == (
        "As said [1] (http://example.org) and [2].\n[1] : http://example.org"
    )


@given(st.text(alphabet="So urces\n[1]:#*<b>`来源", max_size=60), st.integers(1, 9))
def test_pieces_do_not_matter(text: str, size: int) -> None:
    """However a stream is cut, the same is shown."""
    assert filtered(text, size) == filtered(text, 1000)


def test_a_documents_list_of_sources_is_marked_as_the_documents() -> None:
    """A quoted list with such a heading, and a name with a mark in it, do not look like sources of the answer."""
    list_ = "Sources\n- [1] evil.pdf\n- [2] worse.pdf"
    passage = SimpleNamespace(
        chunk_id=1, document_id=1, document="a [9] b.txt", text=list_, score=1.0, page=None, sheet="", heading=()
    )
    other = SimpleNamespace(**{**vars(passage), "document_id": 2})
    quote = SimpleNamespace(hit=0, text=list_, shown=list_, label="", also=(1,))
    found = SimpleNamespace(
        kind="open", hits=(passage, other), quotes=(quote,), document="", entries=0, complete=True
    )  # as services.knowledge returns them
    answer = quoted_answer(cast("Quotations", found))
    assert answer is not None
    assert "Sources (words of the document, not Millpond's list)" in answer.text
    assert MARK.findall(answer.text) == ["1"]
    assert mark_headings("Sources") != "Sources"
