"""The same vocabulary in Hugging Face's library, which holds it in 300 MB: what the tokens have to be."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers

MARK = "\u2581"


class Reference:
    """Tokens by `tokenizers`' Unigram model; the normalisation is written out here once more."""

    def __init__(self, pieces: Sequence[str], scores: Sequence[float], unknown: int, normalised: Mapping[int, str]):
        # Special tokens are text to nobody: they are given names that no text has.
        names = [
            piece if score < 0 else f"\x00\x00special{number}\x00"
            for number, (piece, score) in enumerate(zip(pieces, scores, strict=True))
        ]
        self._tokenizer = Tokenizer(models.Unigram(list(zip(names, map(float, scores), strict=True)), unknown, False))
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(MARK, "always")]
        )
        self._normalised = dict(normalised)

    def ids(self, text: str) -> list[int]:
        """Return the tokens of a text without special ones."""
        composed = unicodedata.normalize("NFC", text)
        return self._tokenizer.encode(composed.translate(self._normalised), add_special_tokens=False).ids


def small_vocabulary() -> tuple[list[str], list[float], dict[int, str]]:
    """Return a few pieces with scores, and a normalisation."""
    words = ["the", "mill", "mi", "ll", "pond", "水", "水磨", "磨", "坊", "é", ".", ",", "s", "er", "1"]
    pieces = ["<s>", "<pad>", "</s>", "<unk>", MARK, *words, *(MARK + word for word in ("the", "mill", "水", "po"))]
    pieces += sorted(set("themilpondsr") - set(pieces))
    scores = [0.0] * 4 + [-10.0 + len(piece) - number / 64 for number, piece in enumerate(pieces[4:])]
    return pieces, scores, {0x0A: " ", 0x09: " ", 0x200B: " ", 0xFF11: "1", 0x07: "", 0x2581: " ", 0x133: "ij"}


def real_file() -> Path | None:
    """Return the multilingual model's file where it is installed."""
    from services.knowledge.bundled_models import multilingual_path

    return multilingual_path() if multilingual_path().is_file() else None
