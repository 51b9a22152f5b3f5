"""What happens to a server beside Millpond in tests: it ends, hangs, and goes on."""

from __future__ import annotations

import signal
import subprocess


class ServerProcess:
    """A server whose process whoever starts it puts into `_process`."""

    _process: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def hold_up(self) -> None:
        """Have it take connections and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
