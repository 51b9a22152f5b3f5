"""Scans and pictures read by text recognition, by the real models in the real process."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image

from services.core.actor import SERVICE
from services.core.errors import BadInputError, TooLargeError, UnavailableError
from services.knowledge.notes import notes_of
from services.knowledge.parsing.pool import ParserPool
from services.knowledge.parsing.results import ParsedFile
from services.knowledge.types import DocumentStatus
from tests.actors import reader_of
from tests.knowledge.formats.test_page_pictures import drawn
from tests.knowledge.library_harness import LibraryHarness
from tests.knowledge.parsing.pools import Parse, pool_with, until
from tests.knowledge.recognition import scans
from tests.knowledge.recognition.processes import recognizer
from tests.knowledge.recognition.scans import LINES

CHINESE = Path(__file__).parent / "chinese.png"
MODULES = ("cv2", "rapidocr", "omegaconf", "shapely", "pyclipper")


def text_of(found: ParsedFile) -> str:
    return "\n".join(section.text for section in found.sections)


def notes(found: ParsedFile) -> list[str]:
    return [note.text for note in notes_of(found.notes)]


def test_a_scan_between_pages_of_text_is_read_and_its_words_are_marked(harness: LibraryHarness) -> None:
    """A PDF of both kinds: all its text is found, it says which page was a picture and how sure it is, and a quote is
    marked where it stands on that page.
    """
    data = scans.pdf_of("A page of ordinary text about barges.", scans.strip(LINES))
    document = harness.ready("mixed.pdf", data)
    assert document.status is DocumentStatus.READY
    text = "\n".join(section.text for section in harness.library.reader.sections(SERVICE, document.id))
    assert "ordinary text about barges" in text
    for line in LINES:
        assert line in text
    assert [note.text for note in document.notes] == ["Page 2 was read by text recognition"]
    found = document.recognition
    assert found is not None
    assert (found.count, found.pages, found.least_page) == (1, "2", 2)
    assert 0.9 < found.least_confidence <= found.confidence <= 1
    (page,) = harness.library.reader.recognized_pages(SERVICE, document.id)
    assert (page.page, page.confidence) == (2, found.confidence)
    picture = drawn(harness.library.reader.page_image(SERVICE, document.id, 2, 800, ["berth seven"]))
    marked = [
        (x / picture.width, y / picture.height)
        for y in range(0, picture.height, 2)
        for x in range(0, picture.width, 2)
        if (pixel := picture.getpixel((x, y)))[0] > 200 and pixel[2] < 190  # type: ignore[index]
    ]
    # The end of the second line of four.
    assert marked
    assert all(0.55 < x < 0.8 and 0.27 < y < 0.44 for x, y in marked), (min(marked), max(marked))
    # What was recognised goes with its document.
    harness.library.delete(SERVICE, [document.id])
    assert harness.count("recognized_pages") == 0


def test_a_document_from_before_is_read_again_and_keeps_its_pages_when_copied(harness: LibraryHarness) -> None:
    """With text recognition off its scan is noted; switched on, "read again" reads it. A second copy of the file takes
    over what was recognised, as it takes over chunks.
    """
    data = scans.pdf_of("A page of ordinary text about barges.", scans.strip())
    object.__setattr__(harness.settings, "ocr", False)
    document = harness.ready("old.pdf", data)
    assert [note.kind for note in document.notes] == ["picture_pages"]
    assert harness.library.reader.recognized_pages(SERVICE, document.id) == []
    object.__setattr__(harness.settings, "ocr", True)
    assert harness.library.jobs.reread_pictures(reader_of(document.collection_id)) == []
    (job,) = harness.library.jobs.reread_pictures(SERVICE)
    assert job.kind == "reread"
    harness.idle()
    document = harness.library.document(SERVICE, document.id)
    assert [note.kind for note in document.notes] == ["recognized_pages"]
    assert "sluice gate" in harness.library.reader.chunks(SERVICE, document.id)[-1].text
    assert harness.library.jobs.reread_pictures(SERVICE) == []
    assert len(harness.library.reader.recognized_pages(reader_of(document.collection_id), document.id)) == 1
    assert harness.library.reader.recognized_pages(reader_of(), document.id) == []
    other = harness.ready("copy.pdf", data, harness.library.create_collection(SERVICE, "Other").id)
    assert other.recognition == document.recognition
    assert len(harness.library.reader.recognized_pages(SERVICE, other.id)) == 1


def test_a_picture_without_text_is_a_document_without_text(harness: LibraryHarness) -> None:
    """Nothing is lost and nothing has failed: the file is there, says that no text was found, and can be shown."""
    document = harness.ready("photo.png", scans.saved(Image.new("RGB", (300, 200), (90, 140, 200))))
    assert document.status is DocumentStatus.READY
    assert (document.chunks, document.pages, document.media_type) == (0, 1, "image/png")
    assert "No text was found in it; the file is kept as it is" in [note.text for note in document.notes]
    assert harness.library.reader.original(SERVICE, document.id)[0].is_file()
    assert drawn(harness.library.reader.page_image(SERVICE, document.id, 1, 200)).width == 200
    harness.library.delete(SERVICE, [document.id])


def grey_alpha(picture: Image.Image) -> bytes:
    """Return white letters on nothing."""
    alpha = picture.point(lambda value: 255 - value)
    return scans.saved(Image.merge("LA", (Image.new("L", picture.size, 255), alpha)))


def deep(picture: Image.Image) -> bytes:
    """Return 16 bits a pixel, of which only the lowest are used."""
    import numpy as np

    return scans.saved(Image.fromarray(np.asarray(picture).astype(np.uint16) * 12), "TIFF")


def sideways(picture: Image.Image) -> bytes:
    """Return a photograph that says how it has to be turned."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return scans.saved(picture.rotate(90, expand=True, fillcolor=255), "JPEG", exif=exif, quality=90)


