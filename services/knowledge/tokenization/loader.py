"""Which tokenizer reads a model's file."""

from __future__ import annotations

from pathlib import Path

from services.knowledge.tokenization.tokenizer import TextTokenizer


def open_tokenizer(path: Path, most: int | None = None) -> TextTokenizer:
    """Return the tokenizer of `path`: a `tokenizer.json`, or a folder of prepared pieces.

    `most` is how many tokens `ids` returns at most, special ones included; None: all.
    """
    if path.is_dir():
        from services.knowledge.tokenization.unigram import UnigramTokenizer

        return UnigramTokenizer(path, most)
    from services.knowledge.tokenization.hugging_face import HuggingFaceTokenizer

    return HuggingFaceTokenizer(path, most)
