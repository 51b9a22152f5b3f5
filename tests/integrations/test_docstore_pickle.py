from __future__ import annotations

import os
import pickle
import pickletools
import struct
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from langchain_community.docstore.in_memory import InMemoryDocstore
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding

from services.core.errors import BadInputError
from services.integrations.faiss_folder import StoredText, read_docstore
from tests.integrations.faiss_folders import MANUAL, rename_classes, write_folder


@pytest.fixture
def written(tmp_path: Path) -> bytes:
    """What LangChain pickles for three texts."""
    return (write_folder(tmp_path / "store", DeterministicFakeEmbedding(size=6)) / "index.pkl").read_bytes()


def read(tmp_path: Path, data: bytes) -> list[StoredText]:
    path = tmp_path / "index.pkl"
    path.write_bytes(data)
    return read_docstore(path)


def refused(tmp_path: Path, data: bytes, reason: str) -> None:
    """Assert that a file is refused with a reason, within little time and memory."""
    began = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(BadInputError, match=reason) as caught:
            read(tmp_path, data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "Nothing was imported" in caught.value.message
    assert "executed" in caught.value.hint
    assert time.monotonic() - began < 20
    assert peak < 64 * 1024 * 1024 + 40 * len(data)


def test_texts_and_metadata_come_back_in_the_order_of_the_index(tmp_path: Path, written: bytes) -> None:
    """What LangChain wrote is read to the last value, positions included."""
    found = read(tmp_path, written)
    assert [(text.text, text.metadata, text.position) for text in found] == [
        (document.page_content, document.metadata, position) for position, document in enumerate(MANUAL)
    ]


@pytest.mark.parametrize("protocol", [4, 5])
def test_every_protocol_that_langchain_can_have_used(tmp_path: Path, protocol: int) -> None:
    """Protocol 4 is the default since Python 3.8, the oldest that LangChain ran on; 5 is the newest."""
    store = InMemoryDocstore({str(number): document for number, document in enumerate(MANUAL)})
    data = pickle.dumps((store, {number: str(number) for number in range(len(MANUAL))}), protocol=protocol)
    assert [text.text for text in read(tmp_path, data)] == [document.page_content for document in MANUAL]


def test_class_paths_of_older_versions_are_known(tmp_path: Path, written: bytes) -> None:
    """Before its packages were split LangChain kept the same classes in other modules."""
    old = rename_classes(
        written,
        {
            ("langchain_community.docstore.in_memory", ""): ("langchain.docstore.in_memory", ""),
            ("langchain_core.documents.base", ""): ("langchain.schema.document", ""),
        },
    )
    assert b"langchain_c" not in old
    assert [text.text for text in read(tmp_path, old)] == [document.page_content for document in MANUAL]


def test_the_state_of_pydantic_1_is_known(tmp_path: Path) -> None:
    """Documents of pydantic 1 carry other names around the same fields."""
    data = docstore(document({"page_content": "Old.", "metadata": {"source": "a"}, "lookup_str": ""}, version=1))
    assert read(tmp_path, data) == [StoredText("Old.", {"source": "a"}, 0)]


def test_metadata_become_what_json_can_hold(tmp_path: Path) -> None:
    """Bytes, sets, tuples, NaN and lone surrogates are turned into something that a database takes."""
    metadata = {"a": (1, 2.5, True), "b": b"by\xfftes", "c": float("nan"), 7: {"x"}, "d": "\ud800\0!"}
    entries = {"1": Document(page_content="x\0y", metadata={})}
    entries["1"].metadata = metadata  # type: ignore[assignment]
    (text,) = read(tmp_path, pickle.dumps((InMemoryDocstore(entries), {0: "1"})))
    assert text == StoredText("xy", {"a": [1, 2.5, True], "b": "by\ufffdtes", "c": None, "7": ["x"], "d": "?!"}, 0)


def test_texts_without_a_position_come_last(tmp_path: Path) -> None:
    """A text that the index does not know is still a text."""
    entries = {name: Document(page_content=name) for name in ("one", "two", "three")}
    found = read(tmp_path, pickle.dumps((InMemoryDocstore(entries), {1: "one", 0: "three"})))
    assert [(text.text, text.position) for text in found] == [("three", 0), ("one", 1), ("two", None)]


# Hostile files


class Command:
    """Pickles as a call of `os.system`."""

    def __init__(self, line: str) -> None:
        self.line = line

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.line,)


