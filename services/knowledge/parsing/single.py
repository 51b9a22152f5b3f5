"""Systems without fork and resource limits (Windows): a new process for each file, with the time limit alone.

Everything works there, but `limits.unlimited` names what a file may use up; the pool's owner can say so.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

from services.errors import StorageError
from services.knowledge.parsing.job import LOOK_SECONDS, HelperLostError, Watch
from services.knowledge.parsing.limits import minimal_environment
from services.knowledge.parsing.process import ROOT
from services.knowledge.parsing.results import Lines, Result
from services.knowledge.parsing.work import out_of_memory
from services.texts import _

_READ_BYTES = 65_536


def run(config: dict[str, Any], request: dict[str, Any], path: Path, result: Result, watch: Watch) -> None:
    """Read one file in a process of its own and feed `result`.

    Raises:
        MillpondError: it was stopped, or there is no such file.
        HelperLostError: the process ended without a word.
    """
    if not path.is_file():
        raise StorageError(_("The stored file is not there any more."), _("Upload it again."))
    command = [sys.executable, "-m", "services.knowledge.parsing.helper", json.dumps(config)]
    with subprocess.Popen(  # noqa: S603 - our own module, no input of anybody's
        [*command, json.dumps({**request, "path": str(path.resolve()), "job": 0})],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        cwd=path.resolve().anchor,
        env=minimal_environment(ROOT),
    ) as process:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        # A pipe cannot be polled there: a thread reads it.
        arrived: queue.Queue[bytes] = queue.Queue(maxsize=16)
        reader = threading.Thread(target=_read, args=(process.stdout, arrived), daemon=True)
        reader.start()
        try:
            _follow(arrived, request["output_mb"], result, watch)
        except BaseException:
            process.kill()
            while arrived.get():
                pass
            raise
        finally:
            reader.join()
    if not result.complete and result.error is None:
        if process.returncode == 0:
            raise HelperLostError
        result.error = out_of_memory()


def _follow(arrived: queue.Queue[bytes], output_mb: int, result: Result, watch: Watch) -> None:
    lines = Lines(output_mb)
    while True:
        watch.check()
        try:
            data = arrived.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            continue
        if not data:
            return
        for message in lines.cut(data):
            result.take(message)


def _read(stream: IO[bytes], arrived: queue.Queue[bytes]) -> None:
    """Hand on what arrives; an empty piece is the end."""
    while data := stream.read1(_READ_BYTES):  # type: ignore[attr-defined]
        arrived.put(data)
    arrived.put(b"")
