import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.api.uploads import PartBegins, PartData, PartEnds, events
from services.core.errors import BadInputError

FORM = (
    b"--frontier\r\n"
    b'Content-Disposition: form-data; name="collection"\r\n\r\n'
    b"3\r\n"
    b"--frontier\r\n"
    b'Content-Disposition: form-data; name="file"; filename="\xe6\x8a\xa5\xe5\x91\x8a.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\n"
    b"one\r\n--front\r\ntwo\r\n"
    b"--frontier--\r\n"
)
TYPE = "multipart/form-data; boundary=frontier"
Part = tuple[str, str | None, bytes]


def parts_of(pieces: Sequence[bytes], content_type: str = TYPE) -> list[Part]:
    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async def read() -> list[Part]:
        found: list[Part] = []
        begun: PartBegins | None = None
        data = b""
        async for event in events(content_type, body()):
            if isinstance(event, PartBegins):
                begun, data = event, b""
            elif isinstance(event, PartData):
                data += event.data
            elif isinstance(event, PartEnds):
                assert begun is not None
                found.append((begun.field, begun.file, data))
        return found

    return asyncio.run(read())


@given(st.lists(st.integers(0, len(FORM)), max_size=8))
def test_pieces_do_not_matter(cuts: list[int]) -> None:
    """However the network cuts the body into pieces, the same parts come out."""
    edges = [0, *sorted(cuts), len(FORM)]
    pieces = [FORM[start:end] for start, end in itertools.pairwise(edges)]
    assert parts_of(pieces) == [("collection", None, b"3"), ("file", "报告.txt", b"one\r\n--front\r\ntwo")]


@given(st.integers(1, len(FORM) - 5))
def test_body_that_ends_early_is_refused(length: int) -> None:
    """A form that breaks off anywhere is refused, never taken as complete."""
    with pytest.raises(BadInputError):
        parts_of([FORM[:length]])


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", FORM),
        ("", FORM),
        (TYPE, b"no form at all"),
        (TYPE, b'--frontier\r\nContent-Disposition: form-data; filename="a"\r\n\r\nx\r\n--frontier--\r\n'),
        (TYPE, b""),
    ],
)
def test_what_is_no_form_is_refused(content_type: str, body: bytes) -> None:
    """Another kind of body, a missing boundary, a part without a name: each is bad input, not a defect."""
    with pytest.raises(BadInputError) as caught:
        parts_of([body], content_type)
    assert caught.value.hint


def test_file_name_that_is_not_utf8_stays_readable() -> None:
    """A name in another encoding costs some letters, not the file."""
    form = FORM.replace(b"\xe6\x8a\xa5\xe5\x91\x8a", b"caf\xe9")
    assert parts_of([form])[1][1] == "caf�.txt"
