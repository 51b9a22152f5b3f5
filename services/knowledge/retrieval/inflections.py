"""Other forms of a word ("renewal", "renewing" for "renewed"; "Kündigungen" for "Kündigung"), by Snowball's stemmers.

Forms are made from the word's stem and usual endings, and kept if the stemmer takes them back to the same stem, so
that nothing of the vocabulary has to be read. PyStemmer is by the authors of Snowball, MIT and BSD, 0.7 MB in RAM.
"""

from __future__ import annotations

import threading
from functools import lru_cache

import Stemmer  # type: ignore[import-not-found]

from services.knowledge.text.terms import term_of

_SHORTEST = 4
_SHORTEST_STEM = 3
# Endings by language, without accents, as terms have none, and short words that hardly any other language has.
_LANGUAGES = {
    "english": (
        "e s es ed ing er al ly ion ions ment able ive y ies ied",
        "the of is are was were what which who when where how does did and in to",
    ),
    "german": (
        "e en er es em s n ung ungen t te ten st lich",
        "der das ist und ein eine wie wann wer wo welche wird werden nicht mit den dem fur",
    ),
    "french": (
        "e s es er ee ees ent ant ait ez ement ation ations eur eurs",
        "le les est et une quel quelle quand qui ou des du dans pour",
    ),
    "spanish": (
        "o a os as ar er ir ado ada ando e en an es cion ciones",
        "el los las es que cuando donde quien una del por cual como",
    ),
    "italian": (
        "o a i e are ere ire ato ata ando ono zione zioni",
        "il gli che quando dove chi una della nel per quale come",
    ),
    "portuguese": (
        "o a os as ar er ir ado ada ando e es cao coes",
        "os que quando onde quem uma da do no por qual como",
    ),
    "dutch": (
        "e en s t d de te ing ingen",
        "het de een en van wat wie wanneer waar hoe is wordt",
    ),
    "swedish": (
        "a e en et ar er or na erna arna de t ning ningar",
        "och en ett ar vad vem nar var hur som pa av",
    ),
    "russian": (
        "а у ы и е о я ю ь ом ем ой ей ов ев ам ами ах ям ях ый ий ая ое ые ого ому ых ть ет ла ли",
        "и в на что кто где когда как какой это",
    ),
}
_ENDINGS = {language: ("", *endings.split()) for language, (endings, _words) in _LANGUAGES.items()}
_FUNCTION_WORDS = {language: frozenset(words.split()) for language, (_endings, words) in _LANGUAGES.items()}
_stemmers: dict[str, Stemmer.Stemmer] = {}
_lock = threading.Lock()


def other_forms(word: str, languages: tuple[str, ...]) -> list[str]:
    """Return the terms that may be other forms of a term in one of the languages; most of them are no words at all."""
    if len(word) < _SHORTEST or not word.isalpha():
        return []
    found: dict[str, None] = {}
    for language in languages:
        if word.isascii() != (language == "russian"):
            found.update(dict.fromkeys(_forms(word, language)))
    found.pop(word, None)
    return list(found)


def languages_of(words: list[str]) -> tuple[str, ...]:
    """Return the language whose function words a question has most of; all that there are if that is not clear."""
    counts = {language: sum(word in known for word in words) for language, known in _FUNCTION_WORDS.items()}
    most = max(counts.values())
    best = [language for language, count in counts.items() if count == most]
    return tuple(best) if most else tuple(_ENDINGS)


@lru_cache(maxsize=2000)
def _forms(word: str, language: str) -> tuple[str, ...]:
    with _lock:  # a stemmer is not safe for threads
        stemmer = _stemmers.get(language)
        if stemmer is None:
            stemmer = _stemmers[language] = Stemmer.Stemmer(language, 0)
        stem = stemmer.stemWord(word)
        if len(stem) < _SHORTEST_STEM:
            return ()
        bases = [stem]
        if language == "english":
            bases += [stem[:-1] + "y"] if stem[-1] == "i" else [stem + stem[-1]]
        made = (base + ending for base in bases for ending in _ENDINGS[language])
        return tuple(dict.fromkeys(term_of(form) for form in made if stemmer.stemWord(form) == stem))
