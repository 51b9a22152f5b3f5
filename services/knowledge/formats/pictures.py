"""Files that are pictures: opened by Pillow within limits, read by text recognition, shown with words marked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from services.core.errors import BadInputError, MillpondError, NotFoundError, TooLargeError
from services.core.i18n import _
from services.knowledge.formats.page_marks import ShareBox, marked_png
from services.knowledge.formats.pdf.pdf_scans import page_text
from services.knowledge.formats.reading import Reading
from services.knowledge.notes import NoteKind
from services.knowledge.types import Section

if TYPE_CHECKING:
    from PIL import Image

# A sheet of A0 at 300 dpi has 139 million pixels.
MOST_PIXELS = 140_000_000
MOST_PAGES = 5_000
# Text recognition gets no larger side: more costs time and shows nothing new.
MOST_SIDE = 4_000
_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP")
_SUBFILE_TYPE = 254  # of a TIFF: bit 0 says that the page is another one in small
_SMALL_COPY = 1
# Above this mean, what is not transparent is light, and was meant for a dark ground.
_LIGHT = 200


def read_picture(stream: BinaryIO, reading: Reading) -> Iterator[Section]:
    """Yield the text of a picture file, a section a page; pages without text and damaged ones are noted.

    Raises:
        BadInputError: it is damaged, or text recognition is switched off.
        TooLargeError: it has more pixels or pages than are read.
        UnavailableError: text recognition could read none of it.
    """
    if reading.recognizer is None:
        raise BadInputError(
            _("This is a picture, and text recognition is switched off."),
            _("Switch it on (MILLPOND_OCR), or upload the text, or a PDF with text."),
        )
    picture, numbers = pages_of(stream)
    if is_animated(picture):
        reading.notes.add(NoteKind.FURTHER_FRAMES)
    failed = 0
    for page, number in enumerate(numbers, start=1):
        reading.progress(page - 1, len(numbers))
        try:
            found = reading.recognizer.recognize(partial(decoded, picture, number), page)
        except MillpondError:
            if len(numbers) == 1:
                raise
            failed += 1
            reading.notes.add(NoteKind.DAMAGED_PAGES, place=page)
            continue
        if found is not None and (text := page_text(found)):
            yield Section(text, page)
    reading.progress(len(numbers), len(numbers))
    if failed == len(numbers):
        raise damaged()
    reading.recognizer.require_some(len(numbers) - failed)


def page_count(stream: BinaryIO) -> int:
    """Return the number of pages of a picture file."""
    return len(pages_of(stream)[1])


def render(stream: BinaryIO, page: int, width: int, boxes: Sequence[ShareBox]) -> bytes:
    """Return a page (counted from 1) as PNG, at most `width` pixels wide, with boxes (shares of the page) marked.

    Raises:
        NotFoundError: there is no such page.
        BadInputError: it is damaged.
    """
    picture, numbers = pages_of(stream)
    if not 1 <= page <= len(numbers):
        raise NotFoundError(_("The document has no page {page}; it has {pages}.").format(page=page, pages=len(numbers)))
    shown = decoded(picture, numbers[page - 1])
    if shown.width > width:
        shown = shown.resize((width, max(1, round(shown.height * width / shown.width))), reducing_gap=2.0)
    return marked_png(shown, boxes)


def open_picture(stream: BinaryIO) -> Image.Image:
    """Open a picture file; its pixels are not decoded yet.

    Raises:
        BadInputError: it is damaged, or of a kind that is not read.
        TooLargeError: it has more pixels than are read.
    """
    # These formats alone are registered; a JPEG of several pictures (MPO) is opened as its first.
    from PIL import (  # noqa: F401
        Image,
        JpegImagePlugin,
        MpoImagePlugin,
        PngImagePlugin,
        TiffImagePlugin,
        UnidentifiedImageError,
        WebPImagePlugin,
    )

    Image.MAX_IMAGE_PIXELS = None  # `_check_size` refuses, with a message
    try:
        picture = Image.open(stream, formats=_FORMATS)
        _check_size(picture)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError, KeyError, TypeError) as error:
        raise damaged() from error
    return picture


def damaged() -> BadInputError:
    """Return the error for a picture that cannot be decoded."""
    return BadInputError(
        _("The picture is damaged or incomplete and cannot be opened."),
        _("Check that it opens in another program, save it again there, and upload the copy."),
    )


def _check_size(picture: Image.Image) -> None:
    if picture.width * picture.height > MOST_PIXELS:
        raise TooLargeError(
            _("The picture has {pixels} million pixels; at most {most} million are read.").format(
                pixels=round(picture.width * picture.height / 1e6), most=round(MOST_PIXELS / 1e6)
            ),
            _("Save it in a smaller size, and upload that."),
        )


def page_numbers(picture: Image.Image) -> list[int]:
    """Return the frames of a picture that are pages: all of a TIFF without its small copies, else the first.

    Raises:
        BadInputError: it is damaged.
        TooLargeError: it has more than `MOST_PAGES` pages.
    """
    if picture.format != "TIFF":
        return [0]
    try:
        count = int(getattr(picture, "n_frames", 1))
        pages = [number for number in range(min(count, MOST_PAGES)) if not _is_small_copy(picture, number)]
    except Exception as error:
        # Pillow raises whatever a broken table of contents leads to.
        raise damaged() from error
    if count > MOST_PAGES:
        raise TooLargeError(
            _("The picture has {pages} pages; at most {most} are read.").format(pages=count, most=MOST_PAGES),
            _("Split it into several files."),
        )
    return pages or [0]


def _is_small_copy(picture: Image.Image, number: int) -> bool:
    """Whether a page of a TIFF is another one in small."""
    picture.seek(number)
    kind = picture.tag_v2.get(_SUBFILE_TYPE, 0)  # type: ignore[attr-defined]
    return isinstance(kind, int) and bool(kind & _SMALL_COPY)


def is_animated(picture: Image.Image) -> bool:
    """Whether a picture has further frames that are no pages."""
    return picture.format in {"WEBP", "PNG"} and int(getattr(picture, "n_frames", 1)) > 1


def decoded(picture: Image.Image, number: int, most_side: int = MOST_SIDE) -> Image.Image:
    """Return a page of a picture in RGB, upright, its longer side at most `most_side` pixels.

    Raises:
        BadInputError: it is damaged.
        TooLargeError: it has more pixels than are read.
    """
    from PIL import ImageOps

    try:
        picture.seek(number)
        _check_size(picture)
        picture.draft("RGB", _within(picture.size, most_side))  # a JPEG is decoded in a smaller size at once
        upright = ImageOps.exif_transpose(picture)
        plain = _plain(upright)
        large = max(plain.size) > most_side
        return plain.resize(_within(plain.size, most_side), reducing_gap=2.0) if large else plain
    except (MillpondError, MemoryError):
        raise
    except Exception as error:
        # Decoders raise OSError, SyntaxError, struct.error, IndexError and more for damaged files.
        raise damaged() from error


def _within(size: tuple[int, int], most_side: int) -> tuple[int, int]:
    scale = min(1.0, most_side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _plain(picture: Image.Image) -> Image.Image:
    """Return a picture of any mode in RGB: deep greys scaled, transparent parts on a ground that shows the rest."""
    from PIL import Image

    if picture.mode in {"I", "F"} or picture.mode.startswith("I;16"):
        return _from_deep(picture)
    if picture.mode in {"LA", "La", "PA", "RGBA", "RGBa"} or "transparency" in picture.info:
        seen = picture.convert("RGBA")
        alpha = seen.getchannel("A")
        if alpha.getextrema() != (255, 255):
            ground = Image.new("RGB", seen.size, (0, 0, 0) if _is_light(seen, alpha) else (255, 255, 255))
            ground.paste(seen, mask=alpha)
            return ground
        return seen.convert("RGB")
    return picture.convert("RGB")


def _is_light(picture: Image.Image, alpha: Image.Image) -> bool:
    from PIL import ImageStat

    mask = alpha.point(lambda value: 255 * (value > 127))
    if mask.getextrema() == (0, 0):
        return False
    return float(ImageStat.Stat(picture.convert("L"), mask).mean[0]) > _LIGHT


def _from_deep(picture: Image.Image) -> Image.Image:
    """Return a picture of 16 or 32 bits a pixel with its darkest and lightest values as black and white."""
    import numpy as np
    from PIL import Image

    values = np.asarray(picture).astype(np.float32)
    values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    values -= low
    values *= 255.0 / max(high - low, 1.0)
    return Image.fromarray(values.astype(np.uint8)).convert("RGB")


def pages_of(stream: BinaryIO) -> tuple[Image.Image, list[int]]:
    """Return an opened picture and its pages; errors as for `open_picture` and `page_numbers`."""
    picture = open_picture(stream)
    return picture, page_numbers(picture)
