"""Stems of inflected words, as terms beside the words, by Snowball's stemmers (https://snowballstem.org/).

A chunk is indexed by its words and, where they differ, by their stems in its language: "Kündigungen" also by
"deːkundig". A question looks up its words, and their stems as other forms of them, in every language that it may be in.
Neither has to be sure of its language: a stem has the language's name in it, so that stems of two languages never meet,
and a text whose language is not told apart is found by its words alone.

Not stemmed are codes, numbers and dates, names of programs, short words in capitals, and function words. PyStemmer is
by the authors of Snowball, MIT and BSD, 0.7 MB in RAM; it is imported when a first text is read.
"""

from __future__ import annotations

import threading
from typing import Protocol

from services.knowledge.text import languages
from services.knowledge.text.codes import MAX_TERM
from services.knowledge.text.folding import SEPARATOR, fold, spelled_words
from services.knowledge.text.terms import term_of

_STEMMERS = {
    "ar": "arabic",
    "ca": "catalan",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "eo": "esperanto",
    "es": "spanish",
    "et": "estonian",
    "eu": "basque",
    "fa": "persian",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "ne": "nepali",
    "nl": "dutch",
    "no": "norwegian",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "st": "sesotho",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
    "yi": "yiddish",
}
# Letters of an indexed word and of a stem at least: shorter ones are too many words at once.
_SHORTEST = 4
_SHORTEST_STEM = 3
# Words in capitals up to this length are abbreviations.
_ABBREVIATION = 5
_lock = threading.Lock()
_stemmers: dict[str, _Stemmer] = {}


class _Stemmer(Protocol):
    def stemWord(self, word: str) -> str: ...  # noqa: N802 - PyStemmer's name


def stem_terms(text: str, place: str = "") -> list[str]:
    """Return the terms for the stems of a chunk's words that differ from the words, in order, with repetitions.

    Of the words of its `place` (headings, names) those count that the text lacks.
    """
    words = _words(text)
    seen = {folded for _word, _small, folded in words}
    words += [word for word in _words(place) if word[2] not in seen]
    spoken = languages.of_passage((small, folded) for _word, small, folded in words)
    if not any(spoken.values()):
        return []
    known: dict[str, list[str]] = {}
    found: list[str] = []
    for word, small, folded in words:
        if word not in known:
            known[word] = [
                _named(language, stem)
                for language in spoken.get(languages.script_of_word(small), ())
                if not _is_abbreviation(word) and (stem := _stem(small, folded, language)) != term_of(folded) and stem
            ]
        found += known[word]
    return found


def question_stems(question: str) -> dict[str, list[str]]:
    """Return by term of a question the terms that stand for its stems, in all languages that it may be in."""
    words = _words(question)
    spoken = languages.of_question((small, folded) for _word, small, folded in words)
    found: dict[str, list[str]] = {}
    for _word, small, folded in words:
        term = term_of(folded)
        made: dict[str, None] = {}
        for language in spoken.get(languages.script_of_word(small), ()):
            if stem := _stem(small, folded, language, _SHORTEST_STEM):
                made[_named(language, stem)] = None
                if stem != term:
                    made[stem] = None
        if made:
            found.setdefault(term, list(made))
    return found


def bare(term: str) -> str:
    """Return a term as people may read it: a stem without the name of its language."""
    language, _separator, stem = term.partition(SEPARATOR)
    return stem if language in _STEMMERS else term


def _is_abbreviation(word: str) -> bool:
    return len(word) <= _ABBREVIATION and word.isupper()


def _named(language: str, stem: str) -> str:
    return f"{language}{SEPARATOR}{stem}"[:MAX_TERM]


def _words(text: str) -> list[tuple[str, str, str]]:
    """Return each word of these scripts as it is written, in small letters, and folded; mixed case names programs."""
    words = spelled_words(text)
    read: dict[str, tuple[str, str, str]] = {}
    for word in dict.fromkeys(words):
        rest = word[1:]
        small = word.casefold()
        if languages.script_of_word(small) and (rest == rest.lower() or word.isupper()):
            read[word] = word, small, small if small.isascii() else fold(small).strip()
    return [read[word] for word in words if word in read]


def _stem(small: str, folded: str, language: str, shortest: int = _SHORTEST) -> str:
    """Return the folded stem of a word in small letters, "" if it has none."""
    if not shortest <= len(small) <= MAX_TERM or languages.is_function_word(folded, language):
        return ""
    stem = fold(_stemmed(small, language)).strip()
    return stem if len(stem) >= _SHORTEST_STEM and " " not in stem else ""


def _stemmed(word: str, language: str) -> str:
    with _lock:  # a stemmer is not safe for threads
        stemmer = _stemmers.get(language)
        if stemmer is None:
            import Stemmer  # type: ignore[import-not-found]

            stemmer = _stemmers[language] = Stemmer.Stemmer(_STEMMERS[language], 0)
        return stemmer.stemWord(word)
