"""A parser child's side of text recognition, and how pictures and answers travel between both processes.

The child asks the service for a connection (message "recognizer"); once there is memory for it the fork server sends
one, from the process that recognises text. Raw pixels go there, lines come back: that process never sees a file.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from typing import Any

from services.knowledge.parsing import protocol
from services.knowledge.recognition.recognized import RecognizedPicture, picture_of

# Width and height in pixels, three bytes each (RGB).
_PICTURE = struct.Struct(">II")
_ANSWER = struct.Struct(">Q")
MOST_PIXELS = 20_000_000
_MOST_ANSWER = 32 * 1024 * 1024
# A page waits for those of the other files that are read at this moment, each of which may take its whole time.
_OTHERS = 3
_START_SECONDS = 30.0
# A process that died with a picture is started once more: it may have been killed for another one, or from outside.
_ATTEMPTS = 2


class RecognizerLostError(Exception):
    """The process that recognises text ended, or did not answer in time."""


class RecognizerClient:
    """Has pictures read by the process that recognises text.

    Args:
        channel: connections come through it, from the fork server.
        write: sends a message to the service at once.
        page_seconds: CPU time that a page may take there.
    """

    def __init__(self, channel: socket.socket, write: Callable[[bytes], None], page_seconds: int) -> None:
        self._channel = channel
        self._write = write
        self._seconds = _START_SECONDS + 2.0 * _OTHERS * page_seconds
        self._connection: socket.socket | None = None

    def recognize(self, width: int, height: int, pixels: bytes) -> RecognizedPicture | None:
        """Return what a picture says (RGB, row by row); None if the process ended or took too long, twice."""
        for _attempt in range(_ATTEMPTS):
            try:
                return picture_of(self._ask(width, height, pixels))
            except (OSError, RecognizerLostError, ValueError):
                self.close()
        return None

    def _ask(self, width: int, height: int, pixels: bytes) -> dict[str, Any]:
        if self._connection is None:
            self._connection = self._connected()
        self._connection.settimeout(self._seconds)
        send_picture(self._connection, width, height, pixels)
        return receive_answer(self._connection)

    def _connected(self) -> socket.socket:
        self._write(protocol.encode_message("recognizer"))
        data, descriptors, _flags, _address = socket.recv_fds(self._channel, 1, 1)
        if not data or not descriptors:
            raise RecognizerLostError
        return socket.socket(fileno=descriptors[0])

    def close(self) -> None:
        """Close the connection; the next picture gets another one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def send_picture(connection: socket.socket, width: int, height: int, pixels: bytes) -> None:
    """Send a picture."""
    if len(pixels) != 3 * width * height or not 0 < width * height <= MOST_PIXELS:
        raise ValueError("not the pixels of a picture")
    connection.sendall(_PICTURE.pack(width, height))
    connection.sendall(pixels)


def receive_picture(connection: socket.socket) -> tuple[int, int, bytearray] | None:
    """Return width, height and pixels of the next picture, None at the end of the connection.

    Raises:
        ValueError: it is no picture, or too large.
        RecognizerLostError: the connection ended within it.
    """
    head = connection.recv(1)
    if not head:
        return None
    width, height = _PICTURE.unpack(head + bytes(_received(connection, _PICTURE.size - 1)))
    if not 0 < width * height <= MOST_PIXELS:
        raise ValueError("a picture of this size is not read")
    return width, height, _received(connection, 3 * width * height)


def send_answer(connection: socket.socket, answer: dict[str, Any]) -> None:
    """Send what was found in a picture."""
    data = json.dumps(answer, ensure_ascii=False).encode(errors="replace")
    connection.sendall(_ANSWER.pack(len(data)) + data)


def receive_answer(connection: socket.socket) -> dict[str, Any]:
    """Return what was found in a picture; errors as for `receive_picture`."""
    (size,) = _ANSWER.unpack(_received(connection, _ANSWER.size))
    if size > _MOST_ANSWER:
        raise ValueError("an answer of this size is none")
    answer: dict[str, Any] = json.loads(_received(connection, size))
    return answer


def _received(connection: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        count = connection.recv_into(view)
        if not count:
            raise RecognizerLostError
        view = view[count:]
    return data
