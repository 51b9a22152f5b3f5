from __future__ import annotations

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
