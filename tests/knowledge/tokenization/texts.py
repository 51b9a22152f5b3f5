"""Texts in many scripts, and what disturbs a tokenizer: made by chance, the same ones for the same seed."""

from __future__ import annotations

import random
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache

SCRIPTS = (
    *("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "GEORGIAN", "HEBREW", "ARABIC", "SYRIAC", "DEVANAGARI", "BENGALI"),
    *("GURMUKHI", "GUJARATI", "ORIYA", "TAMIL", "TELUGU", "KANNADA", "MALAYALAM", "SINHALA", "THAI", "LAO", "TIBETAN"),
    *("MYANMAR", "KHMER", "ETHIOPIC", "MONGOLIAN", "HANGUL", "CJK", "HIRAGANA", "KATAKANA", "CHEROKEE"),
)
_DISTURBING = (
    *("\u200b", "\u200d", "\ufeff", "\u00ad", "\u0000", "\u0007", "\u0085", "\u2028", "\u3000", "\u00a0", "\t", "\r\n"),
    *(
        "\n\n",
        "  ",
        "     ",
        "\u2581",
        "<s>",
        "</s>",
        "<unk>",
        "<mask>",
        "<pad>",
        "\ufffd",
        "\U0001f468\u200d\U0001f469",
    ),
    *("\U0001f600", "\U0001f1e8\U0001f1f3", "✈\ufe0f", "e\u0301", "\u1112\u1161\u11ab", "ﬁ", "Ａ", "①", "½", "㎏", "﷽"),
    *("\u0301", "\u202e", "\U0010ffff", "\ue000", "\U0001d54f", "...", "—", "ΐ", "ẞ", "İ", "ǆ", "क़", "が", "ｶﾞ"),
)


@cache
def letters(script: str) -> str:
    """Return the letters and marks whose names begin with a script's."""
    kinds = {"Lu", "Ll", "Lo", "Lm", "Mn", "Mc", "Nd"}
    return "".join(
        character
        for character in map(chr, range(0x30000))
        if unicodedata.name(character, "").startswith(f"{script} ") and unicodedata.category(character) in kinds
    )


def texts(count: int, pieces: Sequence[str], seed: int = 7, sentences: Sequence[str] = ()) -> Iterator[str]:
    """Yield texts: words made of pieces of a vocabulary or of chance letters in each script, sentences as they are,
    some mixed, disturbed, taken apart (NFD), very long.
    """
    chance = random.Random(seed)
    by_script = defaultdict(list)
    for piece in pieces:
        word = piece.lstrip("\u2581")
        if word:
            by_script[unicodedata.name(word[0], "").split(" ")[0].split("-")[0]].append(piece.replace("\u2581", " "))
    for number in range(count):
        script = SCRIPTS[number % len(SCRIPTS)]
        kind = chance.random()
        if sentences and kind < 0.4:
            text = chance.choice(sentences)
        elif by_script[script] and kind < 0.8:
            text = "".join(chance.choices(by_script[script], k=chance.randint(1, 60)))
        else:
            alphabet = letters(script) + " " * (len(letters(script)) // 5)
            text = "".join(chance.choices(alphabet, k=chance.randint(1, 120)))
        yield _disturbed(text, chance)


def _disturbed(text: str, chance: random.Random) -> str:
    kind = chance.random()
    if kind < 0.25:
        for _time in range(chance.randint(1, 6)):
            at = chance.randint(0, len(text))
            text = text[:at] + chance.choice(_DISTURBING) + text[at:]
    elif kind < 0.35:
        text = unicodedata.normalize("NFD", text)
    elif kind < 0.38:
        text = text.replace(" ", "")
    elif kind < 0.40:
        text *= chance.randint(2, 20)
    elif kind < 0.45:
        text += "".join(
            chr(chance.choice((0x20, 0x2FFF, 0x1F300, 0x110000 - 300)) + chance.randrange(256)) for _ in "ab"
        )
    return text.encode("utf-8", "ignore").decode()


assert sys.maxunicode == 0x10FFFF
