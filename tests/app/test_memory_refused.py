"""Memory that the system refuses to this process: a sentence in place of a crash, at the start and while it runs."""

from __future__ import annotations

import asyncio
import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from console.api.middleware.request_context import RequestContext
from services.memory.refusal import ADDRESS_SPACE_BYTES, memory_refused
from tests.servers import ROOT, environment
from tests.siege.siege_memory import start_under


@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("ask", "How often?")])
@pytest.mark.parametrize("limit_mb", [300, 1200])
def test_a_start_with_too_little_memory_ends_with_a_sentence(
    tmp_path: Path, command: tuple[str, ...], limit_mb: int
) -> None:
    """Without the check, loading the index and the model ends in a segmentation fault or in OpenBLAS's own words."""
    line = f'ulimit -v {limit_mb * 1024}; exec "$@"'
    ended = subprocess.run(
        ["bash", "-c", line, "bash", sys.executable, "-m", "console", *command, "--data-dir", str(tmp_path / "data")],
        cwd=ROOT,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    assert f"this process may use {limit_mb:,} MB of address space (ulimit -v), and needs about" in ended.stderr
    assert "Raise the limit" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_start_with_enough_memory_answers(tmp_path: Path) -> None:
    """Fails if the check refuses what would have worked, or lets pass what then crashes."""
    outcome = start_under(ADDRESS_SPACE_BYTES // (1 << 20) + 250, tmp_path / "data")
    assert outcome.wrong() == ""
    assert outcome.answered


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("can't start new thread"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000000000 bytes."),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    ],
)
def test_a_request_without_memory_is_refused_with_words(error: Exception) -> None:
    """It is 503 with a reason, as it may succeed later; any other defect stays a 500."""

    async def application(_scope: Any, _receive: Any, _send: Any) -> None:
        raise error

    assert _answer(application) == (503, "The system refused memory to this process. What was stored before is kept.")
    assert memory_refused(RuntimeError("index out of range")) is None


def test_what_followed_from_refused_memory_is_recognised() -> None:
    """Libraries put errors of their own over it."""
    error = ValueError("no batch")
    error.__cause__ = MemoryError()
    assert memory_refused(error) is not None


def _answer(application: Any) -> tuple[int, str]:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    scope = {"type": "http", "method": "GET", "path": "/api/documents", "headers": [], "query_string": b""}
    asyncio.run(RequestContext(application)(scope, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"])["detail"]