def short(text: str) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text.encode()


DOCUMENT = short("langchain_core.documents.base") + short("Document") + b"\x93"
POPEN = short("subprocess") + short("Popen") + b"\x93" + short("touch {sentinel}") + b"\x85"


def docstore(*documents: bytes) -> bytes:
    """Return a pickle by hand: a document store with these documents, each at its place."""
    entries = b"".join(short(str(number)) + data for number, data in enumerate(documents))
    positions = b"".join(b"K" + bytes([number]) + short(str(number)) for number in range(len(documents)))
    store = short("langchain_community.docstore.in_memory") + short("InMemoryDocstore") + b"\x93)\x81"
    return b"\x80\x04" + store + b"}" + short("_dict") + b"}(" + entries + b"usb}(" + positions + b"u\x86."


def document(fields: dict[str, Any], *, version: int = 2) -> bytes:
    state = {"__dict__": fields}
    if version == 1:
        state |= {"__fields_set__": {name.encode().decode() for name in fields}, "__private_attribute_values__": {}}  # type: ignore[dict-item]
    return DOCUMENT + b")\x81" + plain(state) + b"b"


def plain(value: object) -> bytes:
    """Return the instructions for a plain value, without its memo: that numbers from the first instruction on."""
    data = pickletools.optimize(pickle.dumps(value, protocol=4))
    changed = bytearray()
    ends = [position for _opcode, _argument, position in pickletools.genops(data)][1:]
    for (opcode, _argument, position), end in zip(pickletools.genops(data), [*ends, len(data)], strict=True):
        if opcode.name not in {"PROTO", "FRAME", "STOP", "MEMOIZE"}:
            changed += data[position:end]
    return bytes(changed)


def with_metadata(value: bytes) -> bytes:
    """Return a document with the metadata {"k": value}, by the instructions for the value."""
    fields = short("page_content") + short("x") + short("metadata") + b"}" + short("k") + value + b"s"
    return DOCUMENT + b")\x81}" + short("__dict__") + b"}(" + fields + b"usb"


def test_documents_by_hand_are_read(tmp_path: Path) -> None:
    """The helpers of these tests write what LangChain writes; what they spoil below is what is refused."""
    assert read(tmp_path, docstore(document({"page_content": "x", "metadata": {}}))) == [StoredText("x", {}, 0)]


CALLS = {
    "GLOBAL and REDUCE": b"cos\nsystem\n(S'touch {sentinel}'\ntR.",
    "STACK_GLOBAL and REDUCE": b"\x80\x04"
    + POPEN.replace(b"\x0asubprocess\x8c\x05Popen", b"\x02os\x8c\x06system")
    + b"R.",
    "eval": b"cbuiltins\neval\n(V__import__('os').system('touch {sentinel}')\ntR.",
    "eval of Python 2": b"c__builtin__\neval\n(V__import__('os').system('touch {sentinel}')\ntR.",
    "INST": b"(S'touch {sentinel}'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nS'touch {sentinel}'\no.",
    "NEWOBJ of a class of ours": b"\x80\x04" + POPEN + b"\x81.",
    "NEWOBJ_EX": b"\x80\x04" + POPEN + b"}\x92.",
    "a dotted name in a known module": b"\x80\x04"
    + short("langchain_core.documents.base")
    + short("os.system")
    + b"\x93.",
    "EXT1": b"\x80\x02\x82\x01.",
    "EXT2": b"\x80\x02\x83\x01\x00.",
    "EXT4": b"\x80\x02\x84\x01\x00\x00\x00.",
    "PERSID": b"Ptouch\n.",
    "BINPERSID": b"\x80\x04" + short("touch") + b"Q.",
    "NEXT_BUFFER": b"\x80\x05\x97.",
    "BYTEARRAY8": b"\x80\x05\x96" + struct.pack("<Q", 1) + b"x.",
    "REDUCE of a class that is known": b"\x80\x04" + DOCUMENT + b")R.",
}


@pytest.mark.parametrize("name", CALLS)
def test_nothing_is_called(tmp_path: Path, name: str) -> None:
    """Whatever would look a name up, call it or ask its reader for an object is refused."""
    sentinel = tmp_path / "touched"
    refused(tmp_path, CALLS[name].replace(b"{sentinel}", str(sentinel).encode()), "asks for|instruction|class")
    assert not sentinel.exists()


