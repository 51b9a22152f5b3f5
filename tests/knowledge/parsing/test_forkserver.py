from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from services.core.errors import CancelledError, MillpondError, UnavailableError
from services.knowledge.parsing import limits
from services.knowledge.parsing.forkserver_client import ForkServerProcess
from services.knowledge.parsing.pool import ParserPool
from tests.knowledge.parsing import samples
from tests.knowledge.parsing.pools import TOKENIZER, expect, gone, pool_with, run, until


def succeeds(code: str) -> None:
    """Run code in a fresh interpreter; what it says in the end is told when it fails."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_fork_server_has_nothing_heavy_in_it() -> None:
    """What every child inherits is small: no torch, no Streamlit, no database, no settings."""
    code = (
        "import sys, services.knowledge.parsing.forkserver;"
        "import services.knowledge.text.chunks, services.knowledge.text.terms;"
        "heavy = {'torch', 'transformers', 'streamlit', 'sqlalchemy', 'pydantic', 'structlog', 'numpy', 'markitdown',"
        " 'pandas', 'langchain_core', 'subprocess', 'tempfile', 'services.core.settings', 'services.core.database'}"
        " & set(sys.modules);"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    succeeds(code)


def test_the_readers_come_without_dead_weight() -> None:
    """Loading them starts no thread (a fork would lose it) and brings neither numpy nor pandas nor converters."""
    code = (
        "import sys, threading;"
        "from services.knowledge.formats.office import open_document, rich_text, slides, word;"
        "from services.knowledge.formats.web import books;"
        "import lxml.etree;"
        "sys.exit(repr([n for n in ('onnxruntime', 'pandas', 'numpy', 'markitdown') if sys.modules.get(n)]"
        " + [t for t in open('/proc/self/status').read().splitlines() if t.startswith('Threads')]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[3],
        env=limits.minimal_environment(str(Path(__file__).parents[3])),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.strip() == "['Threads:\\t1']"


def test_secrets_do_not_reach_the_fork_server(own: ParserPool, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the server nor its children see keys that are in the service's environment."""
    monkeypatch.setenv("MILLPOND_OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "also secret")
    run(own, small)
    environment = psutil.Process(own.pids()[0]).environ()
    assert "secret" not in str(environment)
    assert set(environment) <= {*limits._KEPT, *limits._FIXED, "PYTHONPATH", "LC_CTYPE"}


def test_a_dead_fork_server_is_replaced(own: ParserPool, small: Path) -> None:
    """Killing the server between files is not noticed."""
    run(own, small)
    before = own.pids()[0]
    os.kill(before, signal.SIGKILL)
    run(own, small)
    assert own.pids()[0] != before
    assert until(lambda: gone(before))


def test_a_fork_server_killed_at_work_is_replaced_twice(own: ParserPool, slow: Path) -> None:
    """The file is read again on a new server; a third loss is an error with a hint, not an endless loop."""
    killed: list[int] = []

    def cancelled() -> bool:
        pids = own.pids()
        if len(pids) == 2 and pids[0] not in killed:
            killed.append(pids[0])
            os.kill(pids[0], signal.SIGKILL)
        return False

    with pytest.raises(UnavailableError):
        run(own, slow, cancelled=cancelled)
    assert len(killed) == 3
    assert all(until(lambda pid=pid: gone(pid)) for pid in killed)


def test_children_die_with_a_killed_fork_server(own: ParserPool, slow: Path) -> None:
    """A kill of the server takes the child with it."""
    stop = threading.Event()
    children: list[int] = []

    def cancelled() -> bool:
        if len(own.pids()) == 2 and not children:
            server, child = own.pids()
            children.append(child)
            os.kill(server, signal.SIGKILL)
            stop.set()
        return stop.is_set()

    with pytest.raises(MillpondError):
        run(own, slow, cancelled=cancelled)
    assert until(lambda: gone(children[0]))


def test_an_idle_fork_server_goes_away_and_comes_back(tmp_path: Path, small: Path) -> None:
    """When nothing is read the server's memory is given back, without a zombie; the next file starts another."""
    pool = pool_with(tmp_path, idle_seconds=0.1)
    try:
        run(pool, small)
        (first,) = pool.pids() or [0]
        assert until(lambda: not pool.pids())
        assert first == 0 or gone(first)
        run(pool, small)
    finally:
        pool.close()


def test_the_fork_server_dies_with_its_parent(small: Path) -> None:
    """After `kill -9` of the service neither server nor children stay."""
    code = f"""
import os, signal
from pathlib import Path
from tests.knowledge.parsing.pools import pool_with
pool = pool_with(Path({str(small.parent)!r}))
pool.parse(Path({str(small)!r}), "a.txt", chunk_tokens=200, overlap=0)
print(*pool.pids(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False
    )
    (server,) = map(int, done.stdout.split())
    assert until(lambda: gone(server))


def test_a_fork_server_that_cannot_start_is_an_error(
    own: ParserPool, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No process to be had: a message with a hint, not a traceback."""

    def refuse(*_arguments: object, **_options: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(UnavailableError, match="cannot be started"):
        run(own, small)


def test_a_fork_server_without_a_tokenizer_is_an_error(tmp_path: Path, small: Path) -> None:
    """A server that ends at once is tried three times, then reported."""
    from services.core.settings import Settings

    pool = ParserPool(Settings(data_dir=tmp_path), tmp_path / "missing.json", 256)
    try:
        with pytest.raises(UnavailableError, match="ended unexpectedly"):
            run(pool, small)
    finally:
        pool.close()


def test_systems_without_fork_read_files_one_process_each(
    own: ParserPool, small: Path, slow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There a file costs a process, cancelling ends it, a page is drawn, and what is not limited is named."""
    monkeypatch.setattr(limits, "resource", None)
    assert limits.unlimited() == ("memory", "CPU time", "open files")
    me = psutil.Process()
    before, children = me.num_fds(), me.children()
    found = own.parse(small, "a.txt", chunk_tokens=50, overlap=0)
    assert found.chunks[0].text == "Nothing special in here."
    assert own.pids() == []
    bad = small.with_name("bad")
    bad.write_bytes(b"")
    expect(MillpondError, lambda: run(own, bad))
    expect(MillpondError, lambda: run(own, small.with_name("missing")))
    tries = iter(range(10))
    expect(CancelledError, lambda: run(own, slow, cancelled=lambda: next(tries) > 5))
    page = small.with_name("page")
    page.write_bytes(samples.pdf([["Text"]]))
    assert own.render_page(page, 1, 100).startswith(b"\x89PNG")
    assert me.children() == children
    assert me.num_fds() == before


def test_the_package_imports_without_posix() -> None:
    """What only Unix has is asked for when it is used, not on import."""
    code = (
        "import sys, os, signal, select, socket;"
        "sys.modules['resource'] = None;"
        "[delattr(m, n) for m, n in ((os, 'fork'), (os, 'setpriority'), (os, 'wait4'), (os, 'pread'),"
        " (signal, 'SIGCHLD'), (signal, 'SIGXCPU'), (signal, 'SIGKILL'), (select, 'poll'), (socket, 'AF_UNIX'),"
        " (socket, 'send_fds'), (socket, 'recv_fds'))];"
        "import services.knowledge.parsing.forkserver, services.knowledge.parsing.pool as pool;"
        "from services.knowledge.parsing import limits; assert len(limits.unlimited()) == 3"
    )
    succeeds(code)


def test_messages_may_arrive_in_pieces(tmp_path: Path) -> None:
    """Jobs that are sent faster than the server reads them keep their descriptors apart."""
    server = ForkServerProcess(
        {"tokenizer": str(TOKENIZER), "language": "en", "idle_seconds": 30.0, "warm_seconds": 0.5, "recognizer": {}}
    )
    request = {
        "do": "parse", "name": "a", "chunk_tokens": 50, "overlap": 0, "memory_mb": 512, "cpu_seconds": 9, "output_mb": 1
    }  # fmt: skip
    pipes = []
    try:
        for job in range(20):
            path = tmp_path / str(job)
            path.write_text(f"number {job}")
            output, status = os.pipe(), os.pipe()
            with path.open("rb") as file:
                assert server.send({**request, "job": job}, [file.fileno(), output[1], status[1]])
            assert server.send({"kill": 1000 + job})
            os.close(output[1])
            os.close(status[1])
            pipes.append((output[0], status[0]))
        for job, (output_end, status_end) in enumerate(pipes):
            with os.fdopen(output_end, "rb") as output_file, os.fdopen(status_end, "rb") as status_file:
                assert f"number {job}".encode() in output_file.read()
                assert b'["exit",0,' in status_file.read()
    finally:
        server.close()
    assert gone(server.pid)
