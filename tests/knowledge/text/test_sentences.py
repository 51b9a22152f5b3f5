from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.knowledge.text.sentences import sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It rose by 3.5 m. Then it fell.", ["It rose by 3.5 m.", "Then it fell."]),
        ("Dr. Gray met J. Smith in the U.S. Army. He left.", ["Dr. Gray met J. Smith in the U.S. Army.", "He left."]),
        ("“Is it deep?” she asked. “Yes!” He dived.", ["“Is it deep?” she asked.", "“Yes!”", "He dived."]),
        ("See example.com for more, e.g. maps. Done.", ["See example.com for more, e.g. maps.", "Done."]),
        ("水车建于1978年。谁建的？“我。”他说。", ["水车建于1978年。", "谁建的？", "“我。”", "他说。"]),
        ("1. Open the tap. 2. Wait.", ["1. Open the tap.", "2. Wait."]),
        ("§ 4. Dogs are fine.", ["§ 4. Dogs are fine."]),
        ("圆周率约3.14。完", ["圆周率约3.14。", "完"]),
        ("Heading\n\nThe mill is old.", ["Heading", "The mill is old."]),
        (
            "The mill by the pond was\nbuilt in 1850. It is old.",
            ["The mill by the pond was\nbuilt in 1850.", "It is old."],
        ),
        ("- one thing\n- another\n", ["- one thing", "- another"]),
        ("| year | mills |\n| 1850 | 3 |", ["| year | mills |", "| 1850 | 3 |"]),
        ("Opening hours\nMonday to Friday from nine to five o'clock", None),
        ("", []),
        ("... !!", []),
    ],
)
def test_sentences(text: str, expected: list[str] | None) -> None:
    """Sentences end at full stops, blank lines, items and short lines, not at abbreviations, decimals or margins."""
    found = sentences(text)
    assert found == (expected if expected is not None else text.split("\n"))


@given(st.text(alphabet="ab A.!?。\n|-\"'”1 "))
def test_nothing_is_lost(text: str) -> None:
    """Every letter and digit of the text is in one of its sentences, in order."""
    letters = [character for character in text if character.isalnum()]
    assert [character for sentence in sentences(text) for character in sentence if character.isalnum()] == letters