@pytest.mark.parametrize("place", ["text", "metadata", "entry", "position", "second"])
def test_a_call_inside_of_a_good_file_is_refused(tmp_path: Path, place: str) -> None:
    """One call among good documents spoils the file as a whole, wherever it is."""
    sentinel = tmp_path / "touched"
    call = Command(f"touch {sentinel}")
    bad = Document(page_content="x", metadata={"deep": [{"er": call}]} if place == "metadata" else {})
    if place == "text":
        bad.page_content = call  # type: ignore[assignment]
    entries: dict[str, Any] = {"1": Document(page_content="good"), "2": call if place == "entry" else bad}
    positions: dict[Any, Any] = {0: "1", 1: call if place == "position" else "2"}
    refused(tmp_path, pickle.dumps((InMemoryDocstore(entries), call if place == "second" else positions)), "system")
    assert not sentinel.exists()


@pytest.mark.parametrize("name", ["datetime", "path", "array", "function"])
def test_other_objects_are_refused_by_name(tmp_path: Path, name: str) -> None:
    """Harmless classes are refused as well, and named: knowing them would mean to run them."""
    from datetime import UTC, datetime

    import numpy as np

    values = {"datetime": datetime.now(UTC), "path": Path("a"), "array": np.zeros(2), "function": len}
    wanted = {"datetime": "datetime", "path": "pathlib", "array": "numpy", "function": "builtins.len"}
    entries = {"1": Document(page_content="x", metadata={"value": values[name]})}
    refused(tmp_path, pickle.dumps((InMemoryDocstore(entries), {0: "1"})), f"asks for {wanted[name]}")


GOOD = {"page_content": "x", "metadata": {}}
STATES = {
    "a docstore with more state": docstore(document(GOOD)).replace(
        short("_dict"), short("_dict") + b"}" + short("more")
    ),
    "a document of unknown fields": docstore(document({**GOOD, "page": 1})),
    "a document of unknown state": docstore(DOCUMENT + b")\x81" + plain({"__dict__": GOOD, "__class__": "x"}) + b"b"),
    "a document without state": docstore(DOCUMENT + b")\x81"),
    "a document without text": docstore(document({"metadata": {}})),
    "a text that is a number": docstore(document({**GOOD, "page_content": 7})),
    "metadata that are a list": docstore(document({**GOOD, "metadata": []})),
    "an entry that is a text": docstore(short("x")),
    "state that is a list": docstore(DOCUMENT + b")\x81]b"),
    "state with slots": docstore(DOCUMENT + b")\x81N}\x86b"),
    "state set twice": docstore(document(GOOD) + plain({"__dict__": GOOD}) + b"b"),
    "state of a dictionary": docstore(b"}}b"),
    "arguments for a document": docstore(DOCUMENT + b"" + short("x") + b"\x85\x81"),
    "only a docstore": docstore(document(GOOD)).split(b"}(K")[0] + b".",
    "only a number": b"\x80\x04K\x01.",
    "a position without a text": docstore(document(GOOD)).replace(b"K\x00" + short("0"), b"K\x00" + short("7")),
    "a position that is a text": docstore(document(GOOD)).replace(b"K\x00" + short("0"), short("x") + short("0")),
    "a key that is a list": b"\x80\x04}]K\x01s.",
    "a huge key": b"\x80\x04}" + b"\x8a\x08" + (2**62).to_bytes(8, "little") + b"K\x01s.",
    "appending to a tuple": b"\x80\x04)K\x01a.",
    "setting items of a list": b"\x80\x04]K\x01K\x02s.",
    "adding to a list": b"\x80\x04](K\x01\x90.",
}


@pytest.mark.parametrize("name", STATES)
def test_what_is_no_document_store_is_refused(tmp_path: Path, name: str) -> None:
    """Values of another shape than LangChain's are refused, not guessed at."""
    refused(tmp_path, STATES[name], "is not a document store that can be read")


def bomb_of_lists() -> bytes:
    """Ten levels of ten references each: ten billion values in five hundred bytes."""
    levels = b"](" + short("lol") * 10 + b"e\x940"
    for number in range(9):
        levels += b"](" + (b"h" + bytes([number])) * 10 + b"e\x940"
    return levels + b"h\x09"


