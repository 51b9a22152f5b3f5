"""Tokenizers of any kind from a `tokenizer.json`, by Hugging Face's library."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

# Its thread pool would not survive a fork of the process.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from tokenizers import Encoding, Tokenizer

from services.knowledge.tokenization.tokenizer import Span, TokenizerMemory

_UNKNOWN = ("[UNK]", "<unk>", "<|unk|>")


class HuggingFaceTokenizer:
    """A tokenizer by its file; thread-safe. See `TextTokenizer`."""

    def __init__(self, path: Path, most: int | None = None) -> None:
        """Read the file; its own padding and truncation are not used."""
        self._tokenizer: Tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_padding()
        if most is None:
            self._tokenizer.no_truncation()
        else:
            self._tokenizer.enable_truncation(most)
        self.special_tokens = int(self._tokenizer.num_special_tokens_to_add(False))
        self._unknown = self._unknown_id()

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """As `TextTokenizer.ids`."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]

    def counts(self, texts: Sequence[str]) -> list[int]:
        """As `TextTokenizer.counts`."""
        return [_count(each) for each in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def spans(self, text: str) -> list[Span]:
        """As `TextTokenizer.spans`; of a truncated tokenizer, of the beginning alone."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return [Span(start, end, word) for (start, end), word in zip(encoding.offsets, encoding.word_ids, strict=True)]

    def unknown_share(self, text: str) -> float:
        """As `TextTokenizer.unknown_share`; none of tokenizers that fall back to bytes."""
        tokens = self._tokenizer.encode(text, add_special_tokens=False).ids
        return tokens.count(self._unknown) / len(tokens) if tokens else 0.0

    @staticmethod
    def memory() -> TokenizerMemory:
        """As `TextTokenizer.memory`: its tables are malloc's."""
        return TokenizerMemory()

    def _unknown_id(self) -> int:
        for name in _UNKNOWN:
            found = self._tokenizer.token_to_id(name)
            if found is not None:
                return int(found)
        return -1


def _count(encoding: Encoding) -> int:
    return len(encoding.ids) + sum(len(rest.ids) for rest in encoding.overflowing)
