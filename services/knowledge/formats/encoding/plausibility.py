"""How plausible a decoded text is, without a dictionary: scripts within words, characters that no text has.

A wrong encoding of one byte a character mixes alphabets and signs within words ("Lefčvre" not, "cittΰ" and "gę¶l±"
yes); a wrong one of two bytes makes rare characters that stand alone between Latin letters ("M黮ler").
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise

from services.knowledge.formats.encoding.alphabets import alphabet_share
from services.knowledge.formats.encoding.common_characters import COMMON

_ACCENTED_WORD = 4
SAMPLE_CHARACTERS = 2_500
_CONTROLS_IN_TEXT = frozenset("\t\n\r\f\v\x1b")
_NO_TEXT = frozenset({"Cc", "Cn", "Co", "Cs"})
_WORD = re.compile(r"[^\s!-/:-@\[-`{-~\x00-\x1f]+")
# Between letters these are no sign of a wrong encoding.
_JOINERS = frozenset("'’‘ʼ´`·-‐‑\xad\u200c\u200d\u200e\u200f\xa0")
# These stand before a word, or after one, never the other way round.
_SIGNS_BEFORE = frozenset("‚„¿¡£•ˆ˜†‡¶±¨¸¯¤§")
_SIGNS_AFTER = frozenset("®©™ª²³¹±¶‰¢¬¦•†‡ˆ˜¨¸¯¤")
_HAN = "han"
# First and last code point of each block that texts are written in, and its script.
_BLOCKS = (
    (0xC0, 0x24F, "latin"),
    (0x370, 0x3FF, "greek"),
    (0x400, 0x52F, "cyrillic"),
    (0x531, 0x58F, "armenian"),
    (0x591, 0x5F4, "hebrew"),
    (0x600, 0x6FF, "arabic"),
    (0x900, 0xDFF, "indic"),
    (0xE01, 0xE5B, "thai"),
    (0xE81, 0xEDF, "lao"),
    (0x10A0, 0x10FF, "georgian"),
    (0x1200, 0x137F, "ethiopic"),
    (0x1780, 0x17FF, "khmer"),
    (0x1E00, 0x1EFF, "latin"),
    (0x1F00, 0x1FFF, "greek"),
    (0x3005, 0x3007, _HAN),
    (0x3040, 0x30FF, "kana"),
    (0x4E00, 0x9FFF, _HAN),
    (0xAC00, 0xD7A3, "hangul"),
    (0xFF66, 0xFF9F, "half"),  # half-width kana
)
# Thai: letters that nobody writes any more (the bytes of kana in EUC-JP give them), consonants, signs above or below.
_OBSOLETE = "\u0e03\u0e05"
_THAI_CONSONANT = re.compile("[\u0e01-\u0e2e]")
_THAI_MARK = "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
_THAI_VOWEL = re.compile(f"[\u0e30\u0e32\u0e33\u0e40-\u0e44{_THAI_MARK}]")
_THAI_ERROR = re.compile(
    f"(?<![\u0e01-\u0e2e{_THAI_MARK}])[{_THAI_MARK}]|[\u0e40-\u0e44](?![\u0e01-\u0e2e])|[\u0e4f\u0e5a\u0e5b]|[{_OBSOLETE}]"
)
_EAST_ASIAN = frozenset({_HAN, "kana", "hangul", "half"})
_LETTERS = frozenset({"Lu", "Ll", "Lo", "Lm", "Lt", "Mn", "Mc"})


def junk(sample: str) -> float:
    """Return the share of characters that no text has: control, replacement, unassigned, private use."""
    return _junk_count(sample) / len(sample) if sample else 0.0


def _junk_count(sample: str) -> int:
    return sum(map(sample.count, filter(_is_junk, set(sample))))


def plausibility(text: str, encoding: str) -> float:
    """Return from 0 to 1 how much a text decoded in `encoding` looks like one, judged by what is not ASCII in it."""
    sample = text[:SAMPLE_CHARACTERS]
    special = sum(character > "\x7f" for character in sample)
    if not special:
        return 1.0
    score = max(0.0, 1.0 - 6.0 * _junk_count(sample) / special)
    strange = 0.0
    words = ascii_words = lone = 0
    for word in _WORD.findall(sample):
        if word.isascii():
            ascii_words += word.isalpha()
            continue
        words += 1
        strange += _strangeness(word)
        lone += len(word) <= 2 and _script(word[0]) not in {"", "latin", *_EAST_ASIAN}
    if lone == words and ascii_words > 3 * words:
        score *= 0.3  # single letters of another alphabet among words in Latin letters
    if words:
        score *= max(0.02, 1.0 - strange / words) ** 2 * 0.75 ** min(strange, 5)
    if "\xa4" in sample:
        score *= 0.3  # the sign for any currency, which is the euro sign in ISO-8859-15
    return score * _thai(sample) * _east_asian(sample) * alphabet_share(sample, encoding)


def coherence(text: str) -> float:
    """Return from 0 to 1 how much a text of no known encoding is made of common characters of few scripts.

    For UTF-16, where the wrong order of bytes or a text of another kind gives characters of many scripts.
    """
    sample = text[:SAMPLE_CHARACTERS]
    if not sample:
        return 0.0
    scripts: dict[str, int] = {}
    common = 0.0
    for character in sample:
        if character < "\x7f":
            common += 1.0 if character.isprintable() or character in _CONTROLS_IN_TEXT else -2.0
            continue
        script = _script(character)
        if script and script != "latin":
            scripts[_family(script)] = scripts.get(_family(script), 0) + 1
        common += _commonness(character, script)
    letters = sum(scripts.values())
    return max(0.0, common / len(sample)) * (max(scripts.values()) / letters if letters else 1.0)


def common_share(text: str) -> float:
    """Return the share of the Chinese characters of a text that are among the most common ones; 1 without any."""
    han = [character for character in text[:SAMPLE_CHARACTERS] if _script(character) == _HAN]
    return sum(character in COMMON for character in han) / len(han) if han else 1.0


def _family(script: str) -> str:
    return "east" if script in {_HAN, "kana"} else script


def _commonness(character: str, script: str) -> float:
    """Return 1 for a character that texts have often, less for a rare one, below 0 for one that no text has."""
    if script == _HAN:
        return _han_commonness(character)
    if script == "hangul":
        return 1.0 if is_common_hangul(character) else 0.3
    if script:
        return 1.0 if unicodedata.category(character) in _LETTERS | {"Nd", "Po"} else 0.2
    point = ord(character)
    if point < 0x100 or 0x2010 <= point <= 0x203A or 0x3000 <= point <= 0x303F or 0xFF01 <= point <= 0xFF65:
        return 0.2 if unicodedata.category(character) in _NO_TEXT else 1.0
    if point in {0x20AC, 0x2116, 0x2122, 0xFEFF}:
        return 1.0
    return -1.0 if unicodedata.category(character) in _NO_TEXT else 0.0


@lru_cache(maxsize=8192)
def _han_commonness(character: str) -> float:
    """Return how common a character is: the national standards sort theirs by use, the frequent ones come first."""
    if character in COMMON:
        return 1.0
    gb = character.encode("gb2312", errors="ignore")
    big5 = character.encode("big5", errors="ignore")
    jis = character.encode("euc_jp", errors="ignore")
    if (gb and gb[0] <= 0xD7) or (big5 and big5[0] <= 0xC6) or (len(jis) == 2 and jis[0] <= 0xCF):
        return 1.0 if gb and gb[0] <= 0xD7 else 0.9
    return 0.6 if gb or big5 or jis else 0.2


@lru_cache(maxsize=4096)
def is_common_hangul(character: str) -> bool:
    """Whether a syllable is among the 2,350 of KS X 1001; Python writes the others as eight bytes."""
    return len(character.encode("euc_kr", errors="ignore")) == 2


@lru_cache(maxsize=8192)
def _is_junk(character: str) -> bool:
    if " " <= character <= "~":
        return False
    return character == "\ufffd" or (character not in _CONTROLS_IN_TEXT and unicodedata.category(character) in _NO_TEXT)


@lru_cache(maxsize=16_384)
def _script(character: str) -> str:
    """Return the script of a letter, "" for a sign or a letter that hardly any text has."""
    if character.isascii():
        return "latin" if character.isalpha() else ""
    point = ord(character)
    for first, last, script in _BLOCKS:
        if first <= point <= last:
            return script if unicodedata.category(character) in _LETTERS else ""
    return ""


def _strangeness(word: str) -> float:  # noqa: PLR0911 - a list of signs, each of which is enough
    """Return 1 for a word of two alphabets, with a sign between letters, or a capital after small letters, else 0.

    Also for one of Latin letters none of which is plain: no language writes like that, Greek read as Latin-1 does.

    Dashes stand between letters now and then: they count less.
    """
    scripts = {script for script in map(_script, word) if script}
    if len(scripts - _EAST_ASIAN) > 1:
        return 1.0
    if scripts == {"latin"} and len(word) >= _ACCENTED_WORD and not any(map(str.isascii, word)):
        return 1.0
    if scripts & _EAST_ASIAN:
        return 0.0  # words are not divided by blanks, quotation marks stand between letters
    for before, after in pairwise(word):
        if before.isascii() and after.isascii():
            continue
        if before.islower() and after.isupper():
            return 1.0
        if after in _SIGNS_BEFORE and before.isalnum():
            return 1.0
        if before in _SIGNS_AFTER and after.isalpha():
            return 1.0
    signs = [sign for at, sign in enumerate(word[1:-1]) if word[at].isalpha() and word[at + 2].isalpha()]
    if any(map(_is_sign, signs)):
        return 1.0
    return 0.3 if "—" in signs or "–" in signs else 0.0


def _is_sign(character: str) -> bool:
    """Whether a character is a sign that does not stand between letters."""
    return (
        not character.isascii()
        and character not in _JOINERS
        and character not in "—–"
        and (unicodedata.category(character)[0] in "SPC" or "\u02b0" <= character <= "\u02ff")
        and not (0x3000 <= ord(character) <= 0x303F or 0xFF00 <= ord(character) <= 0xFF65)
    )


def _thai(sample: str) -> float:
    """Return how well Thai letters follow each other; 1 without any."""
    consonants = len(_THAI_CONSONANT.findall(sample))
    if not consonants:
        return 1.0
    vowels = len(_THAI_VOWEL.findall(sample))
    errors = len(_THAI_ERROR.findall(sample))
    # In Thai there are six to nine vowels and signs to ten consonants.
    return max(0.02, 1.0 - 8.0 * errors / (consonants + vowels)) ** 2 * min(1.0, max(0.2, 2.0 * vowels / consonants))


def _east_asian(sample: str) -> float:
    """Return how well Chinese, Japanese and Korean characters stand together and how common they are; 1 without any."""
    scripts = ["" if character.isascii() and not character.isalpha() else _script(character) for character in sample]
    positions = [at for at, script in enumerate(scripts) if script in _EAST_ASIAN]
    if not positions:
        return 1.0
    latin = 0
    common = 0.0
    kinds: dict[str, int] = {}
    for at in positions:
        before = scripts[at - 1] if at else ""
        after = scripts[at + 1] if at + 1 < len(scripts) else ""
        latin += before == "latin" and (after == "latin" or after not in _EAST_ASIAN)
        latin += before not in _EAST_ASIAN and before != "latin" and after == "latin"
        kinds[scripts[at]] = kinds.get(scripts[at], 0) + 1
        if scripts[at] == _HAN:
            common += 1.0 if sample[at] in COMMON else 0.75 * _han_commonness(sample[at])
        elif scripts[at] == "half":
            common += 0.4
        elif scripts[at] == "hangul":
            common += 1.0 if is_common_hangul(sample[at]) else 0.3
        else:
            common += 1.0
    total = len(positions)
    score = max(0.02, 1.0 - latin / total) ** 2 * max(0.05, common / total)
    # Hangul is not written together with many Chinese characters or kana.
    others = total - kinds.get("hangul", 0)
    if kinds.get("hangul") and others:
        score *= max(0.1, 1.0 - 2.0 * min(others, kinds["hangul"]) / total)
    return score
