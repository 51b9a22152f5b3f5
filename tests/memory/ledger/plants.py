"""Plants 100 MB in each kind of owner, in this process, and says where the ledger finds them.

`python -m tests.memory.ledger.plants GROUP` prints one line of JSON for each plant of a group: its owner, its bytes,
by how much that owner grew, and by how much "unnamed" did.
"""

from __future__ import annotations

import ctypes
import gc
import json
import mmap
import os
import random
import sys
import tempfile
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from services.held import HeldResource, Owner, Region, object_bytes
from services.memory.clock import Clock
from services.memory.ledger.accountant import Accountant
from services.memory.ledger.libc import stack_of

MEGABYTE = 1_000_000
SIZE = 100 * MEGABYTE

# Yields None when it is prepared, if that takes memory of its own, then what was planted.
Plant = Callable[[Accountant], Iterator[tuple[Owner, int] | None]]
Planted = Iterator[tuple[Owner, int] | None]
GROUPS: dict[str, list[Plant]] = {}


def plant(group: str) -> Callable[[Plant], Plant]:
    def register(function: Plant) -> Plant:
        GROUPS.setdefault(group, []).append(function)
        return function

    return register


def hold(accountant: Accountant, *held: HeldResource) -> None:
    accountant.add_holder(lambda: held)


# Python and malloc


