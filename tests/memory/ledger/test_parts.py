from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys
import threading
import tracemalloc
from collections import deque
from pathlib import Path

import numpy as np
import pytest

from services.core.memory_report import Owner, Region
from services.memory.ledger import address_space, foreign
from services.memory.ledger.address_space import Area, AreaClassifier, python_thread_stacks
from services.memory.ledger.allocators import Pymalloc, PymallocReader, malloc_heap, parse_pymalloc, thread_stack
from services.memory.ledger.mmap_blocks import BlockFinder
from services.memory.ledger.object_size import ObjectSizer
from services.memory.ledger.smaps import PAGE, MemoryMapping, Residency, SmapsReader, parse_smaps
from tests.servers import ROOT

SMAPS = b"""\
55e0-55f0 r--p 00001000 fe:00 260386                     /usr/lib/name with blanks.so (deleted)
Size:                  8 kB
KernelPageSize:        4 kB
Rss:                   8 kB
Pss:                   2 kB
Shared_Clean:          0 kB
Private_Clean:         1 kB
Private_Dirty:         3 kB
Referenced:            8 kB
Anonymous:             4 kB
Something_New:         7 kB
Swap:                  5 kB
VmFlags: rd mr mw me
7fff00000000-7fff00001000 rw-p 00000000 00:00 0
Rss:                   4 kB
Pss:                   4 kB
Private_Clean:         0 kB
Private_Dirty:         4 kB
Anonymous:             4 kB
VmFlags: rd wr
"""


def test_mappings_are_read_whatever_else_a_kernel_says() -> None:
    """Fields come and go with the kernel's version; names may have blanks."""
    first, second = parse_smaps([memoryview(SMAPS[:100]), memoryview(SMAPS[100:])])
    k = 1024
    path = "/usr/lib/name with blanks.so (deleted)"
    assert first == MemoryMapping(0x55E0, 0x55F0, "r--p", 0x1000, path, 8 * k, 2 * k, 4 * k, 4 * k, 5 * k)
    assert second == MemoryMapping(0x7FFF00000000, 0x7FFF00001000, "rw-p", 0, "", 4 * k, 4 * k, 4 * k, 4 * k, 0)


def test_all_mappings_of_this_process_are_read() -> None:
    """A mapping that the expression does not match would be memory that nobody sees."""
    reader = SmapsReader()
    reader._buffer_bytes = PAGE  # several parts
    text = b"".join(reader.read())
    assert len(parse_smaps([memoryview(text)])) == text.count(b"\nVmFlags:")
    assert len(reader.read()) == 1


def test_the_parts_add_up_to_the_mappings() -> None:
    """Cutting mappings into stacks, blocks and the rest must neither lose nor make bytes."""
    blocks = [np.ones(size, np.uint8) for size in (300_000, 5_000_000, 40_000_000)]
    mappings = parse_smaps(SmapsReader().read())
    figures = malloc_heap()
    assert figures is not None
    with Residency() as residency:
        finder = BlockFinder(residency, figures.mapped)
        parts = AreaClassifier(mappings, residency, finder).classify()
    assert sum(part.rss for part in parts) == sum(mapping.rss for mapping in mappings)
    assert all(part.rss >= 0 for part in parts)
    assert finder.found == pytest.approx(figures.mapped, abs=2_000_000)
    big = blocks[-1].ctypes.data
    (place,) = {part.area for part in parts if part.start <= big < part.end}
    assert place is Area.BLOCKS


