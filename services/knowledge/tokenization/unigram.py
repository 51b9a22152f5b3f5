"""Tokens of the XLM-RoBERTa kind: the most probable pieces of each word (Kudo, https://arxiv.org/abs/1804.10959).

The text is normalised (composed, then each code point by the model's own map), split at blanks, and each word is put
behind the mark of a word's beginning. No piece holds such a mark but as its first character, so the words can be taken
apart one by one, which gives what SentencePiece gives for the whole text. Characters that no piece has become one
unknown token for each run of them.

SentencePiece and Hugging Face's tokenizers hold the same vocabulary in 63 and 301 MB of RAM; here it stays in files.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from services.knowledge.tokenization.pieces import Pieces
from services.knowledge.tokenization.tokenizer import Span, TokenizerMemory

MARK = "\u2581"  # a word's beginning
# Words whose tokens are kept, and the longest that is: natural text repeats its short words.
_WORDS_KEPT = 8192
_LONGEST_KEPT = 24
_ENTRY_BYTES = 400
# More characters than this never become one.
_LONGEST_COMPOSED = 64
_WORD = re.compile(r"\S+")
_UNREACHED = float("-inf")


class UnigramTokenizer:
    """A tokenizer over prepared pieces; thread-safe. See `TextTokenizer`."""

    special_tokens = 2

    def __init__(self, folder: Path, most: int | None = None) -> None:
        """Map the pieces of `folder`."""
        self._pieces = Pieces(folder)
        self._most = most
        self._first, self._last = self._pieces.special["bos"], self._pieces.special["eos"]
        self._unknown = self._pieces.special["unknown"]
        self._mark = next((token for end, token in self._best(MARK) if end == 1), self._unknown)
        self._kept_words = lru_cache(maxsize=_WORDS_KEPT)(self._word_ids)

    def memory(self) -> TokenizerMemory:
        """As `TextTokenizer.memory`."""
        return TokenizerMemory(self._pieces.files, self._kept_words.cache_info().currsize * _ENTRY_BYTES)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """As `TextTokenizer.ids`."""
        most = None if self._most is None else max(self._most - self.special_tokens, 0)
        return [[self._first, *self._tokens(text)[:most], self._last] for text in texts]

    def counts(self, texts: Sequence[str]) -> list[int]:
        """As `TextTokenizer.counts`."""
        return [len(self._tokens(text)) for text in texts]

    def unknown_share(self, text: str) -> float:
        """As `TextTokenizer.unknown_share`; marks without a letter are no tokens of their own here."""
        tokens = [token for token in self._tokens(text) if token != self._mark]
        return tokens.count(self._unknown) / len(tokens) if tokens else 0.0

    def spans(self, text: str) -> list[Span]:
        """As `TextTokenizer.spans`; a mark by itself is as long as nothing."""
        normalised, places = self._placed(text)
        found: list[Span] = []
        for number, word in enumerate(_WORD.finditer(normalised)):
            begin = word.start() - 1  # of the mark
            start = 0
            for end, _token in self._best(MARK + word[0]):
                first = places[max(begin + start, word.start())][0]
                last = places[begin + end - 1][1] if end > 1 else first
                if found and found[-1].end > first:  # a character that is normalised to several, between two tokens
                    found[-1] = found[-1]._replace(end=first)
                found.append(Span(first, last, number))
                start = end
        return found

    def _tokens(self, text: str) -> list[int]:
        found: list[int] = []
        for word in self._normalised(text).split():
            found.extend(self._kept_words(word) if len(word) <= _LONGEST_KEPT else self._word_ids(word))
        return found

    def _word_ids(self, word: str) -> tuple[int, ...]:
        return tuple(token for _end, token in self._best(MARK + word))

    def _best(self, word: str) -> list[tuple[int, int]]:
        """Return the most probable tokens of a word, as (end in the word, id)."""
        pieces, longest = self._pieces, self._pieces.longest
        prefixes, scores, tokens = pieces.trie.iter_prefixes_with_ids, pieces.scores, pieces.tokens
        count = len(word)
        best = [_UNREACHED] * (count + 1)
        best[0] = 0.0
        begins = [0] * (count + 1)
        ids = [0] * (count + 1)
        for start in range(count):
            score = best[start]
            alone = False
            for piece, place in prefixes(word[start : start + longest]):
                length = len(piece)
                alone = alone or length == 1
                end = start + length
                reached = score + scores[place]
                if reached > best[end]:
                    best[end], begins[end], ids[end] = reached, start, tokens[place]
            if not alone and score + pieces.unknown_score > best[start + 1]:
                best[start + 1] = score + pieces.unknown_score
                begins[start + 1], ids[start + 1] = start, self._unknown
        found: list[tuple[int, int]] = []
        end = count
        while end > 0:
            if not (ids[end] == self._unknown and found and found[-1][1] == self._unknown):
                found.append((end, ids[end]))
            end = begins[end]
        found.reverse()
        return found

    def _normalised(self, text: str) -> str:
        if not text.isascii() and not unicodedata.is_normalized("NFC", text):
            text = unicodedata.normalize("NFC", text)
        return self._pieces.normalisation.apply(text)

    def _placed(self, text: str) -> tuple[str, list[tuple[int, int]]]:
        """Return the normalised text, and where each of its characters was."""
        normalised: list[str] = []
        places: list[tuple[int, int]] = []
        for start, end in _composed(text):
            found = self._normalised(text[start:end])
            normalised.append(found)
            places.extend([(start, end)] * len(found))
        return "".join(normalised), places


def _composed(text: str) -> Iterator[tuple[int, int]]:
    """Yield the stretches of a text that are composed each by itself: single characters nearly everywhere."""
    if text.isascii() or unicodedata.is_normalized("NFC", text):
        yield from ((at, at + 1) for at in range(len(text)))
        return
    start = 0
    for at in range(1, len(text) + 1):
        if at < len(text) and at - start < _LONGEST_COMPOSED:
            so_far = unicodedata.normalize("NFC", text[start:at])
            if unicodedata.normalize("NFC", text[start : at + 1]) != so_far + text[at]:
                continue
            if unicodedata.combining(text[at]):
                continue
        yield start, at
        start = at
