"""The fork server's side of the process that recognises text: starting it, and connecting children with it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from typing import Any


class RecognizerProcess:
    """Starts the process (`recognizer`) when a child needs it, and again once it has ended.

    Args:
        config: "memory_mb" (address space), "threads", "page_seconds" (CPU time for a page), "idle_seconds".
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._control: socket.socket | None = None
        # The one that serves, and earlier ones that have not been seen off yet.
        self.pids: set[int] = set()

    def connect(self, channel: socket.socket) -> None:
        """Send a connection with the process through the channel of a child; no process can be started: close it."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            try:
                if not self._pass_on(ours):
                    self._start()
                    self._pass_on(ours)
                socket.send_fds(channel, [b"c"], [theirs.fileno()])
            except OSError:
                with contextlib.suppress(OSError):  # the child has gone, too
                    channel.shutdown(socket.SHUT_RDWR)

    def _pass_on(self, connection: socket.socket) -> bool:
        if self._control is None:
            return False
        try:
            socket.send_fds(self._control, [b"c"], [connection.fileno()])
        except OSError:
            return False
        return True

    def _start(self) -> None:
        self.close()
        ours, theirs = socket.socketpair()
        with theirs:
            config = json.dumps({**self._config, "parent": os.getpid()})
            pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-m", "services.knowledge.parsing.recognizer", config],
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0)],
            )
        self.pids.add(pid)
        self._control = ours

    def reaped(self, pid: int) -> bool:
        """Whether a process that has ended was one of these, which is then forgotten."""
        if pid not in self.pids:
            return False
        self.pids.remove(pid)
        return True

    def close(self) -> None:
        """Close this end, in a forked child or at the end: the process ends by itself once all have."""
        if self._control is not None:
            self._control.close()
            self._control = None

    def kill(self) -> None:
        """Kill the processes, which have not been waited for."""
        for pid in self.pids:
            os.kill(pid, signal.SIGKILL)