def test_what_only_looks_like_a_block_is_none() -> None:
    """Data that reads as a block of nearly all addresses: adding its size wraps around, and it would seem to fit."""
    area = np.frombuffer(mmap.mmap(-1, 6 * PAGE), np.uint64)
    words = area.reshape(6, PAGE // 8)
    words[:, 7] = 1  # every page is there
    words[0, :2] = 0, 2**64 - PAGE | 2
    words[1, :2] = 0, 2**48 | 2
    words[2, :2] = 0, 2 * PAGE | 2
    start = area.ctypes.data
    with Residency() as residency:
        finder = BlockFinder(residency, 10**9)
        found = finder.blocks_within(start, start + area.nbytes, start, np.ones(6, np.bool_))
        assert found == [(start + 2 * PAGE, start + 4 * PAGE)]
        assert finder.found == 2 * PAGE
        assert BlockFinder(residency, 0, np.array([start], np.uint64)).found == 0


def test_known_blocks_are_probed_again_and_not_searched_for() -> None:
    """A search visits every page: it must not be needed at each look. What was freed must not stay a block."""
    block = np.ones(50_000_000, np.uint8)
    address = block.ctypes.data // PAGE * PAGE
    with Residency() as residency:
        known = np.array([address], np.uint64)
        finder = BlockFinder(residency, 0, known)
        assert finder.found == pytest.approx(block.nbytes, abs=2 * PAGE)
        del block
        assert BlockFinder(residency, 0, known).found == 0


def test_memory_that_is_gone_is_no_crash() -> None:
    """Between looking and reading another thread may unmap: the kernel says so, this process lives on."""
    with Residency() as residency:
        here = np.arange(4, dtype=np.uint64) + 7
        words = residency.words(np.array([here.ctypes.data, 4096, here.ctypes.data + 8], np.uint64), 1)
        assert words is not None
        assert words[:, 0].tolist() == [7, 0, 8]
        assert residency.pages(1 << 46, (1 << 46) + 10 * PAGE) is not None


def test_pages_that_were_only_read_are_not_resident() -> None:
    """Reading fresh memory maps the kernel's page of zeros, which is nobody's and not in RSS."""
    data = np.frombuffer(mmap.mmap(-1, 64 * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), np.uint8)
    assert int(data.sum()) == 0
    data[: 8 * PAGE] = 1
    with Residency() as residency:
        pages = residency.pages(data.ctypes.data, data.ctypes.data + data.nbytes)
    assert pages is not None
    assert int(pages.sum()) == 8


def test_memory_shared_with_a_forked_child_is_still_resident() -> None:
    """A census forks: a ledger that is made meanwhile must not find the process empty."""
    data = np.ones(64 * PAGE, np.uint8)
    start = -(-data.ctypes.data // PAGE) * PAGE
    with Residency() as residency:
        assert residency.known
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.read(reader, 1)
        os._exit(0)
    try:
        with Residency() as residency:
            pages = residency.pages(start, start + 60 * PAGE)
    finally:
        os.write(writer, b"x")
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)
    assert pages is not None
    assert pages.all()


def test_the_bss_of_a_library_is_known() -> None:
    """libpython's zero-initialised data lies behind its last mapping; files that are no libraries have none."""
    libraries = {mapping.path for mapping in parse_smaps(SmapsReader().read()) if ".so" in mapping.path}
    found = [part for path in libraries for part in address_space.bss_ranges(path)]
    assert found
    assert all(0 < start < end < 1 << 30 for start, end in found)
    assert address_space.bss_ranges(__file__) == ()
    assert address_space.bss_ranges("/nowhere") == ()


PYMALLOC = """\
# bytes in allocated blocks        =          116,639,152
# bytes in available blocks        =              479,040
108 unused pools * 16384 bytes     =            1,769,472
# bytes lost to pool headers       =              345,456
# bytes lost to quantization       =              452,000
# bytes lost to arena alignment    =              901,120
"""


def test_the_words_of_pythons_allocator_are_understood() -> None:
    """The text changes between versions: what is not understood is unknown, not zero."""
    used = 116_639_152 + 345_456 + 452_000
    for arenas in (
        "115 arenas * 1048576 bytes/arena   =          120,586,240\n",
        "115 arenas * 1 bytes/arena=120586240\n",
    ):
        assert parse_pymalloc(arenas + PYMALLOC) == Pymalloc(120_586_240, used)
    assert parse_pymalloc(PYMALLOC) is None
    assert parse_pymalloc("something else") is None
    assert parse_pymalloc("") == Pymalloc(0, 0)


def test_pythons_allocator_is_read_without_touching_stderr() -> None:
    """The figures are printed into memory: not a byte may reach descriptor 2, where other threads write their own."""
    program = """
import os, sys, threading
from services.memory.ledger.allocators import PymallocReader
reader, stop = PymallocReader(), threading.Event()
def write():
    while not stop.is_set():
        os.write(2, b"mine\\n")
thread = threading.Thread(target=write); thread.start()
before = reader.read()
keep = [os.urandom(200) for _ in range(50_000)]
for _ in range(50): after = reader.read()
stop.set(); thread.join()
grown = after.used - before.used
assert abs(grown - 50_000 * 240) < 1_000_000, grown
assert after.arenas >= after.used
"""
    completed = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr[-1000:]
    assert set(completed.stderr.split()) == {"mine"}


def test_while_tracing_pythons_figures_are_estimated() -> None:
    """tracemalloc makes Python's allocator say that it is not there: its memory must not lose its name meanwhile."""
    reader = PymallocReader()
    before = reader.read()
    assert before is not None
    tracemalloc.start()
    try:
        keep = [bytes([number % 256]) * 100 for number in range(100_000)]
        traced = reader.read()
    finally:
        tracemalloc.stop()
    assert traced is not None
    assert traced.estimated
    assert before.used < traced.used < before.used + 3 * sum(map(sys.getsizeof, keep))


def test_stacks_of_python_threads_are_known_exactly() -> None:
    """What a thread touches lies in the range that is reported for it; a thread that has ended is not asked."""
    seen: list[int] = []
    go, ready = threading.Event(), threading.Event()

    def body() -> None:
        seen.append(ctypes.addressof(ctypes.c_char_p()))
        own = thread_stack(threading.get_ident())
        assert own is not None
        seen.extend(own)
        ready.set()
        go.wait()

    thread = threading.Thread(target=body)
    thread.start()
    ready.wait()
    assert (seen[1], seen[2]) in python_thread_stacks()
    go.set()
    thread.join()
    assert (seen[1], seen[2]) not in python_thread_stacks()


def test_sqlite_tells_what_it_holds() -> None:
    """The caches of all connections together, wherever Python's SQLite comes from."""
    import sqlite3

    mappings = parse_smaps(SmapsReader().read())
    connection = sqlite3.connect(":memory:")
    before = foreign.sqlite_bytes(mappings)
    connection.execute("CREATE TABLE t (b BLOB)")
    connection.execute("INSERT INTO t VALUES (zeroblob(5000000))")
    after = foreign.sqlite_bytes(mappings)
    connection.close()
    assert before is not None
    assert after is not None
    assert 5_000_000 <= after - before < 7_000_000


def test_what_comes_with_the_gpus_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA takes anonymous memory when it starts, and says nothing: later unnamed growth must stay unnamed."""
    driver = foreign.DriverMemory()
    started = False
    monkeypatch.setattr(foreign, "cuda_in_use", lambda: started)
    assert driver.driver_bytes(5) == 0
    started = True
    assert [driver.driver_bytes(size) for size in (105, 300, 60)] == [100, 100, 60]


class Node:
    def __init__(self, content: object) -> None:
        self.content = content
        self.itself = self


def test_measuring_counts_each_object_once_and_stops_at_boundaries() -> None:
    """Cycles must end, shared things count once, and what belongs to the process is not the session's."""

    class Everything:
        def __init__(self) -> None:
            self.huge = "x" * 10_000_000

    text = "y" * 1_000_000
    roots = [Node(text), Node(text), Node(Everything()), Node(sys), Node(np)]
    sizer = ObjectSizer([Everything])
    size = sizer.measure(*roots)
    assert size.complete
    assert size.python == pytest.approx(1_000_000, abs=20_000)
    assert size.objects == [(id(text), pytest.approx(1_000_064, abs=32))]
    assert sizer.measure(text).python == 0


def test_measuring_a_million_entries_is_quick_and_close() -> None:
    """Long containers are inferred from a sample; one text that a million entries share is still one text."""
    rows = deque({"name": f"{number:050d}", "value": number + 10**6} for number in range(100_000))
    shared = ["z" * 100_000] * 1_000_000
    size = ObjectSizer().measure(rows)
    one = sys.getsizeof(rows[0]) + sys.getsizeof(rows[0]["name"]) + 32
    assert size.python == pytest.approx(100_000 * one, rel=0.1)
    assert ObjectSizer().measure(shared).python == pytest.approx(sys.getsizeof(shared) + 100_000, rel=0.1)


def test_measuring_knows_arrays_tables_and_tensors() -> None:
    """Their data is malloc's, at an address; pandas counts deep by itself and must not be counted twice."""
    import pandas as pd
    import torch

    array, tensor = np.ones(1_000_000, np.float32), torch.ones(500_000)
    table = pd.DataFrame({"a": np.arange(250_000, dtype=np.float64)})
    size = ObjectSizer().measure([array, array[:10], tensor, table])
    assert size.native == pytest.approx(4_000_000 + 2_000_000 + 2_000_000, rel=0.01)
    assert size.python < 100_000
    assert (array.ctypes.data, array.nbytes) in size.arrays
    python, native = size.memory_reports(Owner.SESSIONS, "tab", "", 1)
    assert (python.region, native.region) == (Region.PYTHON, Region.NATIVE)


def test_measuring_ends_at_its_limit(tmp_path: Path) -> None:
    """A chain of a million objects must not keep the ledger's thread for seconds."""
    chain: list[object] = []
    for _ in range(100_000):
        chain = [chain, tmp_path]
    assert not ObjectSizer().measure(chain).complete
    while chain:
        chain = chain[0]  # type: ignore[assignment]
