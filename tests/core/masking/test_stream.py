from __future__ import annotations

import random

import pytest

from services.core.masking import StreamMask, mask
from tests.core.masking.held_out_style import HeldOutStyle
from tests.core.masking.second_tuning_style import SecondTuningStyle
from tests.core.masking.tuning_style import TuningStyle


def streamed(text: str, sizes: random.Random, most: int) -> str:
    masking, out, at = StreamMask(), [], 0
    while at < len(text):
        size = sizes.randint(1, most)
        out.append(masking.feed(text[at : at + size]))
        at += size
    return "".join([*out, masking.flush()])


@pytest.mark.parametrize(
    "style", [TuningStyle(8), SecondTuningStyle(8), HeldOutStyle(8)], ids=["letters", "chats", "files"]
)
def test_pieces_joined_are_the_masked_whole(style: TuningStyle | SecondTuningStyle | HeldOutStyle) -> None:
    """A number that a model sends in two pieces is readable, or text is lost or doubled."""
    sizes = random.Random(1)
    for _number in range(15):
        text = style.sample().text
        assert streamed(text, sizes, 7) == mask(text)


def test_each_place_of_a_cut() -> None:
    """The number is cut in a place that is not thought of."""
    text = "致电 138 1234 5678 或写信给 zhang.wei@example.com，卡号 4111-1111-1111-1111。Done, thanks."
    for cut in range(len(text)):
        masking = StreamMask()
        assert masking.feed(text[:cut]) + masking.feed(text[cut:]) + masking.flush() == mask(text)


def test_ordinary_text_is_hardly_held_back() -> None:
    """An answer appears only when it is whole."""
    masking, shown = StreamMask(), ""
    text = "The pump is checked once a week, and the seals are covered for twelve months by the maker."
    words = text.split(" ")
    for at, word in enumerate(words):
        shown += masking.feed(word + " ")
        assert len(" ".join(words[: at + 1])) - len(shown) < 25
    assert shown + masking.flush() == " ".join(words) + " "


def test_a_private_key_never_begins_to_show() -> None:
    """The first lines of a key are shown before its end is there."""
    key = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n" * 40 + "-----END PRIVATE KEY-----"
    masking = StreamMask()
    shown = "".join(masking.feed(character) for character in f"Here: {key} - that is it.") + masking.flush()
    assert shown == "Here: [secret] - that is it."