@plant("allocators")
def small_python_objects(_accountant: Accountant) -> Planted:
    keep = [os.urandom(200) for _ in range(SIZE // 240)]
    yield Owner.PYTHON, sum(-(-sys.getsizeof(each) // 16) * 16 for each in keep)


@plant("allocators")
def large_python_objects(accountant: Accountant) -> Planted:
    from services.memory.objects.inspector import Inspector

    inspector = Inspector(Clock())
    accountant.set_census(lambda: inspector.last)
    inspector.census()
    yield None
    keep = [bytes([number]) * MEGABYTE for number in range(100)]
    inspector.census()
    yield Owner.PYTHON, object_bytes(keep)[0]


@plant("allocators")
def freed_python_objects(_accountant: Accountant) -> Planted:
    keep = [os.urandom(200) for _ in range(SIZE // 240)]
    # An arena goes back to the system when nothing in it lives.
    pins = keep[::500]
    keep.clear()
    yield Owner.PYTHON_FREE, SIZE - 240 * len(pins)


@plant("allocators")
def one_native_block(_accountant: Accountant) -> Planted:
    keep = np.ones(SIZE, np.uint8)
    yield Owner.NATIVE, keep.nbytes


@plant("allocators")
def many_native_blocks(_accountant: Accountant) -> Planted:
    with _blocks(SIZE // 2000, 1984):
        yield Owner.NATIVE, SIZE


@plant("allocators")
def freed_native_blocks(_accountant: Accountant) -> Planted:
    libc = _libc()
    with _blocks(SIZE // 2000, 1984):
        # At the top of the heap: what lies below cannot go back to the system.
        pin = libc.malloc(1984)
    yield Owner.NATIVE_FREE, SIZE
    libc.free(pin)


@plant("mappings")
def memory_that_was_never_touched(_accountant: Accountant) -> Planted:
    keep = np.empty(SIZE, np.uint8)
    read = np.zeros(SIZE, np.uint8)
    int(read.sum())
    yield Owner.NATIVE, 0
    del keep, read


@plant("mappings")
def unclaimed_anonymous_memory(_accountant: Accountant) -> Planted:
    untouched = np.empty(SIZE, np.uint8)
    with mmap.mmap(-1, SIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as area:
        area.write(b"x" * SIZE)
        yield Owner.UNNAMED, SIZE
    del untouched


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    return libc


@contextmanager
def _blocks(count: int, size: int) -> Iterator[None]:
    libc = _libc()
    pointers = np.empty(count, np.uint64)
    for number in range(count):
        pointers[number] = pointer = libc.malloc(size)
        ctypes.memset(pointer, 1, size)
    try:
        yield
    finally:
        for pointer in pointers:
            libc.free(int(pointer))


# Mappings


@plant("mappings")
def touched_stacks(_accountant: Accountant) -> Planted:
    done, ready = threading.Event(), threading.Barrier(5)
    before = threading.stack_size(64 << 20)

    def touch() -> None:
        stack = stack_of(threading.get_ident())
        assert stack is not None
        ctypes.memset(stack[0] + (1 << 20), 1, SIZE // 4)
        ready.wait()
        done.wait()

    threads = [threading.Thread(target=touch) for _ in range(4)]
    for thread in threads:
        thread.start()
    threading.stack_size(before)
    ready.wait()
    yield Owner.STACKS, SIZE
    done.set()
    for thread in threads:
        thread.join()


@plant("mappings")
def generated_code(_accountant: Accountant) -> Planted:
    access = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    with mmap.mmap(-1, SIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, access) as area:
        area.write(b"\xc3" * SIZE)
        yield Owner.KERNELS, SIZE


@plant("mappings")
def memory_file(_accountant: Accountant) -> Planted:
    descriptor = os.memfd_create("plant")
    os.truncate(descriptor, SIZE)
    with mmap.mmap(descriptor, SIZE) as area:
        os.close(descriptor)
        area.write(b"x" * SIZE)
        yield Owner.FILES, SIZE


@plant("mappings")
def mapped_file(_accountant: Accountant) -> Planted:
    with _mapped("plant.bin") as data:
        int(data.sum())
        yield Owner.FILES, SIZE


@plant("mappings")
def mapped_model_by_address(accountant: Accountant) -> Planted:
    with _mapped("model.safetensors") as data:
        int(data.sum())
        part = (data.ctypes.data + 8, SIZE - 8)
        hold(accountant, HeldResource("m", "", SIZE, 1, owner=Owner.MODELS, region=Region.NATIVE, ranges=(part,)))
        yield Owner.MODELS, SIZE


@plant("mappings")
def mapped_model_by_name(accountant: Accountant) -> Planted:
    with _mapped("model.gguf") as data:
        int(data.sum())
        files = ((str(data.filename), SIZE),)
        hold(accountant, HeldResource("g", "", SIZE, 1, owner=Owner.MODELS, region=Region.NATIVE, files=files))
        yield Owner.MODELS, SIZE


@plant("mappings")
def library(_accountant: Accountant) -> Planted:
    with _mapped("libplant.so.1") as data:
        int(data.sum())
        yield Owner.LIBRARIES, SIZE


@plant("mappings")
def relocated_library(_accountant: Accountant) -> Planted:
    with _mapped("libmoved.so", "c") as data:
        data[:] = 1
        yield Owner.RELOCATIONS, SIZE


@plant("mappings")
def database_file(_accountant: Accountant) -> Planted:
    with _mapped("plant.db-shm") as data:
        int(data.sum())
        yield Owner.DATABASE, SIZE


@contextmanager
def _mapped(name: str, mode: str = "r") -> Iterator[np.memmap]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder).resolve() / name
        path.write_bytes(os.urandom(MEGABYTE) * 100)
        yield np.memmap(path, mode=mode, dtype=np.uint8)


# Parts of Millpond and of libraries


@plant("parts")
def tensor_of_a_model(accountant: Accountant) -> Planted:
    import torch

    from services.knowledge.embedding.linear import ranges

    yield None
    # Many small ones lie among malloc's others, a big one in a mapping of its own.
    tensors = [torch.ones(2500) for _ in range(5000)] + [torch.ones(12_500_000)]
    places = tuple(part for tensor in tensors for part in ranges(tensor))
    size = sum(tensor.nbytes for tensor in tensors)
    hold(accountant, HeldResource("t", "", size, 1, owner=Owner.MODELS, region=Region.NATIVE, ranges=places))
    yield Owner.MODELS, size


@plant("parts")
def index_codes(accountant: Accountant) -> Planted:
    from services.knowledge.index.segment import Codec
    from services.knowledge.index.vector_index import VectorIndex

    count = SIZE // 396
    index = VectorIndex(384, Codec.wide(384))
    accountant.add_holder(lambda: [index.resource()])
    yield None
    codes = np.random.default_rng(0).integers(0, 256, (count, 384), np.uint8)
    index.load(np.arange(count), np.zeros(count, np.int32), codes)
    del codes
    yield Owner.INDEX, count * 396


@plant("parts")
def sqlite_cache(_accountant: Accountant) -> Planted:
    import sqlite3

    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA page_size = 65536")
    yield None
    connection.execute("CREATE TABLE plant (content BLOB)")
    connection.executemany("INSERT INTO plant VALUES (?)", ((os.urandom(MEGABYTE),) for _ in range(100)))
    yield Owner.DATABASE, SIZE
    connection.close()


@plant("parts")
def conversation_windows(accountant: Accountant) -> Planted:
    from collections import deque

    from services.chat.history import HistoryWindows, Turn

    yield None
    windows = HistoryWindows(None)  # type: ignore[arg-type]
    accountant.add_holder(lambda: [windows.held()])
    chance = random.Random(0)
    texts = [chance.randbytes(chance.choice([100, 9900])).decode("latin-1") for _ in range(SIZE // 5000)]
    for start in range(0, len(texts) - 100, 100):
        turns = zip(texts[start : start + 100 : 2], texts[start + 1 : start + 100 : 2], strict=True)
        windows._windows[str(start)] = deque((Turn(*turn) for turn in turns), maxlen=50)
    del texts[start + 100 :]
    yield Owner.CONVERSATIONS, sum(map(sys.getsizeof, texts))


@plant("parts")
def allocation_traces(_accountant: Accountant) -> Planted:
    from services.memory.ledger.libc import heap

    def malloc() -> int:
        figures = heap()
        assert figures is not None
        return figures.used + figures.mapped

    tracemalloc.start(1)
    yield None
    before = malloc()
    # Each is two small blocks; malloc holds the list of them, and the traces.
    keep = [bytearray(1) for _ in range(500_000)]
    yield Owner.TRACING, malloc() - before - sys.getsizeof(keep)
    tracemalloc.stop()


# The console


class _Streamlit:
    """What `console.streamlit_internals` asks of Streamlit's runtime."""

    def __init__(self) -> None:
        from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
        from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager

        self.uploaded_file_mgr = MemoryUploadedFileManager("/upload")
        self.media_file_mgr = self
        self._storage = MemoryMediaFileStorage("/media")
        self._session_mgr = _tabs(self)
        self.session: object = None
        self.sessions: list[_Streamlit] = []


def _tabs(shell: _Streamlit) -> object:
    import threading

    from streamlit.runtime.memory_session_storage import MemorySessionStorage
    from streamlit.runtime.websocket_session_manager import WebsocketSessionManager

    class Tabs(WebsocketSessionManager):
        def __init__(self) -> None:
            self._session_storage = MemorySessionStorage()
            self._storage_lock = threading.RLock()

        def list_active_sessions(self) -> list[_Streamlit]:  # type: ignore[override]
            return shell.sessions

    return Tabs()


_streamlit: _Streamlit | None = None


def _console(accountant: Accountant) -> _Streamlit:
    global _streamlit  # noqa: PLW0603 - one for all plants of this process
    if _streamlit is None:
        from console import holdings, streamlit_internals

        _streamlit = _Streamlit()
        streamlit_internals.exists = lambda: True  # type: ignore[assignment]
        streamlit_internals.get_instance = lambda: _streamlit  # type: ignore[assignment, return-value]
        accountant.add_holder(holdings.StreamlitHoldings())
    return _streamlit


@plant("console")
def uploaded_files(accountant: Accountant) -> Planted:
    from streamlit.proto.Common_pb2 import FileURLs
    from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec

    manager = _console(accountant).uploaded_file_mgr
    yield None
    sizes = [60 * MEGABYTE, 30 * MEGABYTE, *[10_000] * 1000]
    records = [UploadedFileRec(str(i), "a.txt", "text/plain", os.urandom(size)) for i, size in enumerate(sizes)]
    for record in records:
        manager.add_file("tab", record)
    # What a page has of them shares their content.
    pages = [UploadedFile(record, FileURLs()) for record in records]
    yield Owner.UPLOADS, SIZE
    del pages
    manager.remove_session_files("tab")


@plant("console")
def media_files(accountant: Accountant) -> Planted:
    storage = _console(accountant)._storage
    names = [storage.load_and_get_id(os.urandom(5 * MEGABYTE), "image/png", None) for _ in range(20)]  # type: ignore[arg-type]
    yield Owner.MEDIA, SIZE
    for name in names:
        storage.delete_file(name)


@plant("console")
def cached_results(accountant: Accountant) -> Planted:
    import streamlit

    _console(accountant)
    cached = streamlit.cache_data(show_spinner=False)(lambda number: os.urandom(10 * MEGABYTE + number))
    for number in range(10):
        cached(number)
    gc.collect()
    yield Owner.STREAMLIT_CACHES, SIZE
    cached.clear()


@plant("console")
def cached_objects(accountant: Accountant) -> Planted:
    import streamlit

    _console(accountant)

    @streamlit.cache_resource(show_spinner=False)
    def resource() -> object:
        return {"vectors": np.ones(SIZE // 2, np.uint8), "names": [os.urandom(200) for _ in range(SIZE // 2 // 240)]}

    resource()
    yield Owner.STREAMLIT_CACHES, SIZE
    resource.clear()


@plant("console")
def session_state(accountant: Accountant) -> Planted:
    shell = _console(accountant)
    shell.session = session = _session()
    shell.sessions = [shell]
    yield None
    yield Owner.SESSIONS, _fill(session)
    shell.sessions = []
    shell.session = None


@plant("console")
def expired_session(accountant: Accountant) -> Planted:
    shell = _console(accountant)
    shell.session = kept_by_mistake = _session()
    shell.sessions = [shell]
    accountant.take()
    shell.sessions = []
    shell.session = None
    yield None
    yield Owner.EXPIRED_SESSIONS, _fill(kept_by_mistake)
    del kept_by_mistake


def _fill(session: object) -> int:
    import pandas

    before = _allocated()
    state = session._session_state
    state["rows"] = [{"name": os.urandom(100).hex(), "number": float(number)} for number in range(80_000)]
    state["text"] = "x" * (20 * MEGABYTE)
    state["table"] = pandas.DataFrame({"a": np.ones(5_000_000)})
    return _allocated() - before


def _allocated() -> int:
    """Return what both allocators have in use."""
    from services.memory.ledger.allocator import AllocatorReader

    figures = AllocatorReader().read()
    assert figures.heap is not None
    assert figures.pymalloc is not None
    return figures.heap.used + figures.heap.mapped + figures.pymalloc.used


def _session() -> object:
    import asyncio

    import pandas  # noqa: F401 - what it takes is not the session's
    from streamlit.runtime.app_session import AppSession
    from streamlit.runtime.script_data import ScriptData
    from streamlit.runtime.scriptrunner.script_cache import ScriptCache

    async def create() -> AppSession:
        data = ScriptData(main_script_path=__file__, is_hello=False)
        return AppSession(data, _streamlit.uploaded_file_mgr, ScriptCache(), None, {})  # type: ignore[union-attr]

    return asyncio.run(create())


def run(group: str) -> Iterator[dict[str, object]]:
    accountant = Accountant(Clock())
    for function in GROUPS[group]:
        accountant._holders[:] = [each for each in accountant._holders if "lambda" not in repr(each)]
        gc.collect()
        accountant.take()
        with ExitStack() as closing:
            generator = function(accountant)
            closing.callback(lambda generator=generator: next(generator, None))
            _libc().malloc_trim(0)
            before = accountant.take()
            if (planted := next(generator)) is None:
                gc.collect()
                _libc().malloc_trim(0)
                before = accountant.take()
                planted = next(generator)
            assert planted is not None
            owner, size = planted
            after = accountant.take()
        assert sum(after.owners.values()) == after.rss
        grown = {str(each): after.owners[each] - before.owners[each] for each in Owner}
        yield {
            "plant": function.__name__,
            "owner": str(owner),
            "bytes": size,
            "found": grown[owner],
            "grown": {name: change for name, change in grown.items() if abs(change) > MEGABYTE},
            "unnamed": grown[Owner.UNNAMED],
            "overclaimed": after.overclaimed,
        }


if __name__ == "__main__":
    for line in run(sys.argv[1]):
        print(json.dumps(line), flush=True)
