"""The service's side of the helper process: starting it, sending jobs, and not leaving it behind."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.knowledge.parsing.limits import minimal_environment

# Where the helper finds this package, however the service was started.
ROOT = str(Path(__file__).resolve().parents[3])
_END_SECONDS = 5.0


class HelperProcess:
    """One helper process; ends by itself when idle and is then replaced by the pool.

    Args:
        config: "tokenizer" (a path), "language" and "idle_seconds", see `helper`.

    Raises:
        OSError: no process or descriptors can be had.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 - our own module, no input of anybody's
                    [sys.executable, "-m", "services.knowledge.parsing.helper", json.dumps(config)],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    cwd="/",
                    env=minimal_environment(ROOT),
                )
        except OSError:
            ours.close()
            raise
        self._socket = ours
        self._sending = threading.Lock()
        # Waits for the end, so that a helper that went away when idle is no zombie.
        self._reaper = threading.Thread(target=self._reap, name="parser-helper", daemon=True)
        self._reaper.start()

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can take jobs."""
        return self._reaper.is_alive()

    def send(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> bool:
        """Send a message; False if the helper has gone."""
        data = json.dumps(message, ensure_ascii=True).encode() + b"\n"
        try:
            with self._sending:
                sent = socket.send_fds(self._socket, [data], list(descriptors))
                if sent < len(data):
                    self._socket.sendall(data[sent:])
        except OSError:
            return False
        return True

    def close(self, *, kill: bool = False) -> None:
        """End the helper and its children, and wait for that."""
        if kill:
            self._process.kill()
        with self._sending:
            self._socket.close()
        self._reaper.join(_END_SECONDS)
        if self._reaper.is_alive():
            self._process.kill()
            self._reaper.join(_END_SECONDS)

    def _reap(self) -> None:
        self._process.wait()
