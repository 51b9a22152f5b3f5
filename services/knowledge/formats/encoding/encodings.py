"""From bytes to text: what a file says of its encoding, and what its bytes say where it says nothing.

In this order: a byte order mark; escape sequences; UTF-8 where the bytes are that; what the file declares, unless its
bytes contradict; UTF-16 and UTF-32 without a mark; statistics: chardet's models of languages in encodings, weighed by
how plausible the decoded text is (`plausibility`). A choice that is not clear is marked as guessed.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from services.core.errors import BadInputError
from services.core.i18n import _
from services.knowledge.formats.encoding.common_characters import COMMON
from services.knowledge.formats.encoding.encoding_labels import (
    SUPERSETS,
    canonical,
    declarations,
    display_name,
    page_declarations,
)
from services.knowledge.formats.encoding.plausibility import (
    SAMPLE_CHARACTERS,
    coherence,
    common_share,
    is_common_hangul,
    junk,
    plausibility,
)
from services.knowledge.notes import NoteCollector, NoteKind

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE_BYTES = 16_384
_STATISTICS_BYTES = 16_384
_COHERENT = 0.85
_PLAUSIBLE = 0.2
_MAX_JUNK = 0.02
# Candidates in any case: a line in another alphabet within an English text says little to statistics.
_OTHER_ALPHABETS = ("cp1251", "koi8-r", "cp1253", "cp1255", "cp1256", "cp874")
# Encodings that files are found in, by the name that Python has for each; the number is how often, relative to others.
_PRIORS = {
    "cp1252": 1.0,
    "cp1251": 1.0,
    "gb18030": 1.0,
    "cp932": 1.0,
    "cp949": 1.0,
    "big5hkscs": 0.9,
    "euc_jp": 0.9,
    "cp1250": 0.8,
    "cp1253": 0.8,
    "cp1254": 0.8,
    "cp1255": 0.8,
    "cp1256": 0.8,
    "cp1257": 0.8,
    "cp874": 0.8,
    "koi8-r": 0.8,
    "koi8-u": 0.7,
    "iso8859-2": 0.75,
    "iso8859-5": 0.7,
    "iso8859-7": 0.75,
    "iso8859-15": 0.65,
    "iso8859-6": 0.5,
    "cp866": 0.7,
    "mac-roman": 0.6,
    "cp850": 0.6,
    "cp852": 0.5,
    "cp437": 0.5,
    "cp1258": 0.7,
    "mac-cyrillic": 0.4,
}
# What is tried where the bytes of an ISO encoding have what it does not (0x80 to 0x9F).
_WINDOWS = {"iso8859-2": "cp1250", "iso8859-7": "cp1253", "iso8859-15": "cp1252", "iso8859-6": "cp1256"}
_CANDIDATES = 8
_ASCII_LETTERS = re.compile(rb"[ A-Za-z]")
_FOUR_BYTES = re.compile(rb"[\x81-\xfe][0-9][\x81-\xfe][0-9]")
_CHINESE_SIGNS = frozenset("—–‘’“”…·、。《》（）：；！？，×°±§€\u3000àáèéêìíòóùúü")
# The least ratio of the best choice's score to that of the next one with another text, to be sure of it.
_CLEAR = 1.7
# With fewer special characters no choice is sure; three times as many in scripts other than Latin.
_FEW = 3
_FEW_HAN = 4
_DAMAGED = 0.002
_EAST_ASIAN = ("gb18030", "big5hkscs", "cp932", "euc_jp", "cp949")
_TYPOGRAPHY = frozenset("“”‘’„‚–—…•€™")
_SIGN_IN_WORD = re.compile(r"[^\W\d_][“„‚–—…•€™][^\W\d_]")
_CLEAR_HAN = 8
_CLEAR_SCORE = 0.2
_CLEAR_RATIO = 2.5
_HIGH = re.compile(rb"[\x80-\xff]")
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_C1_FOUND = re.compile("[\x80-\x9f]")
_C1 = {point: bytes([point]).decode("cp1252", errors="ignore") or "\ufffd" for point in range(0x80, 0xA0)}


@dataclass(frozen=True, slots=True)
class Decoded:
    """A text, its encoding by the name that Python has, whether that was guessed, and characters that were damaged."""

    text: str
    encoding: str
    guessed: bool = False
    damaged: int = 0

    def add_notes(self, notes: NoteCollector) -> None:
        """Add what a reader should know: a guessed encoding, damaged characters."""
        if self.guessed:
            notes.add(NoteKind.GUESSED_ENCODING, place=display_name(self.encoding))
        if self.damaged:
            notes.add(NoteKind.DAMAGED_CHARACTERS, self.damaged)


def decode(data: bytes, declared: str = "") -> Decoded:
    """Return the text of a file with Unix line ends; `declared` is what its surroundings say of its encoding.

    Raises:
        BadInputError: it is not text in an encoding that can be detected.
    """
    found = _decoded(data, iter([declared]) if declared else declarations(data))
    if found is None or junk(_without_c1(found.text[:SAMPLE_CHARACTERS])) > _MAX_JUNK:
        raise BadInputError(
            _("The file contains no readable text: it looks like binary data."),
            _("If it is a text, save it as UTF-8; otherwise upload it in a format that is read."),
        )
    return _tidied(found)


def decode_page(data: bytes) -> Decoded:
    """Return the text of an HTML page: byte order mark, then its `meta` element, its XML prolog, its bytes."""
    found = _decoded(data, page_declarations(data))
    if found is None:  # a page is read whatever it contains: tags are text
        text = data.decode("cp1252", errors="replace")
        found = Decoded(text, "cp1252", guessed=True, damaged=text.count("\ufffd"))
    return _tidied(found)


def _tidied(found: Decoded) -> Decoded:
    text = found.text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")
    if "\x1b[" in text:
        text = _COLOURS.sub("", text)  # of a terminal, in logs
    return Decoded(_without_c1(text), found.encoding, found.guessed, found.damaged)


def _without_c1(text: str) -> str:
    """Return a text without control characters of ISO 6429: programs write them that take Windows-1252 for Latin-1."""
    return text.translate(_C1) if _C1_FOUND.search(text) else text


def _decoded(data: bytes, declared: Iterator[str]) -> Decoded | None:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _replaced(data, encoding)
    wide = b"\x00" in data[:_SAMPLE_BYTES]
    if not wide:
        # Bytes that are UTF-8 are hardly ever anything else, whatever a template says.
        found = _escaped(data) or _utf_8(data) or _declared(data, declared) or _damaged_utf_8(data)
        if found is not None:
            return found
    found = _unmarked_unicode(data, wide=wide)
    if found is None and not wide:
        sample = _telling(data)
        found = _clearly_east_asian(data, sample) or _by_statistics(data, sample)
    return found


def _declared(data: bytes, labels: Iterator[str]) -> Decoded | None:
    for label in labels:
        encoding = canonical(label)
        # What was read as bytes of ASCII is not UTF-16.
        if encoding and not encoding.startswith("utf-"):
            found = _as_declared(data, encoding)
            if found is not None:
                return found
    return None


def _replaced(data: bytes, encoding: str, *, guessed: bool = False) -> Decoded:
    text = data.decode(encoding, errors="replace")
    if encoding == "cp1258":  # writes the tones of Vietnamese as characters of their own
        text = unicodedata.normalize("NFC", text)
    known = text.count("\ufffd")
    if known and encoding.startswith("utf"):
        known -= data.decode(encoding, errors="ignore").count("\ufffd")
    return Decoded(text, encoding, guessed, known)


def _utf_8(data: bytes) -> Decoded | None:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    # All bytes of UTF-16 in some scripts are ASCII: control characters give it away.
    return Decoded(text, "utf-8") if junk(_without_c1(text[:SAMPLE_CHARACTERS])) <= _MAX_JUNK else None


def _damaged_utf_8(data: bytes) -> Decoded | None:
    """Return text in UTF-8 of which a few bytes are damaged: they must not change the encoding of all of it."""
    found = _replaced(data, "utf-8")
    special = sum(character > "\x7f" for character in found.text[:100_000])
    few = 0 < found.damaged <= 3 + len(found.text) // 1000 and 10 * found.damaged <= special
    return found if few else None


def _as_declared(data: bytes, encoding: str) -> Decoded | None:
    """Return the text as declared, None where the bytes contradict it."""
    for name in (encoding, _WINDOWS.get(encoding, "")):
        if not name:
            continue
        try:
            text = data.decode(name)
        except UnicodeDecodeError:
            continue
        except LookupError:
            return None
        if any("\x80" <= character < "\xa0" for character in text[: SAMPLE_CHARACTERS * 16]):
            continue
        return Decoded(text, name) if plausibility(text, name) > _PLAUSIBLE else None
    found = _replaced(data, encoding) if encoding in _PRIORS else None
    return found if found is not None and found.damaged <= 1 + len(found.text) * _DAMAGED else None


def _escaped(data: bytes) -> Decoded | None:
    """Return text in an encoding with escape sequences, ISO-2022-JP, ISO-2022-KR or HZ."""
    if not any(mark in data[:_SAMPLE_BYTES] for mark in (b"\x1b$", b"~{")) or not data.isascii():
        return None
    for mark, encoding in ((b"\x1b$)C", "iso2022_kr"), (b"\x1b$", "iso2022_jp_ext"), (b"~{", "hz")):
        if mark in data:
            try:
                text = data.decode(encoding)
            except UnicodeDecodeError:
                continue
            return Decoded(text, encoding) if not text.isascii() and plausibility(text, encoding) > _PLAUSIBLE else None
    return None


def _unmarked_unicode(data: bytes, *, wide: bool) -> Decoded | None:
    """Return text in UTF-16 or UTF-32 without a mark, in the order of bytes that gives common characters."""
    names = ("utf-32-le", "utf-32-be") if wide and len(data) % 4 == 0 else ()
    for name in names:
        text = _sampled(data, name)
        if text and coherence(text) > _COHERENT:
            return _replaced(data, name)
    if len(data) % 2:
        return None
    scores = {name: coherence(_sampled(data, name)) for name in ("utf-16-be", "utf-16-le")}
    best, other = sorted(scores, key=scores.__getitem__, reverse=True)
    # Pairs of ASCII letters are Chinese characters in UTF-16, but rarely common ones.
    letters = len(_ASCII_LETTERS.findall(data[:_SAMPLE_BYTES])) > 0.7 * len(data[:_SAMPLE_BYTES])
    common = 1.0 if wide else common_share(_sampled(data, best))
    if scores[best] < _COHERENT or (letters and common < 0.15):
        return None
    unclear = not wide and (scores[best] - scores[other] < 0.2 or common < 0.3)
    return _replaced(data, best, guessed=unclear)


def _sampled(data: bytes, encoding: str) -> str:
    """Return the first characters, "" if they are not valid in this encoding."""
    sample = data[:_SAMPLE_BYTES]
    try:
        return codecs.getincrementaldecoder(encoding)().decode(sample, final=len(sample) == len(data))
    except UnicodeDecodeError:
        return ""


def _telling(data: bytes) -> bytes:
    """Return a part of the file that tells its encoding: it begins shortly before the first byte beyond ASCII."""
    first = _HIGH.search(data)
    start = max(0, first.start() - 1000) if first else 0
    return data[start : start + _STATISTICS_BYTES]


def _clearly_east_asian(data: bytes, sample: bytes) -> Decoded | None:
    """Return Chinese, Japanese or Korean text that is clear by its common characters; no models need to be loaded."""
    scores = {}
    for name in _EAST_ASIAN:
        text = sample.decode(name, errors="replace")
        if text.count("\ufffd") <= len(text) * _DAMAGED + (len(sample) < len(data)):
            text = text[:SAMPLE_CHARACTERS]
            if _own_count(text, name) >= _CLEAR_HAN:
                scores[name] = _east_asian_confidence(sample, text, name) * plausibility(text, name)
    ranked = sorted(scores, key=scores.__getitem__, reverse=True)
    if not ranked or scores[ranked[0]] < _CLEAR_SCORE:
        return None
    clear = len(ranked) == 1 or scores[ranked[0]] > _CLEAR_RATIO * scores[ranked[1]]
    return _replaced(data, ranked[0]) if clear else None


def _own_count(text: str, name: str) -> int:
    """Return how many characters of a text are of the ones that its language writes all the time."""
    own = set(COMMON)
    if name in {"cp932", "euc_jp"}:
        own.update(map(chr, range(0x3041, 0x30FD)))
    elif name == "cp949":
        own = {
            character for character in set(text) if "\uac00" <= character <= "\ud7a3" and is_common_hangul(character)
        }
    return sum(text.count(character) for character in own & set(text))


def _by_statistics(data: bytes, sample: bytes) -> Decoded | None:
    """Return the text in the encoding that gives the likeliest text of a language."""
    ranked = sorted(_scores(sample, whole=len(sample) == len(data)), reverse=True)
    if not ranked:
        return None
    score, encoding, text = ranked[0]
    if score <= 0:
        return None
    rival = next((other for other, _name, different in ranked[1:] if different != text), 0.0)
    special = [character for character in text if character > "\x7f"]
    few = _FEW if all(character < "\u0250" for character in special) else 3 * _FEW
    return _replaced(data, encoding, guessed=score < _CLEAR * rival or len(special) < few)


def _scores(sample: bytes, *, whole: bool = True) -> Iterator[tuple[float, str, str]]:
    """Yield (score, encoding, the first characters decoded) of the candidates; a sample may end within a character."""
    from chardet import detect_all  # 28 MB with its models, in the parser's child alone

    confidences: dict[str, float] = {}
    for found in detect_all(sample, compat_names=False, ignore_threshold=True):
        name = SUPERSETS.get(found["encoding"] or "", found["encoding"] or "")
        if name in _PRIORS and name not in confidences and len(confidences) < _CANDIDATES:
            confidences[name] = found["confidence"]
    least = min(confidences.values(), default=0.01)
    for name in ("cp1252", *_OTHER_ALPHABETS, *_EAST_ASIAN):
        confidences.setdefault(name, least / 2)
    for name, confidence in confidences.items():
        text = sample.decode(name, errors="replace")
        damaged = text.count("\ufffd")
        if damaged <= len(text) * _DAMAGED + (not whole):
            text = text[:SAMPLE_CHARACTERS]
            sure = confidence
            if name == "cp1252":
                sure = max(sure, _western_confidence(text))
            if name in _EAST_ASIAN:
                sure = max(confidence * _own_letters(text, name), _east_asian_confidence(sample, text, name))
            yield sure * _PRIORS[name] * plausibility(text, name), name, text


def _western_confidence(text: str) -> float:
    """Return how sure typographic signs make of Windows-1252 where they are all that is not ASCII."""
    special = [character for character in text if character > "\x7f"]
    return 0.65 if len(special) > 1 and _TYPOGRAPHY.issuperset(special) and not _SIGN_IN_WORD.search(text) else 0.0


def _east_asian_confidence(sample: bytes, text: str, name: str) -> float:
    """Return how sure the characters themselves make of an East Asian encoding, whatever the models say."""
    special = [character for character in text if character > "\x7f"]
    if name == "gb18030" and special:
        four = bool(_FOUR_BYTES.search(sample))
        if all(character in _CHINESE_SIGNS or (four and character < "\u0250") for character in special):
            return 0.65
    if len(special) < _FEW_HAN:
        return 0.0
    han = sum("\u4e00" <= character <= "\u9fff" for character in special)
    kana = sum("\u3041" <= character <= "\u30fc" for character in special)
    hangul = sum("\uac00" <= character <= "\ud7a3" and is_common_hangul(character) for character in special)
    if name in {"cp932", "euc_jp"} and 4 * kana > len(special):
        return 0.6 * (kana + common_share(text) * han) / (kana + han)
    if name == "cp949" and hangul > 0.9 * len(special):
        return 0.5
    return 0.6 * common_share(text) if han >= _FEW_HAN else 0.0


def _own_letters(text: str, name: str) -> float:
    """Return 1, less for an East Asian encoding that gives signs alone: Chinese programs alone write those."""
    return 1.0 if name == "gb18030" or any("\u3041" <= character <= "\ud7a3" for character in text) else 0.3
