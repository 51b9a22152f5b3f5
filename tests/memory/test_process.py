from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from services.memory.process import rss_bytes

MB = 1_000_000

# Many blocks too small to be mapped, freed all but the last: malloc keeps the pages below it.
FREE_MUCH = """
import ctypes
from services.memory.process import rss_bytes, trim_heap

malloc, free = ctypes.CDLL(None).malloc, ctypes.CDLL(None).free
malloc.restype, malloc.argtypes, free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
blocks = [malloc(60_000) for _ in range(2_000)]
for block in blocks:
    ctypes.memset(block, 1, 60_000)
for block in blocks[:-1]:
    free(block)
before = rss_bytes()
trim_heap()
print(before - rss_bytes())
"""

# As many threads as arenas could be, each with a block of its own that stays.
ARENAS = """
import ctypes, os, re, sys, tempfile, threading
from services.memory.process import limit_arenas

done = limit_arenas(int(sys.argv[1]))
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
together = threading.Barrier(6)

def work():
    together.wait()
    libc.malloc(5_000)
    together.wait()

threads = [threading.Thread(target=work) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.fdopen.restype, libc.malloc_info.argtypes = ctypes.c_void_p, [ctypes.c_int, ctypes.c_void_p]
libc.fclose.argtypes = [ctypes.c_void_p]
with tempfile.TemporaryFile() as file:
    stream = libc.fdopen(os.dup(file.fileno()), b"w")
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    file.seek(0)
    print(done, len(re.findall(rb"<heap nr", file.read())))
"""

# How many blocks of 16 and of 40 MB get a mapping of their own.
MAPPED = """
import ctypes
from services.memory.process import fix_mmap_threshold

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd usm fsm uord ford keep".split()]

done = fix_mmap_threshold()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
libc.mallinfo2.restype = Info
before = libc.mallinfo2().hblks
libc.malloc(16_000_000)
small = libc.mallinfo2().hblks - before
libc.malloc(40_000_000)
print(done, small, libc.mallinfo2().hblks - before - small)
"""

TUNED = "glibc.malloc.mmap_threshold=1000000"


def without_tuning() -> dict[str, str]:
    """This process's environment without what would tune the allocator."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}


def test_rss_counts_what_is_touched() -> None:
    """50 MB that were written to show in the resident set."""
    before = rss_bytes()
    held = bytearray(b"x" * 50_000_000)
    assert rss_bytes() - before > 40 * MB
    del held


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can trim its heap")
def test_trim_returns_free_pages() -> None:
    """Over 80 of 120 MB that were freed go back to the system, in a fresh process."""
    output = subprocess.run([sys.executable, "-c", FREE_MUCH], check=True, capture_output=True, text=True).stdout
    assert int(output) > 80 * MB


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas")
@pytest.mark.parametrize(
    ("count", "environment", "expected"),
    [(2, {}, "True 2"), (0, {}, "False 7"), (2, {"MALLOC_ARENA_MAX": "4"}, "False 4")],
)
def test_threads_share_the_arenas(count: int, environment: dict[str, str], expected: str) -> None:
    """Six threads have two arenas with the main thread's, or one each; what the environment says is left alone."""
    command = [sys.executable, "-c", ARENAS, str(count)]
    output = subprocess.run(
        command, check=True, capture_output=True, text=True, env=without_tuning() | environment
    ).stdout
    assert output.strip() == expected


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc moves the border")
@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, "True 0 1"), ({"MALLOC_MMAP_THRESHOLD_": "1000000"}, "False 1 1"), ({"GLIBC_TUNABLES": TUNED}, "False 1 1")],
)
def test_blocks_have_their_place_from_the_start(environment: dict[str, str], expected: str) -> None:
    """A border that moves takes big blocks into the arenas late, where they hold up what could go back."""
    output = subprocess.run(
        [sys.executable, "-c", MAPPED], check=True, capture_output=True, text=True, env=without_tuning() | environment
    ).stdout
    assert output.strip() == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_reads_its_own_memory() -> None:
    """The file that is kept open is the parent's: a child that grows must see its own figure."""
    script = (
        "import os\n"
        "from services.memory.process import rss_bytes\n"
        "before = rss_bytes()\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    grown = bytearray(b'x') * 50_000_000\n"
        "    os._exit(0 if rss_bytes() > before + 40_000_000 else 1)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
        "assert abs(rss_bytes() - before) < 10_000_000\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
