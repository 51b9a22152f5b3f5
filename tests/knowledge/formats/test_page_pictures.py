from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from services.core.errors import BadInputError, NotFoundError
from services.knowledge.parsing.pool import ParserPool
from tests.knowledge.parsing import samples

LINES = [
    "Annual leave is fifteen days a year. Leave that was not",
    "taken can be carried over. An artist gets no art.",
]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page"
    path.write_bytes(samples.pdf([LINES, ["Second page."]]))
    return path


def drawn(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def marked(data: bytes) -> set[int]:
    """Return the rows of the picture that have marked pixels, in steps of lines of text."""
    picture = drawn(data)
    scale = picture.width / 595
    pixels = picture.load()
    assert pixels is not None
    return {
        round((y / scale - 78) / 16)
        for y in range(picture.height)
        for x in range(0, picture.width, 2)
        if (pixel := pixels[x, y])[0] > 200 and pixel[2] < 190  # type: ignore[index]
    }


def width_marked(data: bytes) -> int:
    picture = drawn(data)
    pixels = picture.load()
    assert pixels is not None
    columns = (
        x
        for x in range(picture.width)
        if any(pixels[x, y][2] < 190 < pixels[x, y][0] for y in range(picture.height))  # type: ignore[index]
    )
    return sum(1 for _ in columns)


def test_a_page_is_drawn_in_the_width_that_was_asked_for(pool: ParserPool, page: Path) -> None:
    """The picture is a PNG of that width in the page's proportions; nothing is marked unless asked."""
    data = pool.render_page(page, 1, 500)
    assert data.startswith(b"\x89PNG")
    assert abs(drawn(data).width - 500) <= 1
    assert 1.38 < drawn(data).height / drawn(data).width < 1.45
    assert marked(data) == set()


def test_cited_words_are_marked_across_lines(pool: ParserPool, page: Path) -> None:
    """A quote that runs on into the next line is marked on both."""
    assert marked(pool.render_page(page, 1, 600, ["Leave that was not taken can be carried over."])) == {0, 1}
    assert marked(pool.render_page(page, 1, 600, ["fifteen days"])) == {0}


def test_words_inside_words_are_not_marked(pool: ParserPool, page: Path) -> None:
    """ "art" is marked at the end of the line, not in "artist"."""
    alone = width_marked(pool.render_page(page, 1, 600, ["art"]))
    assert 0 < alone < width_marked(pool.render_page(page, 1, 600, ["artist"]))
    assert marked(pool.render_page(page, 1, 600, ["rtis"])) == set()


def test_a_quote_that_is_partly_there_is_marked_by_sentences(pool: ParserPool, page: Path) -> None:
    """A chunk that goes on over the page's end still shows what is on this page."""
    quote = "Annual leave is fifteen days a year. This sentence is on another page."
    assert marked(pool.render_page(page, 1, 600, [quote])) == {0}


def test_chinese_words_are_marked(pool: ParserPool, tmp_path: Path) -> None:
    """Chinese has no word borders; a term is marked wherever it stands."""
    path = tmp_path / "zh"
    path.write_bytes(samples.pdf([["员工年假为每年十五天。"]], chinese=True))
    assert marked(pool.render_page(path, 1, 600, ["年假"])) == {0}


def test_a_row_of_a_table_is_marked(pool: ParserPool, tmp_path: Path) -> None:
    """A quote of a row has bars that the page has not; its cells are marked, those of other rows are not."""
    path = tmp_path / "table"
    path.write_bytes(samples.pdf([["Berth Fee Power", "North 142 yes", "East 211 no", "Visitor 96 no"]]))
    assert marked(pool.render_page(path, 1, 600, ["| East | 211 | no |"])) == {2}
    # A chunk's header line and a row, and cells in another order.
    assert marked(pool.render_page(path, 1, 600, ["| Berth | Fee | Power |\n| Visitor | 96 | no |"])) == {0, 3}
    assert marked(pool.render_page(path, 1, 600, ["| no | 211 | East |"])) == {2}


@pytest.mark.parametrize("number", [0, 3, -1])
def test_a_page_that_is_not_there_is_not_found(pool: ParserPool, page: Path, number: int) -> None:
    """The error says how many pages there are."""
    with pytest.raises(NotFoundError, match="2"):
        pool.render_page(page, number)


def test_what_is_no_pdf_cannot_be_drawn(pool: ParserPool, tmp_path: Path) -> None:
    """A damaged file is an error with a hint here, too."""
    path = tmp_path / "text"
    path.write_text("no PDF")
    with pytest.raises(BadInputError) as caught:
        pool.render_page(path, 1)
    assert caught.value.hint


def test_an_enormous_page_is_drawn_small_enough(pool: ParserPool, tmp_path: Path) -> None:
    """A page of absurd proportions does not ask for gigabytes of pixels."""
    from reportlab.pdfgen.canvas import Canvas

    out = io.BytesIO()
    canvas = Canvas(out, pagesize=(10, 14_400))
    canvas.showPage()
    canvas.save()
    path = tmp_path / "tall"
    path.write_bytes(out.getvalue())
    picture = drawn(pool.render_page(path, 1, 4000))
    assert picture.width * picture.height <= 41_000_000
