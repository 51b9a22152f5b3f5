"""The process that recognises text: takes pictures from parser children, one after the other, and answers with lines.

Run by the fork server as `python -m services.knowledge.parsing.recognizer CONFIG` with a Unix socket as standard input,
through which the connections of children come. There is one such process, whatever the number of files: its models and
the memory for one page are there once. It ends when it has had nothing to do for a while, so that all of it comes back.
"""

from __future__ import annotations

import json
import math
import os
import select
import socket
import sys
from typing import TYPE_CHECKING, Any

from services.knowledge.parsing import limits
from services.knowledge.parsing.recognizer_client import RecognizerLostError, receive_picture, send_answer
from services.knowledge.parsing.worker import silence

if TYPE_CHECKING:
    from services.knowledge.recognition.engine import RecognitionEngine

# Another process takes over after so many pictures: what an engine leaves behind ends with it.
MOST_PICTURES = 1_000
# A child that has begun to send a picture sends all of it: its pixels are there.
_SEND_SECONDS = 20.0
# No hard limit of CPU time for the process; each picture has its own.
_ANY_SECONDS = 10**8


class Recognizer:
    """The event loop of the process."""

    def __init__(self, control: socket.socket, config: dict[str, Any]) -> None:
        self._control = control
        self._idle_seconds = float(config["idle_seconds"])
        self._page_seconds = int(config["page_seconds"])
        self._threads = int(config["threads"])
        self._connections: list[socket.socket] = []
        self._engine: RecognitionEngine | None = None

    def run(self) -> None:
        """Serve until the fork server ends, nothing was asked for `idle_seconds`, or `MOST_PICTURES` are done."""
        pictures = 0
        while pictures < MOST_PICTURES:
            ready, _writable, _failed = select.select([self._control, *self._connections], [], [], self._idle_seconds)
            if not ready and not self._connections:
                return
            if self._control in ready and not self._take_connection():
                return
            # By turns: each file that waits has one page read.
            for connection in [one for one in self._connections if one in ready]:
                if self._serve(connection):
                    pictures += 1
                else:
                    self._connections.remove(connection)
                    connection.close()

    def _take_connection(self) -> bool:
        data, descriptors, _flags, _address = socket.recv_fds(self._control, 1, 1)
        for descriptor in descriptors:
            connection = socket.socket(fileno=descriptor)
            connection.settimeout(_SEND_SECONDS)
            self._connections.append(connection)
        return bool(data)

    def _serve(self, connection: socket.socket) -> bool:
        """Read a picture of a connection; false at its end."""
        try:
            received = receive_picture(connection)
            if received is None:
                return False
            send_answer(connection, self._read(*received))
        except (OSError, ValueError, RecognizerLostError):
            return False
        return True

    def _read(self, width: int, height: int, pixels: bytearray) -> dict[str, Any]:
        import numpy as np

        from services.knowledge.recognition.recognized import picture_facts

        times = os.times()
        limits.set_cpu_limit(math.ceil(times.user + times.system) + self._page_seconds)
        if self._engine is None:
            from services.knowledge.recognition.engine import RecognitionEngine

            self._engine = RecognitionEngine(threads=self._threads)
        picture = np.frombuffer(pixels, np.uint8).reshape(height, width, 3)
        return picture_facts(self._engine.recognize(picture))


def main() -> None:
    """Serve with the configuration on the command line."""
    config = json.loads(sys.argv[1])
    with socket.socket(fileno=os.dup(0)) as control:
        silence()
        limits.die_with_parent(int(config["parent"]))
        limits.apply(limits.Limits(int(config["memory_mb"]), _ANY_SECONDS))
        Recognizer(control, config).run()


if __name__ == "__main__":
    main()
