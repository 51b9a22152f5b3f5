"""Which letters beyond ASCII each language writes: a wrong encoding gives letters that no one language has together."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

_ALPHABETS = (
    "äöüß",  # German
    "àâæçéèêëîïôœùûüÿ",  # French
    "áéíóúüñªº",  # Spanish
    "àçèéíïòóúü",  # Catalan
    "áâãàçéêíóôõúüªº",  # Portuguese
    "àèéìîòóù",  # Italian
    "éèëïóöüê",  # Dutch
    "åäöéæøü",  # the Nordic languages
    "áðéíóúýþæö",  # Icelandic
    "äöõüšž",  # Estonian
    "ąćęłńóśźż",  # Polish
    "áčďéěíňóřšťúůýž",  # Czech
    "áäčďéíĺľňóôŕšťúýž",  # Slovak
    "áéíóöőúüű",  # Hungarian
    "ăâîşţ",  # Romanian, as it was written in encodings of one byte
    "ăâîșț",  # Romanian
    "čćđšž",  # Croatian, Slovene
    "ąčęėįšųūž",  # Lithuanian
    "āčēģīķļņšūž",  # Latvian
    "çğıöşüâîû",  # Turkish
    "çë",  # Albanian
    "àáâăèéêíóôơùúưđ\u0300\u0301\u0303\u0309\u0323",  # Vietnamese, as Windows-1258 divides its letters
    "абвгдежзийклмнопрстуфхцчшщъыьэюяё",  # Russian, Bulgarian
    "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя",  # Ukrainian
    "абвгдеёжзіийклмнопрстуўфхцчшыьэюя",  # Belarusian
    "абвгдђежзијклљмнњопрстћуфхцчџшѓќѕ",  # Serbian, Macedonian
)
_KNOWN = frozenset("".join(_ALPHABETS))
_LATIN_OR_CYRILLIC = (
    range(0xAA, 0xAB),
    range(0xBA, 0xBB),
    range(0xC0, 0x250),
    range(0x300, 0x324),
    range(0x400, 0x530),
)


def alphabet_share(text: str, encoding: str) -> float:
    """Return the share of Latin and Cyrillic letters beyond ASCII that the best alphabet has, squared; 1 without any.

    Only alphabets that `encoding` has whole are tried: nobody writes Lithuanian in an encoding for Polish. Greek,
    Arabic and other scripts have no rivals, and are not counted.
    """
    counts = Counter(
        character.lower()
        for character in text
        if character > "\x7f" and any(ord(character) in block for block in _LATIN_OR_CYRILLIC)
    )
    for sign in "×÷i̇":
        counts.pop(sign, 0)
    letters = sum(counts.values())
    if not letters:
        return 1.0
    best = max(
        (sum(count for letter, count in counts.items() if letter in alphabet) for alphabet in _alphabets(encoding)),
        default=0,
    )
    # A letter of another language is a name or a foreign word; one that no language of the table has is stranger.
    strange = sum(count for letter, count in counts.items() if letter not in _KNOWN)
    return max(0.05, (best + 0.2 * max(0, letters - best - strange)) / letters) ** 2


@lru_cache(maxsize=64)
def _alphabets(encoding: str) -> tuple[frozenset[str], ...]:
    """Return the alphabets of which this encoding has every letter."""
    return tuple(
        frozenset(alphabet)
        for alphabet in _ALPHABETS
        if alphabet.encode(encoding, errors="ignore").decode(encoding) == alphabet
    )