def animated(picture: Image.Image) -> bytes:
    return scans.saved(
        picture.convert("RGB"), "WEBP", save_all=True, append_images=[Image.new("RGB", picture.size)], lossless=True
    )


KINDS: dict[str, Callable[[Image.Image], bytes]] = {
    "1-bit TIFF": lambda picture: scans.saved(picture.convert("1"), "TIFF", compression="group4"),
    "16-bit TIFF": deep,
    "CMYK JPEG": lambda picture: scans.saved(picture.convert("CMYK"), "JPEG", quality=90),
    "transparent PNG": grey_alpha,
    "palette PNG": lambda picture: scans.saved(picture.convert("P")),
    "animated WebP": animated,
    "JPEG turned by EXIF": sideways,
}


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_of_every_kind_are_read(parse: Parse, kind: str) -> None:
    """Whatever a program makes of the same line, it is the line that is read, as a page."""
    found = parse(KINDS[kind](scans.strip()), "scan")
    assert text_of(found) == LINES[0]
    assert [section.page for section in found.sections] == [1]
    assert found.pages == 1


def test_the_pages_of_a_tiff_are_pages(parse: Parse) -> None:
    """A fax of three pages, one of them blank: pages keep their numbers, progress goes by pages."""
    sheets = [scans.strip(LINES[:1]), Image.new("L", (900, 100), 255), scans.strip(LINES[1:2])]
    data = scans.saved(sheets[0], "TIFF", save_all=True, append_images=sheets[1:])
    told: list[tuple[int, int]] = []
    found = parse(data, "fax.tif", on_progress=lambda at: told.append((at.done, at.total)))
    assert [(section.page, section.text) for section in found.sections] == [(1, LINES[0]), (3, LINES[1])]
    assert notes(found) == [
        "Pages 1, 3 were read by text recognition",
        "No text was found on page 2, which is a picture",
    ]
    assert found.pages == 3
    assert told[-1] == (3, 3)
    assert [page.page for page in found.recognized] == [1, 3]


@pytest.mark.parametrize("rotation", [90, 180])
def test_pages_that_lie_on_their_side_or_head_are_read(parse: Parse, rotation: int) -> None:
    """A PDF says how its scan is turned, a scanner's picture says nothing: both are read line by line, and words are
    marked where they are seen.
    """
    sheet = scans.strip(LINES[:3])
    found = parse(scans.pdf_of(sheet.rotate(rotation, expand=True), rotation=rotation), "turned.pdf")
    assert text_of(found).splitlines() == list(LINES[:3])
    found = parse(scans.saved(sheet.rotate(-rotation, expand=True)), "turned.png")
    assert text_of(found).splitlines() == list(LINES[:3])
    (page,) = found.recognized
    boat = next(word.box for word in page.words if word.text.startswith("Boats"))
    begins = (
        (4000 < boat.left < 5000 and boat.top < 1000) if rotation == 90 else (boat.right > 9500 and boat.top > 4000)
    )
    assert begins, boat


def test_chinese_and_english_on_one_page(parse: Parse) -> None:
    """Both scripts in one picture, character by character."""
    text = text_of(parse(CHINESE.read_bytes(), "notice.png"))
    assert text.splitlines() == ["员工年假为每年十五天，未休完的可以顺延。", "Invoice 2026-117 is due in 30 days."]


