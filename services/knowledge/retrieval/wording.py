"""How a question is read: its terms, what else they may be written as, and which of its words are typing errors.

What else a word may be counts less than the word itself: other forms of it, by its stem (`text/stems.py`), and, where
the documents have neither the word nor another form, the nearest word that they have. A word that the embedder's
tokenizer has as a whole is no typing error: it names something that the documents do not deal with.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from services.knowledge.retrieval.scoring import Alternative
from services.knowledge.store.lexical import LexicalStore
from services.knowledge.text.folding import fold
from services.knowledge.text.stems import question_stems
from services.knowledge.text.terms import read_question, terms
from services.knowledge.types import Correction

# What a match of another form, or of a corrected word, is worth beside the word itself.
FORM_FACTOR = 0.5
# Most words of a question whose other forms are looked up, and most that are corrected; longer ones are whole texts.
_MOST_FORMS = 24
_MOST_CORRECTIONS = 4
# Fewest letters of a word that may be a typing error.
_LEAST_LETTERS = 4
_LATIN_WORD = re.compile(r"[a-z]+\Z")
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as it is searched for; `text` is what the embedder reads.

    `codes` are the codes and dates in it that the documents have, each by the terms that are it; `lacks_code` tells
    whether there is a code that no document has.
    """

    text: str
    located: tuple[tuple[str, range], ...]
    alternatives: tuple[Alternative, ...] = ()
    codes: tuple[frozenset[str], ...] = ()
    lacks_code: bool = False
    corrections: tuple[Correction, ...] = ()

    @property
    def terms(self) -> list[str]:
        """All terms to look up, the question's own first."""
        own = [term for term, _places in self.located]
        return list(dict.fromkeys([*own, *(other.term for other in self.alternatives)]))


class Wording:
    """Reads questions with the documents' vocabulary; thread-safe."""

    def __init__(self, lexical: LexicalStore, is_known_word: Callable[[str], bool]) -> None:
        """Read by `lexical`; `is_known_word` tells whether a word is one, whatever the documents have."""
        self._lexical = lexical
        self._is_known_word = is_known_word

    def read(self, question: str, readable: Collection[int] | None = None) -> Asked:
        """Return the question as it is searched for by somebody who may read these collections (None: all).

        Frequencies of terms are those of all documents. Which codes the documents have, and which words could be meant,
        is told of the readable ones alone.
        """
        return self._read(question, readable, correct=True)

    def _read(self, question: str, readable: Collection[int] | None, *, correct: bool) -> Asked:
        located, wholes = read_question(question)
        words = [term for term, _places in located]
        stems = question_stems(question)
        forms = {word: stems[word] for word in [word for word in dict.fromkeys(words) if word in stems][:_MOST_FORMS]}
        candidates = [*words, *(whole.term for whole in wholes), *(one for found in forms.values() for one in found)]
        counts = self._lexical.frequencies(candidates)
        if correct and (
            corrections := self._corrections(question, words, forms, _Seen(self._lexical, counts, readable))
        ):
            read = corrected(question, corrections)
            # Once: counts may be older than the vocabulary, and a word that was put in would look unknown again.
            asked = self._read(read, readable, correct=False)
            return replace(asked, text=read, corrections=corrections)
        alternatives = [Alternative(whole.term, whole.places) for whole in wholes if counts[whole.term]]
        codes: dict[range, set[str]] = defaultdict(set)
        seen = _Seen(self._lexical, counts, readable)
        for whole in wholes:
            if whole.exact and seen.has(whole.term):
                codes[whole.places].add(whole.term)
        alternatives += [
            Alternative(form, places, FORM_FACTOR)
            for word, places in located
            for form in forms.get(word, ())
            if counts[form]
        ]
        own = set(words)
        lacks_code = any(
            whole.exact and len(whole.places) > 1 and whole.term in own and whole.places not in codes
            for whole in wholes
        )
        return Asked(
            question,
            tuple(located),
            tuple(alternatives),
            tuple(frozenset(one) for one in codes.values()),
            lacks_code,
        )

    def _corrections(
        self, question: str, words: Sequence[str], forms: dict[str, list[str]], seen: _Seen
    ) -> tuple[Correction, ...]:
        unknown = [
            word
            for word in dict.fromkeys(words)
            if len(word) >= _LEAST_LETTERS
            and _LATIN_WORD.match(word)
            and not any(seen.surely_has(form) for form in (word, *forms.get(word, ())))
        ]
        found: list[Correction] = []
        for typed in _WORD.findall(question):
            if len(found) == _MOST_CORRECTIONS or not unknown:
                break
            term = next(iter(terms(typed)), "")
            if term not in unknown:
                continue
            unknown.remove(term)
            if self._is_known_word(fold(typed)) or self._is_known_word(term):
                continue
            if any(seen.has(form) for form in (term, *forms.get(term, ()))):
                continue
            read = self._lexical.nearest(term, seen.readable)
            if read is not None and read != term:  # the word itself: it came in since it was counted
                found.append(Correction(typed, read))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class _Seen:
    """Which terms are in what may be read; `counts` are the frequencies in all documents."""

    lexical: LexicalStore
    counts: Mapping[str, int]
    readable: Collection[int] | None

    def surely_has(self, term: str) -> bool:
        """Return whether a term is there, as far as its frequency tells: quickly."""
        return self.readable is None and self.counts[term] > 0

    def has(self, term: str) -> bool:
        """Return whether a term is there."""
        if not self.counts[term]:
            return False
        return self.readable is None or self.lexical.is_present(term, self.readable)


def corrected(question: str, corrections: Sequence[Correction]) -> str:
    """Return the question with each typing error replaced by what was read."""
    readings = {one.typed: one.read for one in corrections}
    return _WORD.sub(lambda found: readings.get(found[0], found[0]), question)
