"""The one handler of the log: it never raises, never prints a traceback of its own, and counts what it repeats."""

from __future__ import annotations

import json
import logging
import threading
from contextlib import suppress
from typing import TextIO

import structlog

from services.core.known_secrets import mask_secrets
from services.core.masking import mask
from services.operations.log_escaping import VALUE_CHARACTERS, escape_controls, escape_json
from services.operations.log_repeats import WINDOW_SECONDS, RepeatLimiter


class SafeFormatter(structlog.stdlib.ProcessorFormatter):
    """Formats every record: one whose values cannot be written becomes a line that says so."""

    as_text = False

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        try:
            line = super().format(record)
        except Exception as error:  # noqa: BLE001 - a foreign __str__, __repr__ or placeholder may do anything
            line = self._least(record, error)
        line = mask_secrets(line)
        return line if self.as_text else escape_json(line)

    def _least(self, record: logging.LogRecord, error: Exception) -> str:
        """Return what can be said of a record in any case."""
        message = record.msg.get("event") if isinstance(record.msg, dict) else record.msg
        entry = {
            "event": mask(message[:VALUE_CHARACTERS]) if isinstance(message, str) else f"<{type(message).__name__}>",
            "level": record.levelname.lower(),
            "logger": record.name,
            "not_written": f"values: {type(error).__name__}",
        }
        if not self.as_text:
            return json.dumps(entry)
        return escape_controls(" ".join(f"{name}={value}" for name, value in entry.items()))


class LogHandler(logging.StreamHandler[TextIO]):
    """Writes lines to a stream, the same one not without end."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._limiter = RepeatLimiter()
        self._timer: threading.Timer | None = None
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line, or count it; called with the handler's lock held."""
        try:
            for each in self._limiter.filtered(record):
                self._write(each)
            if self._timer is None and self._limiter.counts():
                self._start_timer()
        except Exception:  # noqa: BLE001 - a log line must not break what it tells of
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - the signature is the base class's
        """Count the line as lost: the stream is closed, full, or gone. A word about it would go the same way."""
        self._lost += 1

    def close(self) -> None:
        """Write the counts that are due, and end."""
        with self.lock or threading.RLock():
            if self._timer is not None:
                self._timer.cancel()
            with suppress(Exception):
                self._write_summaries(all_windows=True)
        super().close()

    def _write(self, record: logging.LogRecord) -> None:
        line = self.format(record) + self.terminator
        if self._lost:
            lost, self._lost = self._lost, 0
            try:
                self._write(
                    logging.LogRecord(
                        __name__, logging.WARNING, "", 0, "%d log lines could not be written", (lost,), None
                    )
                )
            except Exception:
                self._lost = lost
                raise
        try:
            self.stream.write(line)
        except UnicodeEncodeError:  # a stream of another encoding
            encoding = getattr(self.stream, "encoding", None) or "ascii"
            self.stream.write(line.encode(encoding, "backslashreplace").decode(encoding))
        self.flush()

    def _start_timer(self) -> None:
        """Have the counts written when the window ends, also when nothing more is logged."""
        timer = threading.Timer(WINDOW_SECONDS + 0.5, self._end_window)
        timer.daemon = True
        timer.name = "log-repeats"
        with suppress(RuntimeError):  # no thread can be had: the next line writes the counts
            timer.start()
            self._timer = timer

    def _end_window(self) -> None:
        with self.lock or threading.RLock():
            self._timer = None
            try:
                self._write_summaries()
            except Exception:  # noqa: BLE001 - as in `emit`
                self._lost += 1
            if self._limiter.counts():
                self._start_timer()

    def _write_summaries(self, *, all_windows: bool = False) -> None:
        for each in self._limiter.summaries(all_windows=all_windows):
            self._write(each)
