"""A PDF page through PDFium: the objects drawn on it, its text, and its words with their boxes."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, NamedTuple

# Objects of a page that are looked at; pages with more are drawings or made to keep readers busy.
_MAX_OBJECTS = 20_000
_MAX_DEPTH = 6  # of form objects within form objects
# Words of pages with more text are not placed: such a page is no page that people read.
MAX_PLACED_CHARACTERS = 40_000
# PDFium leaves text objects narrower than this out of a page's text.
_NARROW = 0.01
# Half of this share of the font size is added around such an object, which PDFium does for outlined text.
_OUTLINE = 0.8
# A word higher than this many of its first character, of at most so many characters, may be a column of them.
_STACKED = 1.9
_MAX_STACK = 60
# Of so many words one is asked whether its characters have a meaning, long ones and the first of a line are, and all
# once one has not.
_SAMPLE = 6
_LONG = 12
_TURNED = 0.1  # radians
_FIRST_UNSPACED = "\u2e80"  # characters of scripts that are written downwards, too, begin here
_POINTER = ctypes.c_void_p
# Paths with no more pieces are lines and rectangles; of others this many pieces are looked at.
_RECTANGLE_SEGMENTS = 6
_MAX_SEGMENTS = 2_000
# PDFium's marks of a hyphen at the end of a line, which it joins with the next one.
HYPHENS = "\ufffe\x02"
_WORD = re.compile(rf"[^\s{HYPHENS}]*[{HYPHENS}]|[^\s{HYPHENS}]+")
_BOLD = re.compile(rb"bold|black|heavy|-bd|demi", re.IGNORECASE)
_TYPEWRITER = re.compile(rb"mono|courier|typewriter|CMTT|consol", re.IGNORECASE)
_MAX_FONT_NAME = 200
_MAX_PARTS = 4
Matrix = tuple[float, float, float, float, float, float]
_IDENTITY: Matrix = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)


class Box(NamedTuple):
    """A rectangle with the origin at the lower left, upright as the page is shown."""

    left: float
    bottom: float
    right: float
    top: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.top - self.bottom


@dataclass(slots=True)
class Word:
    """A word: its box, and its characters `start` to `end` in the page's text.

    `shown`: it lies on the page; `mapped`: its font says what its first character stands for, which is else a guess.
    """

    box: Box
    start: int
    end: int
    shown: bool = True
    mapped: bool = True


@dataclass(slots=True)
class PageObjects:
    """What is drawn on a page: the boxes of its pictures, its paths with the matrix they are drawn with, the rest."""

    pictures: list[Box] = field(default_factory=list)
    paths: list[tuple[Any, Matrix]] = field(default_factory=list)
    others: int = 0
    texts: int = 0


def page_objects(page: Any) -> PageObjects:
    """Return the objects of a page; text objects without a width get one, so that PDFium reads them.

    A font that is neither embedded nor installed has no glyphs: a character placed by itself then has an empty box.
    """
    import pypdfium2.raw as pdfium  # type: ignore[import-untyped]

    found = PageObjects()
    left = [_MAX_OBJECTS]
    kind_of = _direct("FPDFPageObj_GetType", _POINTER)
    bounds_of = _direct("FPDFPageObj_GetBounds", _POINTER, *(_POINTER,) * 4)
    edges = (ctypes.c_float * 4)()
    places = [ctypes.addressof(edges) + 4 * number for number in range(4)]
    text = pdfium.FPDF_PAGEOBJ_TEXT

    def visit(objects: Iterator[int], matrix: Matrix, depth: int) -> None:
        for address in objects:
            left[0] -= 1
            if left[0] < 0:
                return
            kind = kind_of(address)
            if kind == text:
                found.texts += 1
                if bounds_of(address, *places) and edges[2] - edges[0] < _NARROW:
                    _widen(ctypes.cast(address, pdfium.FPDF_PAGEOBJECT))
                continue
            item = ctypes.cast(address, pdfium.FPDF_PAGEOBJECT)
            if kind == pdfium.FPDF_PAGEOBJ_PATH:
                found.paths.append((item, matrix))
            elif kind == pdfium.FPDF_PAGEOBJ_IMAGE:
                found.pictures.append(_transformed(_bounds(item), matrix))
            elif kind == pdfium.FPDF_PAGEOBJ_FORM and depth < _MAX_DEPTH:
                count = max(pdfium.FPDFFormObj_CountObjects(item), 0)
                visit(map(partial(inner_object, address), range(count)), _product(matrix_of(item), matrix), depth + 1)
            else:
                found.others += 1

    page_object = _direct("FPDFPage_GetObject", _POINTER, ctypes.c_int, result=_POINTER)
    inner_object = _direct("FPDFFormObj_GetObject", _POINTER, ctypes.c_ulong, result=_POINTER)
    count = max(pdfium.FPDFPage_CountObjects(page), 0)
    visit(map(partial(page_object, _address(page)), range(count)), _IDENTITY, 0)
    return found


def words_of(text_page: Any, text: str, page: Any) -> list[Word]:
    """Return the words of a page's text with their boxes."""
    get_box = _direct("FPDFText_GetLooseCharBox", _POINTER, ctypes.c_int, _POINTER)
    lacks_meaning = _direct("FPDFText_HasUnicodeMapError", _POINTER, ctypes.c_int)
    address = _address(text_page)
    edges = (ctypes.c_float * 4)()  # left, top, right, bottom
    read_edges, place = memoryview(edges).cast("B").cast("f").tolist, ctypes.addressof(edges)
    exact = text_page.count_chars() == len(text)
    low_x, low_y, high_x, high_y = (2 * edge for edge in page.get_bbox())
    turn = page.get_rotation()
    words: list[Word] = []
    step = _SAMPLE  # how many words further the next one is asked for its meaning
    for match in _WORD.finditer(text):
        start, end = match.span()
        index = start if exact else _character_index(text_page, start)
        if not get_box(address, index, place):
            continue
        left, top, right, bottom = read_edges()
        height = top - bottom
        if end - start > 1 and get_box(address, end - 1 if exact else _character_index(text_page, end - 1), place):
            last_left, last_top, last_right, last_bottom = read_edges()
            left, right = min(left, last_left), max(right, last_right)
            if last_top != top or last_bottom != bottom:
                top, bottom = max(top, last_top), min(bottom, last_bottom)
                if top - bottom > _STACKED * height and _is_stack(text_page, text[start:end], start):
                    words += _characters(text_page, start, end, turn)
                    continue
        shown = low_x <= left + right <= high_x and low_y <= bottom + top <= high_y
        mapped = True
        asked = len(words) % step == 0 or end - start > _LONG or text[start - 1 : start] == "\n"
        if asked and lacks_meaning(address, index) == 1:
            mapped = False
            if step > 1:
                step = 1
                for word in words:
                    word.mapped = lacks_meaning(address, word.start) != 1
        box = Box(left, bottom, right, top)
        words.append(Word(turned(box, turn) if turn else box, start, end, shown, mapped))
    return words


