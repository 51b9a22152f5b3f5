from __future__ import annotations

import subprocess
import sys

from tests.servers import ROOT

# A call through `CDLL` gives the interpreter's lock up: the block is recorded once the thread has it again.
ALLOCATING = """
import ctypes, threading, time, tracemalloc
from services.memory.tracing.switch import TracingSwitch

library = ctypes.CDLL(None)
allocate, free = library.PyMem_RawMalloc, library.PyMem_RawFree
allocate.argtypes, allocate.restype = [ctypes.c_size_t], ctypes.c_void_p
free.argtypes, free.restype = [ctypes.c_void_p], None


def work():
    while True:
        free(allocate(64))


for _number in range(4):
    threading.Thread(target=work, daemon=True).start()
switch = TracingSwitch()
for _number in range(40):
    switch.on(2)
    assert tracemalloc.is_tracing()
    traced = [bytearray(100) for _block in range(100)]
    assert tracemalloc.get_object_traceback(traced[-1]) is not None
    switch.off()
    assert not tracemalloc.is_tracing()
print("alive")
"""


def test_tracing_ends_while_others_allocate() -> None:
    """`tracemalloc.stop` alone ends such a process with a segmentation fault, at each second run of this."""
    done = subprocess.run(
        [sys.executable, "-c", ALLOCATING], check=False, cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr
