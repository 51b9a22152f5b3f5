from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from services.memory.leaks.probes import descriptor_groups, process_probes, thread_groups, without_numbers

linux = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")


def test_numbers_do_not_make_names_different() -> None:
    """Fails if threads that are made in series each have a name of their own."""
    assert without_numbers("ThreadPoolExecutor-12_3") == without_numbers("ThreadPoolExecutor-7_0")
    assert without_numbers("<job at 0x7f12ab>") == without_numbers("<job at 0x55ffaa>")


def test_threads_are_counted_by_name() -> None:
    """Fails if threads that multiply are not seen under one name."""
    done = threading.Event()
    threads = [threading.Thread(target=done.wait, name=f"planted-{number}") for number in range(5)]
    before = thread_groups()
    for thread in threads:
        thread.start()
    grown = thread_groups() - before
    done.set()
    for thread in threads:
        thread.join()
    assert grown["planted-N"] == 5


@linux
def test_descriptors_are_counted_by_target(tmp_path: Path) -> None:
    """Fails if files or sockets that stay open are not told apart."""
    before = descriptor_groups()
    files = [(tmp_path / f"left-open-{number}.txt").open("w") for number in range(3)]
    sockets = [socket.socket() for _ in range(2)]
    pipe = os.pipe()
    grown = descriptor_groups() - before
    for thing in (*files, *sockets):
        thing.close()
    for end in pipe:
        os.close(end)
    assert grown["socket"] == 2
    assert grown["pipe"] == 2
    assert sum(count for name, count in grown.items() if name.endswith("/left-open-N.txt")) == 3


def test_process_probes_have_everything_but_tracing() -> None:
    """Fails if the running service is judged with blind probes."""
    probes = process_probes()
    assert probes.threads is not None
    assert probes.descriptors is not None
    assert probes.collect is not None
    assert probes.lines is None
    assert probes.rss() > 0
