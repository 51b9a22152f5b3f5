import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.api.multipart import PartBegins, PartData, PartEnds, events
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


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        (b'filename="=?utf-8?B?5oql5ZGKLnR4dA==?="', "报告.txt"),
        (b'filename="=?UTF-8?Q?M=C3=BCller.txt?="', "Müller.txt"),
        (b'filename="say %22yes%22.txt"', 'say "yes".txt'),
        (b'filename="say \\"yes\\".txt"', 'say "yes".txt'),
        (b'filename="100%25 sure.txt"', "100%25 sure.txt"),
        (b"filename*=UTF-8''%e6%8a%a5%e5%91%8a.txt", "报告.txt"),
        (b"filename*=iso-8859-1'de'M%FCller%20.txt", "Müller .txt"),
        (b"filename=\"plain.txt\"; filename*=UTF-8''other.txt", "plain.txt"),
        ('filename="Rückgabe für Küchengeräte.txt"'.encode("latin-1"), "Rückgabe für Küchengeräte.txt"),
        ('filename="退货费用说明.txt"'.encode("gbk"), "退货费用说明.txt"),
        (b'filename="C:\\Users\\anna\\offer.txt"', "offer.txt"),
        (b"filename=bare.txt", "bare.txt"),
    ],
)
def test_names_as_clients_write_them(sent: bytes, meant: str) -> None:
    """A name that is encoded in another way than browsers do is shown raw, or the part is no file."""
    form = FORM.replace(b'filename="\xe6\x8a\xa5\xe5\x91\x8a.txt"', sent)
    assert parts_of([form])[1][1] == meant