def _is_stack(text_page: Any, word: str, start: int) -> bool:
    """Whether a word is made of single upright characters below each other; Chinese may be written so."""
    import pypdfium2.raw as pdfium

    fonts = Fonts(text_page)
    first, last = (Word(Box(0, 0, 0, 0), at, at + 1) for at in (start, start + len(word) - 1))
    return (
        len(word) <= _MAX_STACK
        and max(word) < _FIRST_UNSPACED
        and abs(pdfium.FPDFText_GetCharAngle(text_page, start)) < _TURNED
        and not fonts.together(first, last)
    )


def _characters(text_page: Any, start: int, end: int, turn: int) -> Iterator[Word]:
    """Yield the characters of a word as words: single characters below each other, as in a column of grades."""
    for at in range(start, end):
        left, bottom, right, top = text_page.get_charbox(at, loose=True)
        yield Word(turned(Box(left, bottom, right, top), turn), at, at + 1)


@cache
def _direct(name: str, *arguments: Any, result: Any = ctypes.c_int) -> Callable[..., Any]:
    """Return a function of PDFium that takes plain addresses: called for each word, it costs a third."""
    import pypdfium2.raw as pdfium

    address = ctypes.cast(getattr(pdfium, name), ctypes.c_void_p).value or 0
    found: Callable[..., Any] = ctypes.CFUNCTYPE(result, *arguments)(address)
    return found


def _address(handle: Any) -> int | None:
    """Return the address behind a page or text page."""
    return ctypes.cast(handle.raw, ctypes.c_void_p).value


def _character_index(text_page: Any, place: int) -> int:
    """Return PDFium's number of the character at a place in the text."""
    import pypdfium2.raw as pdfium

    return int(pdfium.FPDFText_GetCharIndexFromTextIndex(text_page, place))


def turned(box: Box, degrees: int) -> Box:
    """Return a box of a page that is shown turned clockwise, as it is seen (up to a shift)."""
    match degrees:
        case 90:
            return Box(box.bottom, -box.right, box.top, -box.left)
        case 180:
            return Box(-box.right, -box.top, -box.left, -box.bottom)
        case 270:
            return Box(-box.top, box.left, -box.bottom, box.right)
        case _:
            return box


