from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers import ROOT

DEPLOY = ROOT / "deploy"
INSTALL = "install it with: apt-get install prometheus"


def tool(name: str) -> str:
    """The path of one of Prometheus's programs; skips the test where it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed; {INSTALL}")
    return found


def promtool(*arguments: str, stdin: bytes = b"", cwd: Path = DEPLOY / "prometheus") -> str:
    """Run promtool; fails the test with its output unless it ends well. Returns what it said."""
    done = subprocess.run(
        [tool("promtool"), *arguments], input=stdin, capture_output=True, cwd=cwd, check=False, timeout=60
    )
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


@contextmanager
def prometheus(config: Path, data: Path) -> Iterator[str]:
    """A running Prometheus on a free port; yields its address."""
    process = subprocess.Popen(
        [
            tool("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={data}",
            "--web.listen-address=127.0.0.1:0",
            "--log.level=info",
        ],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    said: list[str] = []
    address: list[str] = []
    known = threading.Event()

    def read() -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                said.append(line)
                found = re.search(r'msg="Listening on" address=(\S+)', line)
                if found:
                    address.append(found[1])
                    known.set()
        known.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert known.wait(60)
        assert address, "".join(said[-20:])
        yield f"http://{address[0]}"
    finally:
        process.terminate()
        process.wait(30)
        reader.join(30)
