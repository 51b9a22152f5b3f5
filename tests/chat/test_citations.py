from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chat.citations import CitationFilter, best_sentence, match_citations, neutralize_marks, strip_marks
from tests.chat.conftest import SEALS, VALVES


def filtered(text: str, sizes: list[int], passages: int = 3) -> str:
    marks = CitationFilter(passages)
    shown, start = "", 0
    for size in [*sizes, len(text)]:
        shown += marks.feed(text[start : start + size])
        start += size
    return shown + marks.flush()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Covered [1].", "Covered [1]."),
        ("Covered [1, 3] and [2;2].", "Covered [1][3] and [2]."),
        ("保修一年【1】，两年［2，3］。", "保修一年[1]，两年[2][3]。"),
        ("Covered [99]. Or [0]?", "Covered [99: no such source]. Or [0: no such source]?"),
        ("Mixed [2, 99].", "Mixed [2][99: no such source]."),
        (
            "Code `a[9]` and\n```\nb[9] [1, 2]\n```\nend [9]",
            "Code `a[9]` and\n```\nb[9] [1, 2]\n```\nend [9: no such source]",
        ),
        ("A list [1, x] and a[i] and [", "A list [1, x] and a[i] and ["),
        ("In the year [2024] it was", "In the year [2024] it was"),
        ("Unfinished [1", "Unfinished [1"),
    ],
)
def test_marks_are_normalised_however_the_stream_cuts_them(text: str, shown: str) -> None:
    """Marks of passages that were given stay, others are marked as such, whole or in single characters; code stays."""
    assert filtered(text, []) == shown
    assert filtered(text, [1] * len(text)) == shown


@given(st.text("ab [],1239【】 .`\n", max_size=40), st.lists(st.integers(1, 7), max_size=20))
def test_the_cuts_of_the_stream_make_no_difference(text: str, sizes: list[int]) -> None:
    """Any text cut anywhere gives what it gives whole."""
    assert filtered(text, sizes) == filtered(text, [])


def test_ordinary_text_is_not_held_back() -> None:
    """What cannot become a mark is shown at once."""
    marks = CitationFilter(1)
    assert marks.feed("Seals are") == "Seals are"
    assert marks.feed(" covered [") == " covered "
    assert marks.feed("see below") == "[see below"


def test_only_cited_passages_are_kept_with_the_cited_words() -> None:
    """A citation carries the sentence of its passage that says what the answer says."""
    (citation,) = match_citations("It says: seals are covered for 12 months [1]. Not this [9].", [SEALS, VALVES])
    assert (citation.number, citation.chunk_id, citation.page, citation.cited) == (1, 11, 3, True)
    assert citation.quote == "Seals are covered for 12 months [7]."


def test_without_citations_all_passages_are_listed_as_uncited() -> None:
    """A model that cites nothing still leaves a way to check it."""
    citations = match_citations("Valves are covered for 24 months.", [SEALS, VALVES])
    assert [(c.number, c.cited) for c in citations] == [(1, False), (2, False)]
    assert citations[1].quote == "Valves are covered for 24 months."


def test_the_best_sentence_is_found_in_chinese() -> None:
    """Scripts without spaces are compared by pairs of characters."""
    passage = "每周检查油位。密封件保修十二个月。请在工作日致电。"
    assert best_sentence(passage, "密封件的保修期是十二个月") == "密封件保修十二个月。"
    assert best_sentence(passage, "completely different") == ""


def test_the_quote_is_a_part_of_its_passage() -> None:
    """The cited words can be found again, so that they can be highlighted."""
    passage = 'He said: "Stop!" Then\nnothing. 第一句。第二句！End'
    for claim in ("said stop", "nothing then", "第二句", "End"):
        assert best_sentence(passage, claim) in passage


def test_marks_of_others_are_told_apart() -> None:
    """A document's own [7] and an old answer's [1] are not this answer's citations."""
    assert neutralize_marks("As shown [7, 8].") == "As shown (7, 8)."
    assert strip_marks("Covered [1][2]. Yes【3】. No [7: no such source].") == "Covered. Yes. No."
