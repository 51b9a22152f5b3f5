from __future__ import annotations

import contextlib
import io
import json
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.errors import BadInputError
from services.knowledge.formats.detect import detect, required_library
from services.knowledge.formats.encoding import encodings
from services.knowledge.formats.registry import FORMATS
from services.knowledge.formats.text import decode

SHORT = [
    "年假十五天",
    "你好，世界。",
    "报销截止日期是每月5号。",
    "黑豹队的防守只丢了308分",
    "合同编号 A-17 已签署",
    "中",
]
LONG = (
    "第一章 总则\n\n为规范公司差旅管理，合理控制费用，根据国家有关规定，结合公司实际情况，制定本办法。"
    "员工出差须事先填写申请单，经部门负责人批准后方可成行；未经批准的费用不予报销。\n"
)
ENGLISH = "The quarterly report is due on Friday.\nPlease send it to the office, room 12.\n"


@pytest.mark.parametrize("text", [*SHORT, LONG, ENGLISH, "naïve café – “quoted” 日本語のテキスト", "Привет, мир"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_marked_and_utf_8_text_is_exact(text: str, encoding: str) -> None:
    """UTF-8, and anything with a byte order mark, comes out as it went in."""
    assert decode(text.encode(encoding)) == text


@pytest.mark.parametrize("text", [*SHORT[:-1], LONG, ENGLISH])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "gb18030", "gbk"])
def test_unmarked_text_is_recognised_even_when_short(text: str, encoding: str) -> None:
    """UTF-16 without a mark and GB18030, from five characters on, are told apart."""
    assert decode(text.encode(encoding)) == text


def test_every_paragraph_of_a_real_corpus_is_recognised() -> None:
    """240 Chinese and 240 English paragraphs and 2,380 short questions, in each encoding; doubt becomes a note.

    An English text in GB18030 with a single sign in it is one in an encoding of DOS as well.
    """
    data = Path(os.environ.get("MILLPOND_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
    if not data.is_dir():
        pytest.skip("the question corpus is not beside the repository")
    wrong = []
    doubtful = 0
    for language in ("zh", "en"):
        articles = json.loads((data / f"xquad.{language}.json").read_text("utf-8"))["data"]
        paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
        texts = [p["context"] for p in paragraphs] + [qa["question"] for p in paragraphs for qa in p["qas"]]
        for encoding in ("gb18030", "utf-16-le", "utf-16-be"):
            for text in texts:
                found = encodings.decode(text.encode(encoding))
                if found.text != text.removeprefix("\ufeff"):
                    doubtful += 1
                    if (language, encoding, found.guessed) != ("en", "gb18030", True):
                        wrong.append((encoding, text))
    assert doubtful <= 5
    assert wrong == []


def test_western_text_in_one_byte_encodings_is_readable() -> None:
    """An old Windows text is not taken for Chinese."""
    text = (
        "Größe und Maß: Die Prüfung für Bürgerämter kostet fünf Euro. Éric déjà vu à Genève, où l'été est chaud. " * 4
    )
    assert decode(text.encode("cp1252")) == text


def test_one_damaged_byte_does_not_change_the_encoding() -> None:
    """The rest of a UTF-8 text stays readable."""
    data = (LONG * 20).encode()
    assert decode(data[:3000] + b"\xff" + data[3000:]).count("合理控制费用") == 20


def test_line_ends_become_unix_ones() -> None:
    """Old Mac and Windows line ends do not reach chunks."""
    assert decode(b"a\r\nb\rc\n") == "a\nb\nc\n"


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_are_refused(seed: int) -> None:
    """Noise is not text in any encoding."""
    with pytest.raises(BadInputError, match="binary"):
        decode(random.Random(seed).randbytes(5000))


@given(st.binary(max_size=300))
def test_any_bytes_become_text_or_an_error(data: bytes) -> None:
    """No input makes the decoder fail in another way, and what it returns can be stored."""
    try:
        text = decode(data)
    except BadInputError:
        return
    assert "\x00" not in text
    text.encode()


@given(st.binary(max_size=200), st.text(max_size=30))
def test_no_head_or_name_upsets_detection(data: bytes, name: str) -> None:
    """The helper process, which is not limited, only ever looks at a head and a name; nothing in them stops it."""
    assert required_library(b"%PDF-" + data, name) == "pdf"
    assert required_library(data, name) in {"pdf", "office", "html", ""}
    if data and not data.startswith(b"PK"):
        with contextlib.suppress(BadInputError):
            assert detect(io.BytesIO(data), name) in FORMATS


def test_comments_before_a_page_are_no_trap() -> None:
    """A head full of comments is looked at once, not in every combination."""
    assert required_library(b"<!---->" * 585, "x") == ""
    assert required_library(b"<!---->" * 500 + b"<html>", "x") == "html"