@dataclass(frozen=True, slots=True)
class Fonts:
    """What a page says about how its words were drawn; asked for few of them."""

    text_page: Any

    def is_bold(self, word: Word) -> bool:
        """Whether a word is set in a bold font."""
        return _BOLD.search(self._font(word)[0]) is not None

    def is_typewriter(self, word: Word) -> bool:
        """Whether all characters of a word's font are equally wide."""
        name, flags = self._font(word)
        return bool(flags & 1) or _TYPEWRITER.search(name) is not None

    def _font(self, word: Word) -> tuple[bytes, int]:
        """Return the name and flags of a word's font."""
        import pypdfium2.raw as pdfium

        buffer = ctypes.create_string_buffer(_MAX_FONT_NAME)
        flags = ctypes.c_int()
        pdfium.FPDFText_GetFontInfo(self.text_page, word.start, buffer, _MAX_FONT_NAME, flags)
        return buffer.value, flags.value

    def together(self, one: Word, other: Word) -> bool:
        """Whether two words were drawn at once, as the words of a cell are and two cells are not."""
        return self._object(one.end - 1) == self._object(other.start)

    def split(self, word: Word) -> list[Word]:
        """Return the parts of a word that were drawn one by one: cells without a gap between them."""
        import pypdfium2.raw as pdfium

        objects = [self._object(at) for at in range(word.start, word.end)]
        starts = [at for at in range(1, len(objects)) if objects[at] != objects[at - 1]]
        if not starts or len(starts) > _MAX_PARTS:
            return [word]
        parts: list[Word] = []
        box = pdfium.FS_RECTF()
        left = word.box.left
        for start, end in zip([0, *starts], [*starts, len(objects)], strict=True):
            pdfium.FPDFText_GetLooseCharBox(self.text_page, word.start + end - 1, box)
            right = box.right if end < len(objects) else word.box.right
            parts.append(Word(word.box._replace(left=left, right=right), word.start + start, word.start + end))
            left = right
        return parts

    def _object(self, at: int) -> int | None:
        import pypdfium2.raw as pdfium

        return ctypes.cast(pdfium.FPDFText_GetTextObject(self.text_page, at), ctypes.c_void_p).value


def path_lines(item: Any, matrix: Matrix, turn: int) -> Iterator[Box]:
    """Yield the boxes of a path: one for a line or rectangle, one for each straight piece of a longer path."""
    import pypdfium2.raw as pdfium

    count = pdfium.FPDFPath_CountSegments(item)
    if count <= _RECTANGLE_SEGMENTS:
        yield turned(_transformed(_bounds(item), matrix), turn)
        return
    own = _product(matrix_of(item), matrix)
    x, y = ctypes.c_float(), ctypes.c_float()
    before: tuple[float, float] | None = None
    for index in range(min(count, _MAX_SEGMENTS)):
        segment = pdfium.FPDFPath_GetPathSegment(item, index)
        pdfium.FPDFPathSegment_GetPoint(segment, x, y)
        point = _moved(x.value, y.value, own)
        if before is not None and pdfium.FPDFPathSegment_GetType(segment) == pdfium.FPDF_SEGMENT_LINETO:
            (x0, x1), (y0, y1) = sorted((before[0], point[0])), sorted((before[1], point[1]))
            if min(x1 - x0, y1 - y0) < 1:
                yield turned(Box(x0, y0, x1, y1), turn)
        before = point


def segment_count(paths: Iterable[tuple[Any, Matrix]]) -> int:
    """Return of how many pieces paths consist together."""
    import pypdfium2.raw as pdfium

    return sum(max(int(pdfium.FPDFPath_CountSegments(item)), 0) for item, _matrix in paths)


def matrix_of(item: Any) -> Matrix:
    """Return the matrix of an object or form object."""
    import pypdfium2.raw as pdfium

    matrix = pdfium.FS_MATRIX()
    if not pdfium.FPDFPageObj_GetMatrix(item, matrix):
        return _IDENTITY
    return matrix.a, matrix.b, matrix.c, matrix.d, matrix.e, matrix.f


def _widen(item: Any) -> None:
    """Give a text object that has no width an outline, as PDFium counts it, of about a character."""
    import pypdfium2.raw as pdfium

    size = ctypes.c_float()
    pdfium.FPDFTextObj_GetFontSize(item, size)
    a, b, c, d, _e, _f = matrix_of(item)
    scale = max(abs(a), abs(b), abs(c), abs(d))
    pdfium.FPDFPageObj_SetStrokeWidth(item, abs(size.value) * scale * _OUTLINE)
    pdfium.FPDFTextObj_SetTextRenderMode(item, pdfium.FPDF_TEXTRENDERMODE_STROKE)
    pdfium.FPDFPageObj_TransformF(item, pdfium.FS_MATRIX(*_IDENTITY))


def _bounds(item: Any) -> Box:
    import pypdfium2.raw as pdfium

    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    if not pdfium.FPDFPageObj_GetBounds(item, left, bottom, right, top):
        return Box(0, 0, 1, 1)
    return Box(left.value, bottom.value, right.value, top.value)


def _moved(x: float, y: float, matrix: Matrix) -> tuple[float, float]:
    a, b, c, d, e, f = matrix
    return a * x + c * y + e, b * x + d * y + f


def _transformed(box: Box, matrix: Matrix) -> Box:
    if matrix == _IDENTITY:
        return box
    corners = [_moved(x, y, matrix) for x in (box.left, box.right) for y in (box.bottom, box.top)]
    xs, ys = zip(*corners, strict=True)
    return Box(min(xs), min(ys), max(xs), max(ys))


def _product(first: Matrix, second: Matrix) -> Matrix:
    """Return the matrix that applies `first`, then `second`."""
    a, b, c, d, e, f = first
    g, h, i, j, k, m = second
    return (
        a * g + b * i, a * h + b * j,
        c * g + d * i, c * h + d * j,
        e * g + f * i + k, e * h + f * j + m,
    )  # fmt: skip