def test_a_text_layer_that_says_nothing_is_not_used(parse: Parse) -> None:
    """Letters whose font does not say what they are: what the page shows is read instead."""
    from reportlab.lib.utils import ImageReader
    from reportlab.pdfgen.canvas import Canvas

    out = io.BytesIO()
    canvas = Canvas(out)
    canvas.setPageSize((595, 100))
    canvas.drawImage(ImageReader(scans.strip()), 0, 0, 595, 100)
    layer = canvas.beginText(20, 50)
    layer.setTextRenderMode(3)
    layer.textLine("xqz7kfw9j vbn3mtr8z qwx5pld2k zzkq4hgf1 mnb6vcx0q wrt2ypl9s kjh4gfd7x zxq1bnm8v qpw3xkz6r")
    canvas.drawText(layer)
    canvas.save()
    assert text_of(parse(out.getvalue(), "garbled.pdf")) == LINES[0]


def test_pictures_that_are_too_large_or_damaged_are_refused(parse: Parse) -> None:
    """A small file that would unpack to gigabytes, and files that end too early, say what is wrong with them."""
    size = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 40_000, 1, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + size + struct.pack(">I", zlib.crc32(size))
    bomb += struct.pack(">I", 8) + b"IDAT" + bytes(12)
    with pytest.raises(TooLargeError, match="2400 million pixels"):
        parse(bomb, "bomb.png")
    whole = scans.saved(scans.strip(), "JPEG")
    for data in (whole[: len(whole) // 2], b"\x89PNG\r\n\x1a\n" + bytes(200), b"II*\x00" + b"\xff" * 60):
        with pytest.raises(BadInputError, match=r"damaged|incomplete") as caught:
            parse(data, "scan")
        assert caught.value.hint


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Callable[..., ParserPool]]:
    """Pools with settings of their own."""
    pools: list[ParserPool] = []

    def make(**settings: object) -> ParserPool:
        pools.append(pool_with(tmp_path, **settings))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def read(pool: ParserPool, tmp_path: Path, data: bytes, name: str = "scan.png") -> ParsedFile:
    path = tmp_path / "upload"
    path.write_bytes(data)
    return pool.parse(path, name, chunk_tokens=200, overlap=24)


def test_switched_off_pictures_are_refused(own: Callable[..., ParserPool], tmp_path: Path) -> None:
    """Off means that no process recognises anything, and that the message says so."""
    pool = own(ocr=False)
    with pytest.raises(BadInputError, match="switched off"):
        read(pool, tmp_path, scans.saved(scans.strip()))
    with pytest.raises(BadInputError, match="no text layer"):
        read(pool, tmp_path, scans.pdf_of(scans.strip()), "scan.pdf")
    assert until(lambda: not psutil.Process(pool.pids()[0]).children())


def test_the_engine_is_loaded_in_its_own_process_alone(own: Callable[..., ParserPool], tmp_path: Path) -> None:
    """Neither this process nor the fork server holds it, its limit is its own, it gives way to others, and it ends when
    it is not needed: 600 MB are there only while scans are read.
    """
    import resource

    pool = own(ocr_memory_mb=1900, idle_seconds=1.0)
    assert text_of(read(pool, tmp_path, scans.saved(scans.strip()))) == LINES[0]
    process = recognizer(pool)
    assert resource.prlimit(process.pid, resource.RLIMIT_AS)[0] == 1900 * 1024 * 1024
    assert process.nice() >= 15
    assert "cv2" in Path(f"/proc/{process.pid}/maps").read_text()
    server = Path(f"/proc/{pool.pids()[0]}/maps").read_text()
    assert not any(f"/{name}/" in server for name in MODULES)
    assert not any(name in sys.modules for name in MODULES)
    assert until(lambda: not process.is_running())


def test_a_page_outlives_the_process_that_reads_it(own: Callable[..., ParserPool], tmp_path: Path) -> None:
    """Somebody kills the process between two files: the next page gets another one, and the file is read."""
    pool = own()
    read(pool, tmp_path, scans.saved(scans.strip()))
    process = recognizer(pool)
    process.kill()
    assert until(lambda: not process.is_running())
    assert text_of(read(pool, tmp_path, scans.saved(scans.strip(LINES[1:2])))) == LINES[1]
    assert recognizer(pool).pid != process.pid


def test_too_little_memory_for_the_engine_is_no_fault_of_the_file(
    own: Callable[..., ParserPool], tmp_path: Path
) -> None:
    """Pages of text are kept and the others are noted; a file of pictures alone can be tried again, and says how."""
    pool = own(ocr_memory_mb=300)
    found = read(pool, tmp_path, scans.pdf_of("A page of ordinary text.", scans.strip()), "mixed.pdf")
    assert text_of(found) == "A page of ordinary text."
    assert notes(found) == ["Text recognition failed on page 2, which is a picture"]
    with pytest.raises(UnavailableError) as caught:
        read(pool, tmp_path, scans.saved(scans.strip()))
    assert "MILLPOND_OCR_MEMORY_MB" in caught.value.hint