BOMBS = {
    "nested references": docstore(with_metadata(bomb_of_lists())),
    "a list within itself": docstore(with_metadata(b"]\x94h\x00a")),
    "deep nesting": b"\x80\x04" + b"]" * 200_000 + b"a" * 199_999 + b".",
    "many marks": b"\x80\x04" + b"(" * 100_000 + b".",
    "many sets": b"\x80\x04" + b"\x8f" * 100_000 + b".",
    "a memo without end": b"\x80\x04N" + b"\x94" * 250_000 + b".",
    "a memo far away": b"\x80\x04Nr\xff\xff\xff\xffj\xfe\xff\xff\xff.",
    "a negative place in the memo": b"Np-1\n.",
    "a memo that is not there": b"\x80\x04h\x07.",
    "a text of eight exabytes": b"\x80\x04\x8d" + struct.pack("<Q", 2**63 - 1) + b"x.",
    "bytes of eight exabytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**63 - 1) + b"x.",
    "a number of two gigabytes": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"x.",
    "a number of negative length": b"\x80\x02\x8b" + struct.pack("<i", -1) + b"x.",
    "a number of a million digits": b"I" + b"9" * 1_000_000 + b"\n.",
    "a long number of a million digits": b"L" + b"9" * 1_000_000 + b"L\n.",
    "a number of a megabyte as metadata": docstore(with_metadata(b"\x8b" + struct.pack("<i", 2**20) + b"\x01" * 2**20)),
    "a frame of eight exabytes": b"\x80\x04\x95" + struct.pack("<Q", 2**63 - 1) + b"N.",
    "a text that is not UTF-8": b"\x80\x04\x8c\x02\xff\xfe.",
    "an unknown instruction": b"\x80\x04\xff.",
    "an unknown protocol": b"\x80\xffN.",
    "nothing": b"",
    "no stop": b"\x80\x04N",
    "a stop alone": b".",
    "a tuple of nothing": b"\x80\x04\x87.",
    "a text among markup": b"<html><body>Not found</body></html>",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_and_debris_are_refused(tmp_path: Path, name: str) -> None:
    """What would take endless memory, time or nesting is refused with bounded use of all three."""
    refused(tmp_path, BOMBS[name], "is not a document store that can be read")


@pytest.mark.parametrize("name", ["nested references", "a list within itself"])
def test_endless_metadata_are_refused_as_such(tmp_path: Path, name: str) -> None:
    """Both are well-formed pickles that `pickle.load` would take; only the copy of their values has no end."""
    refused(tmp_path, BOMBS[name], "nested too deeply")


def test_one_text_by_a_thousand_references_is_refused(tmp_path: Path) -> None:
    """A text that costs the file nothing the second time must not fill the disk."""
    text = "x" * 1_000_000
    entries = {str(number): Document(page_content=text) for number in range(1000)}
    data = pickle.dumps((InMemoryDocstore(entries), dict(enumerate(entries))))
    assert len(data) < 2_000_000
    refused(tmp_path, data, "too much memory")


def test_a_file_that_is_cut_off_anywhere_is_refused(tmp_path: Path, written: bytes) -> None:
    """No beginning of a good file passes for a whole one."""
    for length in range(0, len(written), 7):
        refused(tmp_path, written[:length], "is not a document store that can be read")


def test_spoilt_bytes_never_do_more_than_be_refused(tmp_path: Path, written: bytes) -> None:
    """A file with any one byte changed is read or refused; nothing else ever happens."""
    for position in range(len(written)):
        spoilt = bytearray(written)
        spoilt[position] ^= (0x01, 0x80, 0x10)[position % 3]
        try:
            read(tmp_path, bytes(spoilt))
        except BadInputError:
            continue


def test_a_file_over_the_limit_is_not_opened(tmp_path: Path) -> None:
    """The size alone is enough to refuse; a sparse file of two gigabytes costs nothing."""
    path = tmp_path / "index.pkl"
    with path.open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(BadInputError, match="larger than 1024 MB"):
        read_docstore(path)
    with pytest.raises(BadInputError, match="cannot be read"):
        read_docstore(tmp_path / "missing.pkl")
