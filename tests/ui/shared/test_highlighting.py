from __future__ import annotations

import pytest

from console.ui.shared.citations import find_quote, find_terms, marked

PASSAGE = (
    "The pump house is checked weekly.\nSeals are in-\nspected every 12 months — by the keeper.\n"
    "密封件每十二个月检查一次。"
)


@pytest.mark.parametrize(
    ("quote", "found"),
    [
        ("Seals are inspected every 12 months", "Seals are in-\nspected every 12 months"),  # over a line break
        (
            "SEALS ARE INSPECTED   EVERY 12 MONTHS - BY THE KEEPER",
            "Seals are in-\nspected every 12 months — by the keeper",
        ),
        ("Seals were inspected every 12 months", "Seals are in-\nspected every 12 months"),  # one word differs
        ("密封件每十二个月检查一次。", "密封件每十二个月检查一次"),
    ],
)
def test_a_quote_is_found_where_it_nearly_stands(quote: str, found: str) -> None:
    """Hyphens, line breaks, case and a differing word do not hide the cited place."""
    span = find_quote(PASSAGE, quote)
    assert span is not None
    assert PASSAGE[slice(*span)] == found


@pytest.mark.parametrize(
    "quote", ["", "...", "The weather on Mars is cold and dry", "the house by every keeper of 12 seals"]
)
def test_what_is_not_there_is_not_marked(quote: str) -> None:
    """Scattered common letters are not taken for a quotation."""
    assert find_quote(PASSAGE, quote) is None


def test_terms_mark_whole_words_and_pairs_of_characters() -> None:
    """A stem marks its word to the end, inside of no other word; Chinese pairs merge into one mark."""
    words = [
        PASSAGE[start:end] for start, end in find_terms(PASSAGE, ("the", "seal", "month", "heck", "密封", "封件", "12"))
    ]
    assert words == ["Seals", "12", "months", "密封件"]


def test_marks_are_the_only_live_markdown() -> None:
    """The passage's own characters stay text inside and outside of a mark, and a mark ends at its line's end."""
    text = "a [link](x) and **bold**\nnext <b>line</b>"
    rendered = marked(text, [(2, 30)])
    assert rendered.count(":orange-background[") == 2
    assert "](" not in rendered.replace("\\]\\(", "")
    assert "<b>" not in rendered.replace("\\<", "")
