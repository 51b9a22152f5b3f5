from __future__ import annotations

import pytest

from services.knowledge.text.layout import LayoutKind, blocks


def kinds(text: str, *headings: str) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return kind, lead and parts of each block."""
    return [(block.kind.value, block.lead, block.parts) for block in blocks(text, headings)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Q: When?\nA: At noon.", [("answer", "Q: When?", ("At noon.",))]),
        ("**When is it open?**\n\nAt noon.", [("answer", "**When is it open?**", ("At noon.",))]),
        ("问：几点？\n答：中午。", [("answer", "问：几点？", ("中午。",))]),
        ("F12: no flame.\nF28: no gas.", [("values", "", ("F12: no flame.", "F28: no gas."))]),
        ("A12: left\nA13: right", [("values", "", ("A12: left", "A13: right"))]),
        ("| A | B |\n| --- | --- |\n| 1 | 2 |", [("table", "| A | B |", ("| 1 | 2 |",))]),
        ("| A | B |\n| 1 | 2 |\n| 3 | 4 |", [("table", "| A | B |", ("| 1 | 2 |", "| 3 | 4 |"))]),
        ("Do this:\n1. Stop.\n2. Go.", [("list", "Do this:", ("1. Stop.", "2. Go."))]),
        ("- one\n  goes on\n- two", [("list", "", ("- one\n  goes on", "- two"))]),
        ("Bow\n: The front.", [("values", "", ("Bow\n: The front.",))]),
        ("5. Pets. Cats are fine. Dogs are not.", [("prose", "5. Pets.", ("Cats are fine.", "Dogs are not."))]),
        ("Run it:\n\n```\nx = 1\n```", [("code", "Run it:", ("x = 1",))]),
        ("def f(x):\n    return x + 1", [("code", "", ("def f(x):\n    return x + 1",))]),
        ("Tea   3.20\nTOTAL  8.10", [("values", "", ("Tea   3.20", "TOTAL  8.10"))]),
        ("One is. Two are.", [("prose", "", ("One is.", "Two are."))]),
        ("We met at 10:30 today, which is late.", [("prose", "", ("We met at 10:30 today, which is late.",))]),
        ("Power is $P = a b$ here.", [("prose", "", ("Power is $P = a b$ here.",))]),
    ],
)
def test_blocks_are_told_by_their_layout(text: str, expected: list[tuple[str, str, tuple[str, ...]]]) -> None:
    """Each kind of text is cut into parts that can be quoted, with what they need to be understood."""
    assert kinds(text) == expected


def test_a_block_knows_the_title_above_it() -> None:
    """Of the chunk's place at first, then of its own text; a line that is a heading of the document is a title."""
    found = blocks("The sum is 3.\n\nCosts\n\nTea is 4.\n\n## Time\n\nTea takes 5 minutes.", ("Report", "Result"))
    assert [(block.kind, block.title) for block in found if block.kind is LayoutKind.PROSE] == [
        (LayoutKind.PROSE, "Result"),
        (LayoutKind.PROSE, "Costs"),
        (LayoutKind.PROSE, "Time"),
    ]
    assert kinds("Dogs\nare fine.", "Dogs")[0] == ("title", "", ("Dogs",))


def test_nothing_but_white_space_is_lost() -> None:
    """Every word of a text is in some block."""
    text = "Title\n\nQ: Who?\nA: He.\n- a\n- b\n\n| x |\n\nk: v\n\n```\ncode()\n```\nEnd of it."
    words = " ".join(part for block in blocks(text) for part in (block.lead, *block.parts))
    assert [word for word in ("Title", "Who", "He", "a", "b", "x", "k", "v", "code", "End") if word not in words] == []
