"""What the program asks of an embedding model's tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Span(NamedTuple):
    """Where a token is in its text, and the number of the word that it belongs to (None: of no word)."""

    start: int
    end: int
    word: int | None


class TokenizerMemory(NamedTuple):
    """What a tokenizer holds: (path, bytes) of files that are mapped, bytes of Python objects."""

    files: tuple[tuple[str, int], ...] = ()
    objects: int = 0


class TextTokenizer(Protocol):
    """A tokenizer; thread-safe. `special_tokens` is how many are put around each text."""

    special_tokens: int

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of texts as the model reads them: special ones around, cut to the most that it reads."""

    def counts(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens texts have, without special ones, however long they are."""

    def spans(self, text: str) -> list[Span]:
        """Return where the tokens of a text are in it, without special ones, in order."""

    def unknown_share(self, text: str) -> float:
        """Return the share of the tokens of a text that the vocabulary does not have, 0 to 1."""

    def memory(self) -> TokenizerMemory:
        """Return what it holds beyond what the C library's allocator has."""
